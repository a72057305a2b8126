"""What is found while images are read: what is only told, and what is too much to train on."""

from pathlib import Path

import pytest

from image_data.errors import DataError
from image_data.inspection import Inspection, inspect
from image_data.plan import Choice, make_plan
from tests.support.image_data.arrangements import as_class_folders
from tests.support.training.cub_layout import picture


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two classes of forty images."""
    names = {
        f"{name}/{n:02}.jpg": picture(label, n, (24, 18))
        for label, name in enumerate("ab")
        for n in range(40)
    }
    as_class_folders(tmp_path / "data", names, {}, {})
    return tmp_path / "data"


def inspected(place: Path) -> Inspection:
    return inspect(make_plan(place, Choice()), lambda: None)


def test_empty_files_are_unreadable_and_not_the_same_image(place: Path) -> None:
    for name in ("a/01", "a/02", "b/01", "b/02"):
        (place / f"{name}.jpg").write_bytes(b"")
    found = inspected(place)
    found.check()
    assert found.duplicates() == []
    assert found.reasons() == ["4 the file is empty"]


def test_an_image_under_two_labels_is_found_beside_broken_ones(place: Path) -> None:
    (place / "a/01.jpg").write_bytes(b"")
    (place / "a/02.jpg").write_bytes((place / "b/02.jpg").read_bytes())
    found = inspected(place)
    assert [each.names for each in found.duplicates()] == [("a/02.jpg", "b/02.jpg")]
    with pytest.raises(
        DataError, match="2 of 80 images have the same bytes as another one with another label"
    ):
        found.check()
