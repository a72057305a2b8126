"""The sample data is CUB's layout, the same bytes every time, and says that it is drawn."""

from __future__ import annotations

import io
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from local.birds.plumage import SPECIES, Species
from local.birds.portrait import portrait
from local.sample_birds import class_name, generate, write_archive

NAMES = {
    13: "013.Bobolink",
    17: "017.Cardinal",
    35: "035.Purple_Finch",
    36: "036.Northern_Flicker",
    47: "047.American_Goldfinch",
    68: "068.Ruby_throated_Hummingbird",
    73: "073.Blue_Jay",
    87: "087.Mallard",
}
PER_CLASS = 3


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("birds"), images_per_class=PER_CLASS)


def table(data: Path, name: str) -> dict[int, str]:
    lines = (data / name).read_text().splitlines()
    return {int(number): rest for number, rest in (line.split(" ", 1) for line in lines)}


def test_the_classes_have_cubs_numbers_and_names(data: Path) -> None:
    assert table(data, "classes.txt") == NAMES
    assert {species.class_id: class_name(species) for species in SPECIES} == NAMES


def test_every_listed_image_is_there_in_the_folder_of_its_class(data: Path) -> None:
    images, labels = table(data, "images.txt"), table(data, "image_class_labels.txt")

    assert list(images) == list(range(1, 8 * PER_CLASS + 1))
    assert Counter(labels.values()) == dict.fromkeys(map(str, NAMES), PER_CLASS)
    for number, name in images.items():
        assert name.startswith(NAMES[int(labels[number])] + "/")
        assert (data / "images" / name).is_file()


def test_about_half_of_each_class_is_for_training(data: Path) -> None:
    labels, split = table(data, "image_class_labels.txt"), table(data, "train_test_split.txt")
    train = Counter(labels[number] for number, flag in split.items() if flag == "1")

    assert set(split.values()) == {"0", "1"}
    assert all(train[str(class_id)] == 2 for class_id in NAMES)


def test_pictures_have_the_size_of_cubs_and_say_that_they_are_drawings(data: Path) -> None:
    for name in table(data, "images.txt").values():
        with Image.open(data / "images" / name) as picture:
            assert picture.format == "JPEG"
            assert max(picture.size) == 500
            assert 333 <= min(picture.size) <= 400
            assert b"drawing" in picture.info["comment"]
            assert "drawing" in picture.getexif()[0x010E]
    assert "DRAWINGS" in (data / "README.txt").read_text()


def test_boxes_lie_in_their_pictures_and_hold_a_bird_of_some_size(data: Path) -> None:
    images = table(data, "images.txt")
    for number, text in table(data, "bounding_boxes.txt").items():
        x, y, width, height = map(float, text.split())
        with Image.open(data / "images" / images[number]) as picture:
            assert x >= 0
            assert y >= 0
            assert x + width <= picture.width
            assert y + height <= picture.height
        assert width * height > 30 * 30


def test_the_same_seed_gives_the_same_bytes_and_another_one_other_pictures(
    data: Path, tmp_path: Path
) -> None:
    again = generate(tmp_path / "again", images_per_class=PER_CLASS)
    other = generate(tmp_path / "other", images_per_class=2, seed=8)
    files = sorted(path.relative_to(data) for path in data.rglob("*.*") if path.suffix in (".jpg", ".txt"))

    assert len(files) == 8 * PER_CLASS + 6
    assert all((again / file).read_bytes() == (data / file).read_bytes() for file in files)
    first = table(data, "images.txt")[1]
    assert (other / "images" / first).read_bytes() != (data / "images" / first).read_bytes()


def test_no_two_pictures_are_the_same(data: Path) -> None:
    pictures = [path.read_bytes() for path in (data / "images").rglob("*.jpg")]

    assert len(set(pictures)) == len(pictures)


def test_the_archive_holds_the_data_set_under_cubs_root_and_is_the_same_every_time(data: Path) -> None:
    (data / "images" / "stray.jpg").write_bytes(b"not listed")
    archive = write_archive(data)
    first = archive.read_bytes()
    with tarfile.open(fileobj=io.BytesIO(first)) as opened:
        names = opened.getnames()

    assert archive.name == "CUB_200_2011.tgz"
    assert write_archive(data).read_bytes() == first
    assert {name.split("/")[0] for name in names} == {"CUB_200_2011"}
    assert len(names) == 8 * PER_CLASS + 6
    assert "CUB_200_2011/images/stray.jpg" not in names


def test_too_few_images_to_split_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        generate(tmp_path, images_per_class=1)


@pytest.mark.parametrize("species", SPECIES, ids=[species.name for species in SPECIES])
def test_no_single_colour_gives_a_species_away(species: Species) -> None:
    """Over twelve birds of a species the mean colour of the bird varies more than noise would make it."""
    means = []
    for index in range(12):
        made = portrait(species, np.random.default_rng([99, species.class_id, index]))
        x, y, width, height = made.box
        means.append(np.asarray(made.picture.crop((x, y, x + width, y + height))).mean(axis=(0, 1)))
    assert np.std(means, axis=0).max() > 12
