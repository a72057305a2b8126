"""Preprocess: which data it finds, what it chooses from it, and how it says what is wrong."""

import io
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from image_data import decoding
from image_data.plan import Choice, make_plan
from tests.support.image_data.arrangements import LAYOUTS
from tests.support.image_data.arrangements import pack as pack_any
from tests.support.training.cub_layout import NAMES, pack, picture, write_cub
from tests.support.training.preprocess_job import SPLITS, PreprocessJob


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PreprocessJob:
    return PreprocessJob(tmp_path / "job", monkeypatch)


# --- where the data is -------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["", "CUB_200_2011", "any other name"])
def test_a_data_set_is_found_directly_or_one_folder_deep(job: PreprocessJob, place: str) -> None:
    write_cub(job.data / place)
    (job.data / "attributes.txt").write_text("as in the official archive")
    assert job.run() == 0
    assert {split: len(job.channel(split)) for split in SPLITS} == {"train": 15, "validation": 3, "test": 18}


@pytest.mark.parametrize("archive", ["CUB_200_2011.tgz", "CUB_200_2011.tar.gz", "CUB_200_2011.tar"])
@pytest.mark.parametrize("last", [(), ("images.txt", "classes.txt")])
def test_an_archive_gives_what_its_folder_gives(
    job: PreprocessJob, tmp_path: Path, archive: str, last: tuple[str]
) -> None:
    source = write_cub(tmp_path / "source")
    pack(source, job.data / archive, last=last)
    assert job.run() == 0
    streamed, found = job.manifest(), {split: job.names(split) for split in SPLITS}
    (job.data / archive).unlink()
    shutil.copytree(source, job.data / "source")
    assert job.run() == 0
    assert (job.manifest(), {split: job.names(split) for split in SPLITS}) == (streamed, found)


def test_an_archive_writes_nothing_and_its_links_are_not_followed(job: PreprocessJob, tmp_path: Path) -> None:
    source = write_cub(tmp_path / "source")
    image = source / "images/003.Bobolink/Bobolink no 4.jpg"
    image.unlink()
    image.symlink_to("/etc/passwd")
    with tarfile.open(pack(source, job.data / "CUB_200_2011.tar"), "a") as archive:
        archive.addfile(tarfile.TarInfo("../evil"))
    assert "1 image is listed in images.txt but not in" in job.failure()
    assert not list(tmp_path.rglob("evil"))


def test_the_manifest_and_the_log_say_which_objects_were_read(
    job: PreprocessJob, capsys: pytest.CaptureFixture[str]
) -> None:
    write_cub(job.data)
    assert job.run("--data-digest", "0123456789abcdef") == 0
    assert job.manifest()["input_digest"] == "0123456789abcdef"
    assert "input digest 0123456789abcdef" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["CUB_200_2011.tgz", "CUB_200_2011.tar"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_truncated_archive_is_named_with_its_size(
    job: PreprocessJob, tmp_path: Path, name: str, share: float
) -> None:
    archive = pack(write_cub(tmp_path / "source"), job.data / name)
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * share)])
    reason = job.failure()
    assert name in reason
    assert "truncated or damaged" in reason or "absent" in reason or "missing" in reason
    assert "Traceback" not in reason


def test_a_truncated_official_archive_says_how_big_it_should_be(job: PreprocessJob, tmp_path: Path) -> None:
    archive = pack(write_cub(tmp_path / "source"), job.data / "CUB_200_2011.tgz")
    archive.write_bytes(archive.read_bytes()[:-5000])
    assert "1,150,585,339" in job.failure()


def test_a_missing_folder_is_answered_plainly(job: PreprocessJob) -> None:
    job.data.rmdir()
    assert "the input data is missing" in job.failure()


def test_an_empty_folder_is_answered_plainly(job: PreprocessJob) -> None:
    assert "the input data is empty" in job.failure()


def test_a_folder_without_images_says_what_it_holds_and_what_to_do(job: PreprocessJob) -> None:
    (job.data / "holiday.txt").write_bytes(b"")
    reason = job.failure()
    assert "holds no images but holiday.txt" in reason
    assert "put each class's images into a folder of its name" in reason


def test_two_data_sets_are_not_mixed(job: PreprocessJob) -> None:
    write_cub(job.data / "one")
    write_cub(job.data / "two")
    assert "several data sets (one, two)" in job.failure()


def test_an_absent_image_is_named(job: PreprocessJob) -> None:
    write_cub(job.data)
    (job.data / "images/003.Bobolink/Bobolink no 4.jpg").unlink()
    reason = job.failure()
    assert "1 image is listed in images.txt but not in" in reason
    assert "Bobolink no 4.jpg" in reason


@pytest.mark.parametrize(
    ("file", "line", "expected"),
    [
        ("images.txt", "999 ../../etc/passwd", "images.txt, line 37"),
        ("images.txt", "nonsense", "images.txt, line 37"),
        ("images.txt", "1 001/again.jpg", "listed twice"),
        ("image_class_labels.txt", "99 77", "class 77"),
        ("bounding_boxes.txt", "99 1 2 3", "bounding_boxes.txt, line 37"),
        ("train_test_split.txt", "99 2", "train_test_split.txt, line 37"),
        ("classes.txt", "4 003.Bobolink", "class 4 has the same name as class 3, '003.Bobolink'"),
        ("classes.txt", "4", "class 4 has no name"),
    ],
)
def test_a_wrong_line_is_named_with_its_file(job: PreprocessJob, file: str, line: str, expected: str) -> None:
    write_cub(job.data)
    with (job.data / file).open("a") as table:
        table.write(line + "\n")
    assert expected in job.failure()


def test_an_image_without_a_label_is_named(job: PreprocessJob) -> None:
    write_cub(job.data)
    with (job.data / "images.txt").open("a") as table:
        table.write("99 003.Bobolink/Bobolink no 4.jpg\n")
    assert "image_class_labels.txt has no line for 99" in job.failure()


def test_text_that_is_not_utf_8_is_named(job: PreprocessJob) -> None:
    write_cub(job.data)
    (job.data / "classes.txt").write_bytes("1 Cárdenas\n".encode("latin-1"))
    assert "classes.txt is not UTF-8" in job.failure()


# --- what is chosen ----------------------------------------------------------------------------------------


def test_the_official_test_split_is_kept(job: PreprocessJob) -> None:
    write_cub(job.data)
    assert job.run() == 0
    assert all(int(name.removesuffix(".jpg").split()[-1]) % 2 == 0 for name in job.names("test"))
    assert len(job.names("test")) == 18


def test_the_seed_moves_validation_but_never_the_official_test(job: PreprocessJob) -> None:
    write_cub(job.data, images=30)
    found = []
    for seed in ("1", "1", "2"):
        assert job.run("--seed", seed) == 0
        found.append((job.names("validation"), job.names("test")))
    assert found[0] == found[1]
    assert found[0][0] != found[2][0]
    assert found[0][1] == found[2][1]


def test_without_an_official_split_every_class_is_tested_by_its_share(job: PreprocessJob) -> None:
    write_cub(job.data, split=False, boxes=False, images=20)
    assert job.run() == 0
    tested = [entry.class_id for entry in job.channel("test").entries]
    assert [tested.count(number) for number in (1, 2, 3)] == [4, 4, 4]
    assert job.channel("train").entries[0].box is None


def test_labels_follow_the_chosen_classes(job: PreprocessJob) -> None:
    write_cub(job.data, classes=5)
    assert job.run("--class-selection", "5, 2-3") == 0
    assert [(entry["label"], entry["class_id"]) for entry in job.manifest()["classes"]] == [
        (0, 2),
        (1, 3),
        (2, 5),
    ]
    assert {(entry.label, entry.class_id) for entry in job.channel("train").entries} == {
        (0, 2),
        (1, 3),
        (2, 5),
    }
    assert job.manifest()["classes"][2]["name"] == "005.Cardenal de Cárdenas"


@pytest.mark.parametrize("argument", ["--class-selection", "--annotation-file-name", "--data-digest"])
@pytest.mark.parametrize("blank", ["", " "])
def test_a_blank_argument_is_refused_before_any_data_is_read(
    job: PreprocessJob, argument: str, blank: str
) -> None:
    shutil.rmtree(job.data)  # what would be missed next
    assert f"{argument} is blank; give it a value, or leave it out" in job.failure(argument, blank)


def test_an_unknown_class_is_refused_with_the_legal_ones(job: PreprocessJob) -> None:
    write_cub(job.data)
    reason = job.failure("--class-selection", "2, 13, Bobolnik")
    assert "there is no class 13; the data's classes are 1-3" in reason
    assert "did you mean Bobolink?" in reason


def test_another_annotation_file_names_the_classes(job: PreprocessJob) -> None:
    write_cub(job.data)
    (job.data / "species.txt").write_text("1 One\n2 Two\n3 Three\n")
    assert job.run("--annotation-file-name", "species.txt") == 0
    assert [entry["name"] for entry in job.manifest()["classes"]] == ["One", "Two", "Three"]


def test_an_unknown_annotation_file_is_refused_with_a_suggestion(job: PreprocessJob) -> None:
    write_cub(job.data)
    assert "did you mean classes.txt?" in job.failure("--annotation-file-name", "clases.txt")


def test_a_wrong_argument_becomes_the_exit_message(job: PreprocessJob) -> None:
    write_cub(job.data)
    assert "--seed" in job.failure("--seed", "seven")


# --- whatever the layout -----------------------------------------------------------------------------------

PHOTOS = {
    f"{label + 1:03d}.{NAMES[label]}/no {number}.jpg": picture(label, number)
    for label in range(3)
    for number in range(10)
}


def outputs(job: PreprocessJob) -> dict[str, bytes]:
    folder = job.base / "processing/output"
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    files["manifest/manifest.json"] = files["manifest/manifest.json"].replace(
        job.manifest()["layout"].encode(), b"some layout"
    )
    return files


@pytest.mark.parametrize("splits", [{}, {name: "train" if int(name[-5]) % 3 else "test" for name in PHOTOS}])
def test_the_same_photographs_give_equal_shards_however_they_are_laid_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, splits: dict[str, str]
) -> None:
    found = {}
    packed = [("cub", "a.tgz"), ("class folders", "a.zip"), ("csv", "a.tar.bz2")]
    for layout, archive in [*((layout, "") for layout in LAYOUTS), *packed]:
        job = PreprocessJob(tmp_path / f"{layout} {archive}", monkeypatch)
        source = tmp_path / f"{layout} {archive} source" if archive else job.data
        LAYOUTS[layout](source, PHOTOS, splits, {})
        if archive:
            pack_any(source, job.data / archive, inside="deep/er/")
        assert job.run() == 0
        found[layout, archive] = outputs(job)
    first = found["cub", ""]
    assert sorted(path for path in first if "shard" in path) == [
        f"{split}/shard-algo-1-000.tar" for split in ("test", "train", "validation")
    ]
    for how, files in found.items():
        assert files == first, how


# --- what only the images tell -----------------------------------------------------------------------------


def test_photographs_turned_by_exif_give_the_pixels_of_the_straight_ones(job: PreprocessJob) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    for number, (name, data) in enumerate(PHOTOS.items()):
        path = job.data / name
        path.parent.mkdir(exist_ok=True)
        with Image.open(io.BytesIO(data)) as image:
            lying = image.transpose(Image.Transpose.ROTATE_90) if number % 2 else image
            lying.save(path, "PNG", exif=exif if number % 2 else None)
    assert job.run() == 0
    pixels = {
        entry.name: job.channel(split).pixels(place)
        for split in ("validation", "test")
        for place, entry in enumerate(job.channel(split).entries)
    }
    assert len(pixels) == 9
    for name, found in pixels.items():
        straight = np.asarray(decoding.shrink(decoding.decode(PHOTOS[name]), 40))
        assert (found.permute(1, 2, 0).numpy() == straight).all()


def write_class_folders(job: PreprocessJob, changed: dict[str, bytes]) -> None:
    for name, data in {**PHOTOS, **changed}.items():
        path = job.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def of_class(label: int, split: str, job: PreprocessJob) -> list[str]:
    """Names of a class's images in a split, as the step chooses it."""
    plan = make_plan(job.data, Choice())
    return [
        image.name for image in plan.images if image.class_id == label and plan.splits[image.number] == split
    ]


def test_a_class_without_readable_images_to_train_with_is_named(job: PreprocessJob) -> None:
    write_class_folders(job, {})
    for name in of_class(3, "train", job):
        (job.data / name).write_bytes(b"broken")
    reason = job.failure("--unreadable-share", "0.5")
    assert "none of the images to train with can be read for 003.Bobolink" in reason


def test_a_split_without_readable_images_is_named(job: PreprocessJob) -> None:
    write_class_folders(job, {})
    for label in (1, 2, 3):
        for name in of_class(label, "validation", job):
            (job.data / name).write_bytes(b"broken")
    assert "none of the 3 validation images can be read" in job.failure("--unreadable-share", "0.5")


def test_what_cannot_be_read_is_counted_by_reason(job: PreprocessJob) -> None:
    write_class_folders(job, {"001.Black_footed_Albatross/a.jpg": b"%PDF", "003.Bobolink/b.tif": b"II*\0"})
    assert job.run("--unreadable-share", "0.2") == 0
    assert job.manifest()["unreadable_reasons"] == {
        "not a JPEG, PNG, WebP, GIF or BMP image but a PDF document": 1,
        "not a JPEG, PNG, WebP, GIF or BMP image but a TIFF image": 1,
    }


@pytest.mark.parametrize(("other", "what"), [(2, "labelled 001.Black_footed_Albatross and 002"), (1, "in ")])
def test_equal_bytes_under_two_labels_or_in_two_splits_fail_the_step(
    job: PreprocessJob, other: int, what: str
) -> None:
    write_class_folders(job, {})
    one, two = of_class(1, "train", job)[0], of_class(other, "test", job)[0]
    (job.data / two).write_bytes(PHOTOS[one])
    reason = job.failure()
    assert "2 of 30 images have the same bytes as another one" in reason
    assert what in reason
    assert repr(one) in reason


def test_a_few_equal_images_are_named_in_the_manifest_and_in_the_log(
    job: PreprocessJob, capsys: pytest.CaptureFixture[str]
) -> None:
    write_cub(job.data, images=80)
    names = [f"001.Black_footed_Albatross/Black_footed_Albatross no {number}.jpg" for number in (0, 1)]
    (job.data / "images" / names[1]).write_bytes((job.data / "images" / names[0]).read_bytes())
    assert job.run() == 0
    (found,) = job.manifest()["duplicates"]
    assert found["names"] == names
    assert "test" in found["splits"]
    assert "warning: the same bytes in several splits" in capsys.readouterr().err


def test_equal_images_of_one_label_in_one_split_are_nobody_s_fault(job: PreprocessJob) -> None:
    write_class_folders(job, {})
    one, two = of_class(1, "train", job)[:2]
    (job.data / two).write_bytes(PHOTOS[one])
    assert job.run() == 0
    assert job.manifest()["duplicates"] == []


def test_boxes_beside_their_images_fail_the_step_and_a_few_are_left_out(job: PreprocessJob) -> None:
    write_cub(job.data, images=50)
    boxes = (job.data / "bounding_boxes.txt").read_text().splitlines()
    for count, line in ((1, boxes[0]), (2, boxes[1])):
        number = line.split()[0]
        boxes[count - 1] = f"{number} 800.0 600.0 40.0 30.0"
        (job.data / "bounding_boxes.txt").write_text("\n".join(boxes))
        if count == 1:
            assert job.run() == 0
            (name,) = job.manifest()["boxes_outside_their_images"]
            without = [e.name for split in SPLITS for e in job.channel(split).entries if e.box is None]
            assert without == [name]
        else:
            assert "2 of 150 boxes lie outside of their images, more than 1%" in job.failure()
