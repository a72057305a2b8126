"""`cv-pipeline predict`: the container's own code answers, as a process; what is wrong is one sentence."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
import torch

from ops import __main__ as cli
from tests.support.training.cub_layout import picture
from tests.support.training.models import description
from training.artifact import write_artifact
from training.model import Classifier

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that says Bobolink to everything."""
    folder = tmp_path_factory.mktemp("model")
    classifier = Classifier("efficientnet_lite0", 2, 0.2)
    with torch.no_grad():
        classifier.head_parameters()["head.1.bias"][1] = 1.0
    write_artifact(folder, classifier, description(["Auklet", "Bobolink"]))
    return folder


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    Path("bird.jpg").write_bytes(picture(0, 0))
    return "bird.jpg"


def lines(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_a_folder_answers_with_its_classes_and_their_probabilities(
    model: Path, image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["predict", image, image, "--model", str(model)]) == 0
    assert lines(capsys) == [
        ["image", "class", "probability"],
        ["bird.jpg", "Bobolink", "0.7311"],  # 1 / (1 + e**-1)
        ["bird.jpg", "Auklet", "0.2689"],
    ]


def test_an_archive_answers_and_nothing_of_it_stays(
    model: Path,
    image: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    with tarfile.open("model.tar.gz", "w:gz", compresslevel=0) as tar:
        tar.addfile(tarfile.TarInfo("../evil"), io.BytesIO())
        for path in model.iterdir():
            tar.add(path, f"./{path.name}")
    assert cli.run(["predict", image, "--model", "model.tar.gz"]) == 0
    assert lines(capsys)[1] == ["bird.jpg", "Bobolink", "0.7311"]
    assert not list(temporary.iterdir())


def test_the_container_s_code_is_the_product_s_whatever_lies_where_the_command_is_given(
    model: Path, image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("training").mkdir()
    Path("training/__init__.py").write_text("raise RuntimeError('not this one')")
    assert cli.run(["predict", image, "--model", str(model)]) == 0
    assert "Bobolink" in capsys.readouterr().out


def test_what_is_no_image_is_called_by_its_name(
    model: Path, image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("notes.txt").write_text("no image")
    assert cli.run(["predict", image, "notes.txt", "--model", str(model)]) == 2
    captured = capsys.readouterr()
    assert "notes.txt: not a usable image: not a JPEG, PNG, WebP, GIF or BMP image" in captured.err
    assert captured.out == ""


def test_a_model_that_cannot_be_served_says_why(
    model: Path, image: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "model.json").write_text("{}")
    (broken / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes())
    assert cli.run(["predict", image, "--model", str(broken)]) == 2
    said = capsys.readouterr().err
    assert "the model cannot be served: model.json of " in said
    assert "version is None; this code reads version 2" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.jpg", "--model", "."], "cannot read the image nowhere.jpg: No such file or directory"),
        ([".", "--model", "."], "cannot read the image .: Is a directory"),
        (["bird.jpg", "--model", "nowhere"], "no model nowhere: give a version of the stack's model package"),
        (["bird.jpg", "--model", "."], ". is not a model's folder: it has no model.json"),
        (["bird.jpg", "--model", "bird.jpg"], "bird.jpg is not a model: damaged archive"),
        (["bird.jpg", "--model", "1"], "no AWS region is set"),
        (["--model", "."], "Missing argument 'IMAGE...'"),
    ],
)
def test_what_is_wrong_is_one_sentence_before_a_model_is_started(
    image: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.setattr("ops.executions.serving.subprocess", None)
    assert cli.run(["predict", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_without_pytorch_the_extra_to_install_is_named(
    model: Path, image: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ops.executions.serving.NEEDED", ("training", "torch_that_is_not_installed"))
    assert cli.run(["predict", image, "--model", str(model)]) == 2
    said = capsys.readouterr().err
    assert "torch_that_is_not_installed is not installed" in said
    assert "pip install 'cv-training-pipeline[training]'" in said
