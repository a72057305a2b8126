"""A model's two files: what is wrong with them is one reason, and no other file is opened."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from tests.support.training.models import description, pack
from training.artifact import read_archive, read_artifact, write_artifact
from training.job import JobError
from training.model import Classifier

CLASSES = [{"label": label, "class_id": label + 1, "name": f"00{label + 1}.Bird"} for label in range(3)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    described = description([str(each["name"]) for each in CLASSES], hyper_parameters={"epochs": 3})
    write_artifact(folder, Classifier("efficientnet_lite0", 3, 0.2), described)
    return folder


@pytest.fixture
def model(written: Path, tmp_path: Path) -> Path:
    return shutil.copytree(written, tmp_path / "model")


def reason(folder: Path) -> str:
    """Read the model as serve and as evaluate do: the reason, which is the same."""
    with pytest.raises(JobError) as served:
        read_artifact(folder)
    archive = pack(folder, folder.parent / "model.tar.gz")
    with pytest.raises(JobError) as evaluated:
        read_archive(archive)
    assert str(served.value) == str(evaluated.value).replace(str(archive), str(folder))
    return str(served.value)


def test_what_was_written_is_read_and_its_input_is_the_described_one(model: Path) -> None:
    change(model, mean=[0.1, 0.2, 0.3], std=[1, 0.5, 0.25], crop_fraction=0.95)
    classifier, described = read_artifact(model)
    assert described.classes == CLASSES
    form = classifier.input_format
    assert form == described.input_format
    assert (form.mean, form.std, form.crop_fraction) == ((0.1, 0.2, 0.3), (1, 0.5, 0.25), 0.95)
    assert read_archive(pack(model, model.parent / "model.tar.gz"))[1] == described


def change(model: Path, **members: Any) -> None:
    path = model / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | members))


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"version": 1}, "version is 1; this code reads version 2"),
        ({"colour": 1}, "'colour' is not a member of version 2"),
        ({"backbone": 5}, "backbone is 5; it must be the name of a known backbone"),
        ({"backbone": "resnet9000"}, "backbone is 'resnet9000'; it must be the name of a known backbone"),
        ({"image_size": 10**400}, "it must be a whole number from 32 to 1024"),
        ({"image_size": "224"}, "image_size is '224'; it must be a whole number from 32 to 1024"),
        ({"image_size": 224.0}, "image_size is 224.0; it must be a whole number from 32 to 1024"),
        ({"image_size": True}, "image_size is True; it must be a whole number from 32 to 1024"),
        ({"classes": []}, "classes is []; it must be a list of objects with name"),
        ({"classes": {"0": "a"}}, "it must be a list of objects with name, class_id and label"),
        ({"classes": ["a"]}, "it must be a list of objects with name, class_id and label"),
        ({"classes": CLASSES[1:]}, "labels from 0 on"),
        ({"classes": [CLASSES[0], CLASSES[0]]}, "labels from 0 on"),
        ({"classes": [{"label": 0, "class_id": 1, "name": ""}]}, "objects with name"),
        ({"classes": [{"label": 0, "class_id": None, "name": "a"}]}, "objects with name, class_id"),
        ({"mean": [0.5, 0.5]}, "mean is [0.5, 0.5]; it must be three numbers from 0 to 1"),
        ({"mean": [0.5, 0.5, "0.5"]}, "it must be three numbers from 0 to 1"),
        ({"mean": [127, 127, 127]}, "it must be three numbers from 0 to 1"),
        ({"std": [0.5, 0.5, 0]}, "std is [0.5, 0.5, 0]; it must be three numbers above 0 and at most 1"),
        ({"std": 0.5}, "std is 0.5; it must be three numbers above 0 and at most 1"),
        ({"interpolation": "nearest"}, "interpolation is 'nearest'; it must be 'bicubic'"),
        ({"crop_fraction": 0.001}, "crop_fraction is 0.001; it must be a number from 0.5 to 1"),
        ({"crop_fraction": 10**400}, "it must be a number from 0.5 to 1"),
        ({"dropout": 1}, "dropout is 1; it must be a number"),
        ({"dropout": None}, "dropout is None; it must be a number"),
        ({"temperature": 0}, "temperature is 0; it must be a number from 0.5 to 100"),
        ({"temperature": "1"}, "temperature is '1'; it must be a number from 0.5 to 100"),
        ({"pretrained_digest": ""}, "pretrained_digest is ''; it must be a sha256, 64 hexadecimal digits"),
        ({"code_digest": "A" * 64}, "it must be a sha256, 64 hexadecimal digits"),
        ({"data_digest": 7}, "data_digest is 7; it must be text"),
        ({"hyper_parameters": []}, "hyper_parameters is []; it must be an object"),
    ],
)
def test_a_wrong_member_is_named_with_what_it_must_be(
    model: Path, members: dict[str, Any], said: str
) -> None:
    change(model, **members)
    found = reason(model)
    assert found.startswith(f"model.json of {model} is not a model's description: ")
    assert said in found
    assert len(found) < 400 + len(str(model))


@pytest.mark.parametrize("member", ["version", "classes", "temperature", "torchvision"])
def test_a_missing_member_is_named(model: Path, member: str) -> None:
    document = json.loads((model / "model.json").read_text())
    del document[member]
    (model / "model.json").write_text(json.dumps(document))
    assert member in reason(model)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not JSON"),
        (b"\xff\xfe{", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"version": NaN}', "NaN is not a number in JSON"),
        (b'{"version": 1e999}', "version is inf"),
        (b"[]", "it must be an object, not list"),
        (b"null", "it must be an object, not NoneType"),
    ],
)
def test_what_is_no_description_at_all_is_said(model: Path, content: bytes, said: str) -> None:
    (model / "model.json").write_bytes(content)
    assert said in reason(model)


def weights(model: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load((model / "model.safetensors").read_bytes())


def without_head(state: dict[str, torch.Tensor]) -> None:
    del state["head.1.bias"]


def with_more(state: dict[str, torch.Tensor]) -> None:
    state["tail"] = torch.zeros(1)


def of_other_classes(state: dict[str, torch.Tensor]) -> None:
    state["head.1.weight"] = torch.zeros(4, 1280)


def of_whole_numbers(state: dict[str, torch.Tensor]) -> None:
    state["head.1.bias"] = torch.zeros(3, dtype=torch.int64)


def of_no_numbers(state: dict[str, torch.Tensor]) -> None:
    state["head.1.bias"][1] = float("nan")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (without_head, "head.1.bias is missing"),
        (with_more, "tail is not of this network"),
        (of_other_classes, "head.1.weight has shape (4, 1280) instead of (3, 1280)"),
        (of_whole_numbers, "head.1.bias has numbers of torch.int64 instead of torch.float32"),
        (of_no_numbers, "head.1.bias has numbers that are not finite"),
    ],
)
def test_weights_of_another_network_are_named(
    model: Path, spoil: Callable[[dict[str, torch.Tensor]], None], said: str
) -> None:
    state = weights(model)
    spoil(state)
    (model / "model.safetensors").write_bytes(safetensors.torch.save(state))
    assert reason(model) == (
        f"model.safetensors of {model} does not hold the model that model.json describes: {said}"
    )


class Unpickled:
    """What would be called while it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (3,)


def test_weights_that_are_a_pickle_are_not_read(model: Path) -> None:
    torch.save({"head": Unpickled()}, model / "model.safetensors")
    assert "is not a file of weights" in reason(model)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_link_out_of_the_folder_is_not_followed(model: Path, tmp_path: Path, name: str) -> None:
    (model / name).rename(tmp_path / name)
    (model / name).symlink_to(tmp_path / name)
    with pytest.raises(JobError, match=f"{name} is a link; it must be a regular file"):
        read_artifact(model)


def test_what_is_no_file_is_not_waited_for(model: Path) -> None:
    (model / "model.json").unlink()
    os.mkfifo(model / "model.json")
    with pytest.raises(JobError, match=r"model\.json is no file; it must be a regular file"):
        read_artifact(model)
