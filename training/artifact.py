"""The model artifacts: model.safetensors (the weights) and model.json (all that is needed to use them).

The same training gives the same bytes: there is no time and no training type in either file. Nothing is
ever unpickled or extracted; an archive's members are read by name, with a cap. Whatever is wrong with a
model ends in a JobError that says what.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import math
import os
import re
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from training.backbones import InputFormat, check_name
from training.calibration import HIGHEST, LOWEST
from training.hyper_parameters import parse
from training.job import JobError
from training.model import Classifier

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
CAPS = {WEIGHTS: 4 << 30, DESCRIPTION: 16 << 20}
"""The largest size of each member, in bytes: far above ours, and what is read must fit into memory."""

VERSION = 2
"""Of the members of model.json and what they mean."""


@dataclass(frozen=True)
class WeightsFile:
    """What names the weights and says how large they are."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class ModelDescription:
    """What model.json holds beside its version."""

    backbone: str
    image_size: int
    classes: list[dict[str, Any]]
    mean: list[float]
    std: list[float]
    interpolation: str
    crop_fraction: float
    dropout: float
    temperature: float
    """By which logits are divided before they become probabilities (training/calibration.py)."""
    data_digest: str
    pretrained_digest: str
    """The sha256 of the file with the backbone's weights that training began with."""
    code_digest: str
    """The sha256 of the sources that trained it."""
    hyper_parameters: dict[str, Any]
    torch: str
    torchvision: str

    @property
    def input_format(self) -> InputFormat:
        """Return what the model expects of its images, as it was trained and not as this code would train."""
        mean, std = ((colours[0], colours[1], colours[2]) for colours in (self.mean, self.std))
        return InputFormat(mean, std, self.crop_fraction, self.interpolation)


def write_artifact(folder: Path, classifier: Classifier, description: ModelDescription) -> None:
    """Write both files, each complete or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().cpu().contiguous() for name, value in classifier.state_dict().items()}
    document = {"version": VERSION, **dataclasses.asdict(description)}
    _write(folder / WEIGHTS, safetensors.torch.save(state))
    _write(folder / DESCRIPTION, (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())


def _write(path: Path, content: bytes) -> None:
    # Left behind where the disk is full: the error names it, and the archive of a failed job is not used.
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_artifact(folder: Path) -> tuple[Classifier, ModelDescription]:
    """Read an unpacked artifact, ready to predict."""
    return _restore({name: _read(folder / name, cap) for name, cap in CAPS.items()}, folder)


def _read(path: Path, cap: int) -> bytes:
    """Read a file of the folder itself: a link could lead to any other file of the machine."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError as error:
        raise JobError(f"the model is incomplete: {path} is missing") from error
    if not stat.S_ISREG(mode):
        raise JobError(
            f"{path} is {'a link' if stat.S_ISLNK(mode) else 'no file'}; it must be a regular file"
        )
    _check_size(path.name, path.stat().st_size, cap, path.parent)
    return path.read_bytes()


def read_archive(path: Path) -> tuple[Classifier, ModelDescription, WeightsFile]:
    """Read model.tar.gz member by member without extracting anything."""
    if not path.is_file():
        raise JobError(f"the model is missing: {path} does not exist")
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r|gz") as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                content = archive.extractfile(member) if name in CAPS and member.isreg() else None
                if content:
                    _check_size(name, member.size, CAPS[name], path)
                    files[name] = content.read(CAPS[name])
                if files.keys() == CAPS.keys():
                    break
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise JobError(f"{path} is truncated or damaged: {error}") from error
    missing = sorted(CAPS.keys() - files.keys())
    if missing:
        raise JobError(f"the model is incomplete: {path} has no {' and no '.join(missing)}")
    weights = WeightsFile(hashlib.sha256(files[WEIGHTS]).hexdigest(), len(files[WEIGHTS]))
    return *_restore(files, path), weights


def _check_size(name: str, size: int, cap: int, where: Path) -> None:
    if size > cap:
        raise JobError(f"{name} of {where} has {size:,} bytes, more than the {cap:,} allowed")


def _restore(files: Mapping[str, bytes], where: Path) -> tuple[Classifier, ModelDescription]:
    description = _parse(files[DESCRIPTION], where)
    classifier = Classifier(
        description.backbone,
        len(description.classes),
        description.dropout,
        image_size=description.image_size,
    )
    classifier.input_format = description.input_format
    try:
        state: dict[str, Tensor] = safetensors.torch.load(files[WEIGHTS])
    except SafetensorError as error:
        raise JobError(f"{WEIGHTS} of {where} is not a file of weights: {error}") from error
    if fault := next(_weight_faults(state, classifier.state_dict()), None):
        raise JobError(f"{WEIGHTS} of {where} does not hold the model that {DESCRIPTION} describes: {fault}")
    classifier.load_state_dict(state)
    return classifier.eval().to(memory_format=torch.channels_last), description


def _weight_faults(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Iterator[str]:
    if odd := sorted(state.keys() ^ wanted.keys()):
        yield f"{odd[0]} is {'missing' if odd[0] in wanted else 'not of this network'}"
    for name, value in state.items():
        if value.shape != wanted[name].shape:
            yield f"{name} has shape {tuple(value.shape)} instead of {tuple(wanted[name].shape)}"
        if value.dtype != wanted[name].dtype:
            yield f"{name} has numbers of {value.dtype} instead of {wanted[name].dtype}"
        if not value.isfinite().all():
            yield f"{name} has numbers that are not finite"


def _parse(content: bytes, where: Path) -> ModelDescription:
    try:
        document = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise JobError(f"{DESCRIPTION} of {where} is not JSON: {error}") from error
    if fault := next(_description_faults(document), None):
        raise JobError(f"{DESCRIPTION} of {where} is not a model's description: {fault}")
    return ModelDescription(**{name: value for name, value in document.items() if name != "version"})


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")


def _description_faults(document: Any) -> Iterator[str]:
    """Yield what is wrong, the members that the others depend on first."""
    if not isinstance(document, dict):
        yield f"it must be an object, not {type(document).__name__}"
    if document.get("version") != VERSION:
        yield f"version is {_shortened(document.get('version'))}; this code reads version {VERSION}"
    known = ["version", *_MEMBERS]
    if missing := [name for name in known if name not in document]:
        yield f"{missing[0]} is missing"
    if unknown := [name for name in document if name not in known]:
        yield f"{_shortened(unknown[0])} is not a member of version {VERSION}"
    for name, check in _MEMBERS.items():
        try:
            check(document[name])
        except ValueError as legal:
            yield f"{name} is {_shortened(document[name])}; it must be {legal}"


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


Check = Callable[[Any], object]
"""Raises a ValueError that says what a value must be."""


def _must(legal: str, is_legal: Callable[[Any], object]) -> Check:
    def check(value: Any) -> None:
        if not is_legal(value):
            raise ValueError(legal)

    return check


def _hyper_parameter(name: str, *types: type) -> Check:
    """Return the check of a value that was a hyper-parameter; as JSON it is a number, not text."""
    return lambda value: parse(name, str(value) if type(value) in types else "")


def _is_number(value: Any) -> bool:
    return type(value) is int or (type(value) is float and math.isfinite(value))


def _is_backbone(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        check_name(value)
    except JobError:
        return False
    return True


def _are_three(is_legal: Callable[[float], bool]) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, list)
        and len(value) == 3
        and all(_is_number(each) and is_legal(each) for each in value)
    )


def _are_classes(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(entry, dict) for entry in value)
        and all(isinstance(entry.get("name"), str) and entry["name"] for entry in value)
        and all(type(entry.get(number)) is int for entry in value for number in ("label", "class_id"))
        and sorted(entry["label"] for entry in value) == list(range(len(value)))
    )


_TEXT = _must("text", lambda value: isinstance(value, str))
_SHA256 = _must(
    "a sha256, 64 hexadecimal digits",
    lambda value: isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value),
)
_MEMBERS: dict[str, Check] = {
    "backbone": _must("the name of a known backbone", _is_backbone),
    "image_size": _hyper_parameter("image-size", int),
    "classes": _must("a list of objects with name, class_id and label, labels from 0 on", _are_classes),
    "mean": _must("three numbers from 0 to 1", _are_three(lambda number: 0 <= number <= 1)),
    "std": _must("three numbers above 0 and at most 1", _are_three(lambda number: 0 < number <= 1)),
    "interpolation": _must("'bicubic', as training scales its images", lambda value: value == "bicubic"),
    # Of a smaller fraction, the scaled image would be far larger than what is taken of it.
    "crop_fraction": _must("a number from 0.5 to 1", lambda value: _is_number(value) and 0.5 <= value <= 1),
    "dropout": _hyper_parameter("dropout", int, float),
    "temperature": _must(
        f"a number from {LOWEST:g} to {HIGHEST:g}",
        lambda value: _is_number(value) and LOWEST <= value <= HIGHEST,
    ),
    "data_digest": _TEXT,
    "pretrained_digest": _SHA256,
    "code_digest": _SHA256,
    "hyper_parameters": _must("an object", lambda value: isinstance(value, dict)),
    "torch": _TEXT,
    "torchvision": _TEXT,
}
"""The members of a description and their checks."""
