"""The sample data is CUB's layout, the same bytes every time, says that it is drawn, and can be learned."""

import functools
import io
import itertools
import re
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import ExifTags, Image

from local import sample_data
from local.sample_data import SPECIES, cached_archive, draw, generate, write_archive
from pipeline_definition.parameters import parameters
from tests.support.training.preprocess_job import SPLITS, PreprocessJob

ROOT = Path(__file__).resolve().parents[2]
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
PER_CLASS = 5


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("birds") / "new", images_per_class=PER_CLASS)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Let the cached data set be a small one; the folders that it is drawn into."""
    drawn: list[Path] = []

    def generate_few(directory: Path) -> Path:
        drawn.append(directory)
        return generate(directory, images_per_class=2)

    monkeypatch.setattr(sample_data, "generate", generate_few)
    return drawn


def table(data: Path, name: str) -> dict[int, str]:
    lines = (data / name).read_text().splitlines()
    return {int(number): rest for number, rest in (line.split(" ", 1) for line in lines)}


def interrupt_after(calls: int, function: Callable[..., object]) -> Callable[..., object]:
    """`function` whose next call after so many is Ctrl-C."""
    count = itertools.count()

    @functools.wraps(function)
    def interrupted(*arguments: object, **options: object) -> object:
        if next(count) >= calls:
            raise KeyboardInterrupt
        return function(*arguments, **options)

    return interrupted


def test_the_classes_are_those_that_the_readme_chooses_of_cub(data: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    chosen = re.findall(r'"?ClassSelection"?[:=] ?"?([0-9, ]+)"', readme)

    assert table(data, "classes.txt") == NAMES
    assert len(chosen) == 2, "at the run, and at the upload"
    assert {text.replace(" ", "") for text in chosen} == {",".join(map(str, NAMES))}


def test_by_default_every_class_of_the_data_is_learned() -> None:
    assert [each.default for each in parameters() if each.name == "ClassSelection"] == ["all"]


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
    assert all(train[str(class_id)] == 3 for class_id in NAMES)


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "archive"])
def test_preprocess_reads_it(
    packed: bool, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = PreprocessJob(tmp_path, monkeypatch)
    given = write_archive(data) if packed else data
    job.data.rmdir()
    if packed:
        job.data.mkdir()
    (job.data / given.name if packed else job.data).symlink_to(given)

    assert job.run("--class-selection", ", ".join(map(str, NAMES))) == 0, job.message
    assert job.message.startswith(f"CUB-200-2011, 8 classes, {8 * PER_CLASS} images")
    assert "0 unreadable" in job.message
    assert [len(job.names(split)) for split in SPLITS] == [16, 8, 16]


def test_every_picture_says_that_it_is_a_drawing(data: Path) -> None:
    for name in table(data, "images.txt").values():
        with Image.open(data / "images" / name) as picture:
            assert picture.format == "JPEG"
            assert b"drawing" in picture.info["comment"]
            assert "not a photograph" in picture.getexif()[ExifTags.Base.ImageDescription]
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


def test_too_few_images_to_split_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be at least 2"):
        generate(tmp_path, images_per_class=1)


def test_the_command_draws_as_many_as_asked_for_with_that_seed(tmp_path: Path) -> None:
    arguments = ["local.sample_data", str(tmp_path), "--images-per-class", "2", "--seed", "8"]
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert "16 drawings of 8 classes" in done.stdout
    assert "2 images a class, seed 8" in (tmp_path / "README.txt").read_text()
    with tarfile.open(tmp_path / "drawn-birds.tgz") as archive:
        assert len(archive.getnames()) == 16 + 6


def test_the_archive_holds_the_data_set_under_cubs_root_and_is_the_same_every_time(data: Path) -> None:
    (data / "images" / "stray.jpg").write_bytes(b"not listed")
    archive = write_archive(data)
    first = archive.read_bytes()
    with tarfile.open(fileobj=io.BytesIO(first)) as opened:
        names = opened.getnames()

    assert archive.name == "drawn-birds.tgz"
    assert write_archive(data).read_bytes() == first
    assert {name.split("/")[0] for name in names} == {"drawn-birds"}
    assert len(names) == 8 * PER_CLASS + 6
    assert "drawn-birds/images/stray.jpg" not in names


def test_an_interrupted_archive_leaves_nothing_behind_and_an_older_one_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(tmp_path, images_per_class=2)
    before = sorted(tmp_path.rglob("*"))
    add = tarfile.TarFile.addfile
    for older in (None, b"an older one"):
        if older is not None:
            (tmp_path / "drawn-birds.tgz").write_bytes(older)
        monkeypatch.setattr(tarfile.TarFile, "addfile", interrupt_after(5, add))
        with pytest.raises(KeyboardInterrupt):
            write_archive(tmp_path)
        left = {path: path.read_bytes() for path in tmp_path.rglob("*") if path not in before}
        assert left == ({} if older is None else {tmp_path / "drawn-birds.tgz": older})


def test_the_cached_archive_is_drawn_once(few: list[Path], tmp_path: Path) -> None:
    archive = cached_archive(tmp_path / "cache")

    assert cached_archive(tmp_path / "cache") == archive
    assert len(few) == 1
    assert archive.is_file()
    assert archive.name == "drawn-birds.tgz"


def test_another_program_or_library_draws_anew(
    few: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every part of the key counts: a stale archive would be taken for what the program draws now."""
    found = {cached_archive(tmp_path)}
    edited = tmp_path / "edited.py"
    edited.write_bytes(Path(sample_data.__file__).read_bytes() + b"\n")
    changes = ((sample_data, "__file__", str(edited)), (PIL, "__version__", "99"), (np, "__version__", "99"))
    for changed, attribute, value in changes:
        with monkeypatch.context() as patch:
            patch.setattr(changed, attribute, value)
            found.add(cached_archive(tmp_path))

    assert len(found) == 4
    assert len(few) == 4


def test_interrupted_drawing_leaves_no_archive_and_the_next_run_draws_it(
    few: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_data, "draw", interrupt_after(5, draw))
    with pytest.raises(KeyboardInterrupt):
        cached_archive(tmp_path)

    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not list(tmp_path.glob(".drawing-*"))
    monkeypatch.setattr(sample_data, "draw", draw)
    assert cached_archive(tmp_path).is_file()


def test_a_killed_process_leaves_no_archive_and_the_next_run_draws_it(
    few: list[Path], tmp_path: Path
) -> None:
    code = "import pathlib, sys; from local.sample_data import *; cached_archive(pathlib.Path(sys.argv[1]))"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT) as drawing:
        deadline = time.monotonic() + 60
        while not list(tmp_path.rglob("*.jpg")) and time.monotonic() < deadline:
            time.sleep(0.05)
        drawing.kill()
        assert drawing.wait() == -signal.SIGKILL

    assert list(tmp_path.rglob("*.jpg"))
    assert not list(tmp_path.rglob("*.tgz"))
    assert cached_archive(tmp_path).is_file()


def test_two_that_draw_at_once_both_get_the_whole_archive(
    few: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, generate_few = threading.Barrier(2, timeout=60), sample_data.generate

    def meet(directory: Path) -> Path:
        both.wait()  # so that neither finds the other's archive
        return generate_few(directory)

    monkeypatch.setattr(sample_data, "generate", meet)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(cached_archive, [tmp_path, tmp_path]))

    assert found[0] == found[1]
    assert len(set(few)) == 2
    with tarfile.open(found[0]) as archive:
        assert len(archive.getnames()) == 8 * 2 + 6


def test_a_class_is_in_the_bird_and_not_in_what_is_behind_it() -> None:
    """The bird's mean colour tells the class now and then, the background's no more often than chance."""
    birds, backgrounds, labels = [], [], []
    for label, species in enumerate(SPECIES):
        for index in range(12):
            picture, (x, y, width, height) = draw(
                species, np.random.default_rng([99, species.class_id, index])
            )
            pixels = np.asarray(picture, float)
            behind = np.ones(pixels.shape[:2], bool)
            behind[y : y + height, x : x + width] = False
            middle = pixels[y + height // 4 : y + 3 * height // 4, x + width // 4 : x + 3 * width // 4]
            birds.append(middle.mean((0, 1)))
            backgrounds.append(pixels[behind].mean(0))
            labels.append(label)

    assert 0.25 < nearest_mean(np.array(birds), np.array(labels)) < 0.8
    assert nearest_mean(np.array(backgrounds), np.array(labels)) < 0.25, "chance is 0.125"


def nearest_mean(features: np.ndarray, labels: np.ndarray) -> float:
    """How many are nearest to the mean of their own class, each left out of the means."""
    right = 0
    for index, feature in enumerate(features):
        others = np.arange(len(features)) != index
        means = [features[others & (labels == label)].mean(0) for label in range(len(SPECIES))]
        right += int(np.argmin(np.linalg.norm(np.array(means) - feature, axis=1)) == labels[index])
    return right / len(features)
