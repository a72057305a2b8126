"""`cv-pipeline dataset preview`: one page that shows images as training sees them, and nothing of itself."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from image_data import decoding
from image_data.records import SPLITS
from ops import __main__ as cli
from tests.support.image_data.arrangements import as_class_folders, as_csv, pack
from tests.support.training.cub_layout import picture

Captured = pytest.CaptureFixture[str]


class _Elements(HTMLParser):
    """Every element of a page with its attributes, and the texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.found if name == tag]

    def thumbnails(self) -> list[Image.Image]:
        sources = [each["href"] for each in self.all("image")]
        return [Image.open(io.BytesIO(base64.b64decode(each.partition(",")[2]))) for each in sources]


def preview(capsys: Captured, data: Path, *arguments: str) -> tuple[int, str]:
    capsys.readouterr()
    code = cli.run(["dataset", "preview", str(data), *arguments])
    said = capsys.readouterr()
    return code, said.out + said.err


def page(capsys: Captured, data: Path, output: Path, *arguments: str) -> _Elements:
    """Write a preview that has to succeed, and return its elements."""
    code, said = preview(capsys, data, "--output", str(output), *arguments)
    assert code == 0, said
    return _Elements(output.read_text(encoding="utf-8"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    names = {f"{name}/{n}.jpg": picture(label, n) for label, name in enumerate("abc") for n in range(10)}
    as_class_folders(tmp_path / "photos", names, {}, {})
    return tmp_path / "photos"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "page.html"


def test_images_of_each_class_are_shown_with_their_split_and_name(
    photos: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = preview(capsys, photos, "--images-per-class", "4")
    written = (tmp_path / "dataset-preview.html").read_text(encoding="utf-8")
    shown = _Elements(written)
    assert code == 0
    assert "Wrote dataset-preview.html (" in said
    assert "12 images of 3 of 3 classes" in said
    assert [each["title"] for each in shown.all("figcaption")][:4] == [
        "a/0.jpg",
        "a/2.jpg",
        "a/5.jpg",
        "a/7.jpg",
    ]
    assert [text for text in shown.texts if text in SPLITS].count("train") > 6
    assert sum(text in SPLITS for text in shown.texts) == 12
    assert len(shown.thumbnails()) == 12
    assert [each["href"] for each in shown.all("a")[1:4]] == ["#class-1", "#class-2", "#class-3"]


def test_a_page_is_made_of_an_archive_too_and_loads_nothing_from_anywhere(
    photos: Path, tmp_path: Path, output: Path, capsys: Captured
) -> None:
    shown = page(capsys, pack(photos, tmp_path / "photos.tgz"), output)
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert {"http-equiv": "Content-Security-Policy", "content": policy} in shown.all("meta")
    targets = [each[name] for _, each in shown.found for name in ("src", "href", "srcset") if name in each]
    assert all(each.startswith(("#", "data:image/jpeg;base64,")) for each in targets)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in shown.found}
    assert "url(" not in output.read_text(encoding="utf-8")


def test_an_image_is_seen_as_training_sees_it(tmp_path: Path, output: Path, capsys: Captured) -> None:
    lying = Image.new("RGB", (120, 60), (200, 10, 10))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned, clear = io.BytesIO(), io.BytesIO()
    lying.save(turned, "JPEG", exif=exif)
    Image.new("RGBA", (60, 60), (0, 255, 0, 0)).save(clear, "PNG")
    names = {f"b/{n}.jpg": picture(0, n) for n in range(4)}
    names |= {f"a/{n}.jpg": turned.getvalue() + bytes([n]) for n in range(3)}
    names["a/9.png"] = clear.getvalue()
    as_class_folders(tmp_path / "data", names, {}, {})
    shown = page(capsys, tmp_path / "data", output)
    first, *_, last = shown.thumbnails()[:4]
    assert first.size == (60, 120)
    assert last.getpixel((5, 5)) == (255, 255, 255)
    assert shown.all("svg")[0]["viewbox"] == "0 0 60 120"


def test_a_thumbnail_is_small_and_carries_no_metadata(tmp_path: Path, output: Path, capsys: Captured) -> None:
    names = {
        f"{name}/{n}.jpg": picture(label, n, (900, 700)) for label, name in enumerate("ab") for n in range(4)
    }
    as_class_folders(tmp_path / "data", names, {}, {})
    for thumbnail in page(capsys, tmp_path / "data", output).thumbnails():
        assert thumbnail.size == (206, 160)
        assert not thumbnail.getexif()


def test_boxes_are_drawn_and_one_outside_is_told(tmp_path: Path, output: Path, capsys: Captured) -> None:
    names = {f"{name}/{n}.jpg": picture(label, n) for label, name in enumerate("ab") for n in range(4)}
    boxes = dict.fromkeys(names, (8.0, 6.0, 40.0, 30.0)) | {"b/3.jpg": (800.0, 6.0, 40.0, 30.0)}
    as_csv(tmp_path / "data", names, {}, boxes)
    shown = page(capsys, tmp_path / "data", output)
    drawn = [(each["x"], each["y"], each["width"], each["height"]) for each in shown.all("rect")]
    assert drawn == [("8.0", "6.0", "40.0", "30.0")] * 14  # a dark and a light line for each of 7
    assert shown.texts.count("its box lies outside of it and is left out") == 1


def test_an_image_that_cannot_be_read_is_a_tile_with_the_reason(
    photos: Path, output: Path, capsys: Captured
) -> None:
    for number in range(10):
        (photos / f"b/{number}.jpg").write_bytes(b"<svg onload=alert(1)>" if number else b"")
    shown = page(capsys, photos, output)
    assert "cannot be read: the file is empty" in shown.texts
    assert len(shown.thumbnails()) == 12


def test_names_are_shown_as_they_are_and_run_nothing(tmp_path: Path, output: Path, capsys: Captured) -> None:
    odd = "<script>alert(1) \"'&amp;"
    names = {
        f"{label}/{odd}{n}.jpg": picture(k, n) for k, label in enumerate((f"a {odd}", "b")) for n in range(4)
    }
    as_class_folders(tmp_path / odd, names, {}, {})
    shown = page(capsys, tmp_path / odd, output)
    assert "script" not in {tag for tag, _ in shown.found}
    assert odd in shown.texts
    assert shown.all("figcaption")[0]["title"] == f"a {odd}/{odd}0.jpg"


def test_a_page_holds_as_many_classes_as_a_phone_shows_and_says_how_many_more(
    tmp_path: Path, output: Path, capsys: Captured
) -> None:
    shown = picture(0, 0, (640, 480))
    names = {f"{label:03}/{n}.jpg": shown + bytes([label, n]) for label in range(1, 101) for n in range(4)}
    as_class_folders(tmp_path / "many", names, {}, {})
    first = page(capsys, tmp_path / "many", output, "--images-per-class", "3")
    assert len(first.thumbnails()) == 240
    assert any("The first 80 classes are shown; there are 20 more." in text for text in first.texts)
    assert output.stat().st_size < 6e6
    chosen = page(capsys, tmp_path / "many", output, "-p", "ClassSelection=81-100")
    assert len(chosen.thumbnails()) == 80
    assert not any("more" in text for text in chosen.texts)


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ("missing/page.html", "page.html cannot be written: No such file or directory"),
        (".html", "give a name that ends in .html"),
        ("photos", "give a name that ends in .html"),
        ("folder.html", "is a folder; give a file's name"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_before_any_image_is_read(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch, where: str, sentence: str
) -> None:
    def never(_: bytes) -> Image.Image:
        raise AssertionError("an image is read")

    (tmp_path / "folder.html").mkdir()
    monkeypatch.setattr(decoding, "decode", never)
    code, said = preview(capsys, tmp_path / "nowhere", "--output", str(tmp_path / where))
    assert code == 2
    assert sentence in said


def test_what_fails_leaves_the_earlier_page_and_nothing_else(
    tmp_path: Path, output: Path, capsys: Captured
) -> None:
    output.write_text("earlier")
    code, said = preview(capsys, tmp_path / "nowhere", "--output", str(output))
    assert code == 2
    assert re.search(r"Error: .*nowhere: there is no such file or folder", said)
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert output.read_text() == "earlier"


def test_a_full_disk_is_told(photos: Path, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / ".full.html.part").symlink_to("/dev/full")
    code, said = preview(capsys, photos, "--output", str(tmp_path / "full.html"))
    assert code == 2
    assert "full.html cannot be written: No space left on device; give another --output" in said
    assert not (tmp_path / "full.html").exists()
