"""`cv-pipeline dataset check`: what it says of sound data, and the sentence for what is wrong."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import NoReturn

import pytest

from ops import __main__ as cli
from tests.support.image_data.arrangements import as_class_folders, pack
from tests.support.training.cub_layout import picture, write_cub

Captured = pytest.CaptureFixture[str]


def check(capsys: Captured, *arguments: str) -> tuple[int, str]:
    """Run the command, and return its exit code with everything that it said."""
    capsys.readouterr()
    code = cli.run(["dataset", "check", *arguments])
    said = capsys.readouterr()
    return code, said.out + said.err


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing connect: a check needs no AWS."""

    def refuse(*_: object) -> NoReturn:
        raise AssertionError("the check connects to something")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Class folders: three classes of ten images, one of which cannot be read."""
    place = tmp_path / "my photos"
    names = {f"{name}/{n}.jpg": picture(label, n) for label, name in enumerate("abc") for n in range(10)}
    as_class_folders(place, names, {}, {})
    return place


def test_sound_data_is_described_by_layout_and_class_and_the_next_command_is_told(
    photos: Path, capsys: Captured
) -> None:
    (photos / "read me.txt").write_text("hello")
    code, said = check(capsys, str(photos), "-p", "ClassSelection=a, c")
    assert code == 0
    assert said.splitlines() == [
        "Data laid out as class folders: 2 classes, 20 images: 14 train, 2 validation, 4 test",
        "  1 file is no image and is left out: 1 .txt",
        "number  class  train  validation  test",
        "1       a      7      1           2",
        "3       c      7      1           2",
        f"{photos} is sound. Start an execution with it: cv-pipeline upload --data '{photos}' "
        "-p 'ClassSelection=a, c'",
    ]


def test_an_archive_is_checked_as_it_is(photos: Path, tmp_path: Path, capsys: Captured) -> None:
    code, said = check(capsys, str(pack(photos, tmp_path / "photos.zip", inside="x/")))
    assert code == 0
    assert "Data laid out as class folders: 3 classes, 30 images" in said


def test_of_many_classes_the_first_and_the_smallest_are_shown(tmp_path: Path, capsys: Captured) -> None:
    shown = picture(0, 0)
    names = {
        f"{label:02}/{n}.jpg": shown + bytes([label, n])
        for label in range(1, 41)
        for n in range(3 if label in (20, 30) else 4 + label % 2)
    }
    as_class_folders(tmp_path / "many", names, {}, {})
    code, said = check(capsys, str(tmp_path / "many"))
    rows = [line.split()[:2] for line in said.splitlines() if line[:1].isdigit()]
    assert code == 0
    assert [int(number) for number, _ in rows] == [1, 2, 3, 4, 5, 20, 30, 6, 8, 10]
    assert "The first 5 and the 5 smallest; 30 more classes have 4 to 5 images each" in said


def test_images_that_are_let_pass_are_counted_by_reason_and_named(tmp_path: Path, capsys: Captured) -> None:
    data = write_cub(tmp_path / "birds", images=30)
    names = sorted(path.relative_to(data / "images").as_posix() for path in data.rglob("*.jpg"))
    (data / "images" / names[0]).write_bytes(b"")
    (data / "images" / names[1]).write_bytes(b"")
    (data / "images" / names[2]).write_bytes(b"<html>")
    code, said = check(capsys, str(data))
    assert code == 0
    reason = "not a JPEG, PNG, WebP, GIF or BMP image but a web page or an SVG drawing"
    assert f"  3 images cannot be read: 2 the file is empty, 1 {reason}\n" in said
    assert f"  unreadable image '{names[2]}': {reason}\n" in said


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        ("broken", "3 of 30 images cannot be read, more than 5%"),
        ("labels", "have the same bytes as another one with another label or in another split"),
        ("few", "no images to train with for c"),
        ("gone", "there is no such file or folder"),
        ("long", "has a name of 1015 bytes; S3 takes at most 1006 here"),
    ],
)
def test_data_that_cannot_be_trained_on_is_one_sentence_and_exit_code_2(
    photos: Path, capsys: Captured, harm: str, sentence: str
) -> None:
    match harm:
        case "broken":
            for number in range(3):
                (photos / f"b/{number}.jpg").write_bytes(b"x")
        case "labels":
            shutil.copy(photos / "a/1.jpg", photos / "b/again.jpg")
        case "few":
            for path in sorted((photos / "c").iterdir())[1:]:
                path.unlink()
            shutil.rmtree(photos / "a")
            shutil.copytree(photos / "b", photos / "test" / "b")
            shutil.copytree(photos / "c", photos / "test" / "c")
            (photos / "train").mkdir()
            (photos / "b").rename(photos / "train" / "b")
            shutil.rmtree(photos / "c")
        case "gone":
            photos = photos / "nowhere"
        case "long":
            deep = photos / "a" / Path(*["x" * 200] * 5)
            deep.mkdir(parents=True)
            (photos / "a/1.jpg").rename(deep / "1234.jpg")
    code, said = check(capsys, str(photos))
    assert code == 2
    (error,) = [line for line in said.splitlines() if line.startswith("Error: ")]
    assert sentence in error
    assert "sound" not in said


@pytest.mark.parametrize(
    ("pair", "sentence"),
    [
        ("Epochs=3", "-p Epochs: a data set is read by ClassSelection, AnnotationFileName, Seed"),
        ("ClassSelecton=1", "; did you mean ClassSelection?"),
        ("Seed=seven", "-p Seed='seven': give an integer, such as 7"),
        ("ClassSelection=a, d", "there is no class named 'd'"),
        ("AnnotationFileName=x.csv", "AnnotationFileName 'x.csv' is not in"),
    ],
)
def test_a_parameter_that_does_not_fit_is_refused(
    photos: Path, capsys: Captured, pair: str, sentence: str
) -> None:
    code, said = check(capsys, str(photos), "-p", pair)
    assert code == 2
    assert sentence in said


def test_the_seed_splits_the_data(photos: Path, capsys: Captured) -> None:
    _, first = check(capsys, str(photos))
    code, other = check(capsys, str(photos), "-p", "Seed=-3")
    assert code == 0
    assert first.replace("-p Seed=-3", "").splitlines()[:4] == other.splitlines()[:4]
