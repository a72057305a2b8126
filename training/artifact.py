"""The model artifacts: model.safetensors (the weights) and model.json (all that is needed to use them).

The same training gives the same bytes: there is no time and no training type in either file. Nothing is
ever unpickled or extracted; an archive's members are read by name, with a cap.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from training.job import JobError
from training.model import Classifier

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
CAPS = {WEIGHTS: 4 << 30, DESCRIPTION: 16 << 20}
"""The largest size of each member, in bytes: far above ours, and what is read must fit into memory."""

VERSION = 1
"""Of the members of model.json and what they mean."""


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
    data_digest: str
    hyper_parameters: dict[str, Any]
    torch: str
    torchvision: str


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
    files: dict[str, bytes] = {}
    for name, cap in CAPS.items():
        path = folder / name
        if not path.is_file():
            raise JobError(f"the model is incomplete: {path} is missing")
        _check_size(name, path.stat().st_size, cap, folder)
        files[name] = path.read_bytes()
    return _restore(files, folder)


def read_archive(path: Path) -> tuple[Classifier, ModelDescription]:
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
    return _restore(files, path)


def _check_size(name: str, size: int, cap: int, where: Path) -> None:
    if size > cap:
        raise JobError(f"{name} of {where} has {size:,} bytes, more than the {cap:,} allowed")


def _restore(files: Mapping[str, bytes], where: Path) -> tuple[Classifier, ModelDescription]:
    description = _parse(files[DESCRIPTION], where)
    classifier = Classifier(description.backbone, len(description.classes), description.dropout)
    try:
        state: dict[str, Tensor] = safetensors.torch.load(files[WEIGHTS])
        classifier.load_state_dict(state)
    except (SafetensorError, RuntimeError) as error:
        raise JobError(
            f"{WEIGHTS} of {where} does not hold the model that {DESCRIPTION} describes: {error}"
        ) from error
    return classifier.eval().to(memory_format=torch.channels_last), description


def _parse(content: bytes, where: Path) -> ModelDescription:
    try:
        document = json.loads(content)
        version = document.pop("version")
        if version != VERSION:
            raise JobError(
                f"{DESCRIPTION} of {where} has version {version}; this code reads version {VERSION}"
            )
        return ModelDescription(**document)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise JobError(f"{DESCRIPTION} of {where} is not a model's description: {error}") from error
