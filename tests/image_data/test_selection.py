"""Choosing classes and splitting their images."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_data.errors import DataError
from image_data.records import ImageRecord
from image_data.selection import ranges, select_classes
from image_data.split import assign_splits

CLASSES = {number: f"{number:03d}.{name}" for number, name in enumerate(string.ascii_uppercase, start=1)}
CLASSES |= {30: "030.Fish_Crow"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("13, 17, 2", [2, 13, 17]),
        ("1-3, 30", [1, 2, 3, 30]),
        ("1 - 3", [1, 2, 3]),
        ("2,2,1-2", [1, 2]),
        ("fish_crow, 001.A", [1, 30]),
        ("ALL", [*range(1, 27), 30]),
    ],
)
def test_numbers_ranges_and_names_choose_classes(text: str, expected: list[int]) -> None:
    assert list(select_classes(text, CLASSES)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("13, 99", "there is no class 99; the data's classes are 1-26, 30"),
        ("20-28", "there is no class 20 or no class 28"),
        ("1, Fish_Craw", "did you mean Fish_Crow?"),
        ("5", "at least 2"),
        ("9-7, 3", "the range 9-7 runs backwards; write 7-9"),
        ("0, 1, 2", "there is no class 0"),
        ("", "ClassSelection is blank; write all for every class"),
        (" ", "ClassSelection is blank; write all for every class"),
    ],
)
def test_what_cannot_be_chosen_is_explained(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message.replace("?", r"\?")):
        select_classes(text, CLASSES)


def test_all_of_one_class_is_too_few() -> None:
    with pytest.raises(DataError, match="at least 2"):
        select_classes("all", {1: "001.A"})


@given(st.sets(st.integers(1, 300), min_size=2))
def test_ranges_choose_what_they_were_written_from(numbers: set[int]) -> None:
    classes = {number: str(number) for number in range(1, 301)}
    assert set(select_classes(ranges(numbers), classes)) == numbers


RECORDS = st.lists(st.integers(1, 4), min_size=1, max_size=60).map(
    lambda labels: [
        ImageRecord(i, f"{label}/{i}.jpg", "", label, None, None) for i, label in enumerate(labels)
    ]
)


@given(RECORDS, st.integers(0, 5), st.randoms())
def test_a_split_depends_on_names_and_seed_but_not_on_order(
    records: list[ImageRecord], seed: int, rng: object
) -> None:
    def split(images: list[ImageRecord]) -> dict[int, str]:
        return assign_splits(images, seed=seed, validation_share=0.1, test_share=0.2)

    mixed = list(records)
    rng.shuffle(mixed)  # type: ignore[attr-defined]
    assert split(mixed) == split(records)


@given(RECORDS, st.integers(0, 5))
def test_every_class_keeps_images_to_train_with(records: list[ImageRecord], seed: int) -> None:
    splits = assign_splits(records, seed=seed, validation_share=0.1, test_share=0.2)
    assert splits.keys() == {record.number for record in records}
    for label in {record.class_id for record in records}:
        members = [splits[record.number] for record in records if record.class_id == label]
        assert "train" in members
        if len(members) >= 3:
            assert {"validation", "test"} <= set(members)
