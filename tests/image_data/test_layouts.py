"""Which layouts and archives are read, that all give the same data set, and what wrong ones are told."""

import json
import os
import shutil
import tarfile
import unicodedata
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_data.errors import DataError
from image_data.files import MAX_TEXT_BYTES
from image_data.layouts import find_data_set
from image_data.plan import Choice, make_plan
from image_data.records import DataSet
from tests.support.image_data.arrangements import LAYOUTS, Boxes, Photos, Splits, as_cub, class_of, pack
from tests.support.training.cub_layout import NAMES, picture

PHOTOS: Photos = {
    f"{label + 1:03d}.{NAMES[label]}/no {number}.jpg": picture(label, number, (24, 18))
    for label in (0, 2, 4)
    for number in range(6)
}
SPLITS: Splits = {name: "test" if name.endswith(("1.jpg", "4.jpg")) else "train" for name in PHOTOS}
BOXES: Boxes = dict.fromkeys(PHOTOS, (1.0, 2.0, 10.0, 5.5))


def told(data: DataSet) -> object:
    """What a data set says, but for where its files are."""
    return dict(data.classes), [
        (image.number, image.name, image.class_id, image.box, image.split) for image in data.images
    ]


def contents(data: DataSet) -> dict[str, bytes]:
    return {image.name: content for image, content in data.read(data.images)}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


# --- the same data set, however it is laid out and packed --------------------------------------------------


@pytest.mark.parametrize("splits", [{}, SPLITS], ids=["open", "given"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_says_the_same_of_the_same_photographs(
    place: Path, tmp_path: Path, layout: str, splits: Splits
) -> None:
    as_cub(tmp_path / "cub", PHOTOS, splits, {})
    LAYOUTS[layout](place, PHOTOS, splits, {})
    data = find_data_set(place)
    assert told(data) == told(find_data_set(tmp_path / "cub"))
    assert contents(data) == PHOTOS


@pytest.mark.parametrize("layout", ["cub", "csv", "tsv"])
def test_boxes_are_read_where_a_layout_has_them(place: Path, layout: str) -> None:
    LAYOUTS[layout](place, PHOTOS, {}, BOXES)
    assert {image.box for image in find_data_set(place).images} == {(1.0, 2.0, 10.0, 5.5)}


def test_corners_are_read_as_boxes_and_an_image_may_have_none(place: Path) -> None:
    LAYOUTS["class folders"](place, PHOTOS, {}, {})
    lines = [f"{name},{class_of(name)},,,," for name in PHOTOS]
    lines[0] = lines[0].replace(",,,,", ",1,2,11,7.5")
    (place / "x.csv").write_text("file,species,xmin,ymin,xmax,ymax\n" + "\n".join(lines))
    boxes = [image.box for image in find_data_set(place).images]
    assert boxes[0] == (1.0, 2.0, 10.0, 5.5)
    assert set(boxes[1:]) == {None}


def test_boxes_in_shares_of_the_image_are_refused(place: Path) -> None:
    LAYOUTS["csv"](place, PHOTOS, {}, dict.fromkeys(PHOTOS, (0.2, 0.1, 0.5, 0.9)))
    with pytest.raises(DataError, match="every box lies within one pixel; give pixels"):
        find_data_set(place)


@pytest.mark.parametrize("inside", ["", "home/me/birds/"])
@pytest.mark.parametrize("archive", ["a.tar", "a.tgz", "A.TGZ", "a.tar.gz", "a.tar.bz2", "a.tar.xz", "a.zip"])
@pytest.mark.parametrize("layout", ["cub", "class folders", "csv"])
def test_every_archive_gives_what_its_folder_gives(
    place: Path, tmp_path: Path, layout: str, archive: str, inside: str
) -> None:
    LAYOUTS[layout](tmp_path / "source", PHOTOS, SPLITS, {})
    path = pack(tmp_path / "source", place / archive, inside=inside)
    expected = told(find_data_set(tmp_path / "source"))
    for where in (place, path):
        data = find_data_set(where)
        assert told(data) == expected
        assert contents(data) == PHOTOS


def test_an_archive_is_known_by_its_bytes_and_not_by_its_name(place: Path, tmp_path: Path) -> None:
    LAYOUTS["cub"](tmp_path / "source", PHOTOS, {}, {})
    for suffix in ("tar", "zip", "tar.bz2"):
        pack(tmp_path / "source", tmp_path / f"a.{suffix}").rename(place / "CUB_200_2011.tgz")
        assert contents(find_data_set(place)) == PHOTOS


def test_folders_lie_at_any_depth_and_what_systems_leave_behind_is_left_out(place: Path) -> None:
    LAYOUTS["class folders"](place / "a b" / "ü" / "c", PHOTOS, {}, {})
    for junk in ("__MACOSX/a/._x.jpg", ".hidden/y.jpg", "a b/.DS_Store", "a b/ü/c/Thumbs.db"):
        (place / junk).parent.mkdir(parents=True, exist_ok=True)
        (place / junk).write_bytes(b"")
    data = find_data_set(place)
    assert contents(data) == PHOTOS
    assert not data.notes


def test_names_match_whichever_way_their_accents_are_written(place: Path, tmp_path: Path) -> None:
    as_cub(tmp_path / "cub", PHOTOS, {}, {})
    expected = told(find_data_set(tmp_path / "cub"))
    decomposed = {unicodedata.normalize("NFD", name): data for name, data in PHOTOS.items()}
    assert decomposed.keys() != PHOTOS.keys()
    as_cub(place, PHOTOS, {}, {})
    shutil.rmtree(place / "images")
    for name, data in decomposed.items():
        (place / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "images" / name).write_bytes(data)
    assert told(find_data_set(place)) == expected
    assert contents(find_data_set(place)) == PHOTOS


@given(
    names=st.sets(
        st.tuples(
            st.sampled_from(["cat", "dog", "Küken", "3", "003.x"]),
            st.text(
                st.characters(exclude_characters="/\\\0\n\r\t\"',", exclude_categories=["Cs", "Cc"]),
                min_size=1,
            )
            .filter(
                lambda text: text == text.strip() and not text.startswith(".") and len(text.encode()) < 100
            )
            .map(lambda text: unicodedata.normalize("NFC", text)),
        ),
        min_size=2,
        max_size=8,
    ).filter(lambda names: len({label for label, _ in names}) > 1)
)
@settings(max_examples=30, deadline=None)
def test_odd_names_are_the_same_in_every_layout(
    names: set[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    photos = {f"{label}/{name}.jpg": b"" for label, name in names}
    found = []
    for layout in ("class folders", "csv"):
        place = tmp_path_factory.mktemp("odd")
        LAYOUTS[layout](place, photos, {}, {})
        found.append(told(find_data_set(place)))
        (tmp_path_factory.mktemp("zip")).rmdir()
        archive = pack(place, place.parent / f"{place.name}.zip")
        found.append(told(find_data_set(archive)))
    assert found == [found[0]] * 4


# --- class folders -----------------------------------------------------------------------------------------


def test_a_folder_below_a_class_belongs_to_it(place: Path) -> None:
    LAYOUTS["class folders"](place, {"a/x.jpg": b"1", "a/more/y.jpg": b"2", "b/z.JPG": b"3"}, {}, {})
    assert {image.name: image.class_id for image in find_data_set(place).images} == {
        "a/x.jpg": 1,
        "a/more/y.jpg": 1,
        "b/z.JPG": 2,
    }


@pytest.mark.parametrize(
    ("folder", "split"), [("val", "validation"), ("Valid", "validation"), ("TEST", "test")]
)
def test_folders_called_as_splits_are_splits(place: Path, folder: str, split: str) -> None:
    photos = {f"{top}/{label}/x{top}.jpg": b"" for top in ("train", folder) for label in "ab"}
    LAYOUTS["class folders"](place, photos, {}, {})
    data = find_data_set(place)
    assert list(data.classes.values()) == ["a", "b"]
    assert {image.split for image in data.images} == {"train", split}


def test_images_of_one_name_in_two_splits_are_two_images(place: Path) -> None:
    LAYOUTS["class folders"](
        place, {f"{top}/{label}/1.jpg": b"" for top in ("train", "test") for label in "ab"}, {}, {}
    )
    assert len(find_data_set(place).images) == 4


def test_files_that_are_no_images_are_counted_by_kind(place: Path) -> None:
    LAYOUTS["class folders"](
        place, {"a/x.jpg": b"", "b/y.jpg": b"", "a/x.xml": b"", "a/z.xml": b"", "LIES": b""}, {}, {}
    )
    assert find_data_set(place).notes == ("3 files are no images and are left out: 2 .xml, 1 no suffix",)


def test_a_class_may_be_called_as_a_split_is(place: Path) -> None:
    LAYOUTS["class folders"](place, dict.fromkeys(["test/x.jpg", "valid/x.jpg", "other/x.jpg"], b""), {}, {})
    assert list(find_data_set(place).classes.values()) == ["other", "test", "valid"]


def test_classes_that_differ_in_capitals_are_told_and_can_be_chosen(place: Path) -> None:
    names = {f"{label}/{n}.jpg": b"" for label in ("Cat", "cat", "dog") for n in range(4)}
    LAYOUTS["class folders"](place, names, {}, {})
    assert find_data_set(place).notes == ("classes whose names differ in capital letters only: Cat and cat",)
    chosen = make_plan(place, Choice(class_selection="cat, DOG")).classes
    assert list(chosen.values()) == ["cat", "dog"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["x.jpg", "y.jpg"],
            "holds 2 images but no folders of classes; put each class's images into a folder",
        ),
        (["a/x.jpg", "b/y.jpg", "z.jpg"], "1 of 3 images lie in no class's folder (z.jpg)"),
        (
            ["train/a/x.jpg", "train/b/x.jpg", "test/y.jpg"],
            "1 of 3 images lie in no class's folder (test/y.jpg)",
        ),
        (["train/a/x.jpg", "extra/a/x.jpg"], "has train, which are splits, beside extra"),
        (["train/a/x.jpg", "val/a/x.jpg", "valid/a/x.jpg"], "has val and valid, which mean one split"),
        (["val/a/x.jpg", "test/a/x.jpg"], "has test and val, which are splits, and no train"),
        (["a\nb/x.jpg", "c/x.jpg"], r"class 'a\nb' has a control character in its name"),
        (["notes.txt"], "holds no images but notes.txt"),
    ],
)
def test_folders_that_are_no_classes_are_explained(place: Path, names: list[str], message: str) -> None:
    LAYOUTS["class folders"](place, dict.fromkeys(names, b""), {}, {})
    with pytest.raises(DataError) as told_why:
        find_data_set(place)
    assert message in str(told_why.value)


# --- lists of images ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\na/x.jpg,a\na/none.jpg,a\n", "1 image is listed in list.csv but not in"),
        ("path,label\na/X.jpg,a\n", "'a/X.jpg' (there is 'a/x.jpg')"),
        ("path,label\na/x.jpg,a\na/x.jpg,b\n", "'x.jpg' is listed twice"),
        ("path,label\na/x.jpg\n", "list.csv, line 2 has 1 cells, the first one 2"),
        ("path,label\na/x.jpg,\n", "list.csv, line 2: the label is empty"),
        ("path,label\n../x.jpg,a\n", "list.csv, line 2: '../x.jpg' leaves the data set's folder"),
        ("path,label,split\na/x.jpg,a,train\nb/y.jpg,b,perhaps\n", "line 3: split 'perhaps' must be train"),
        ("path,label,split\na/x.jpg,a,train\nb/y.jpg,b,\n", "'b/y.jpg' has no split, others have one"),
        ("path,label,x,y,width,height\na/x.jpg,a,1,1,nan,1\n", "line 2: a box needs four finite numbers"),
        ("path,label,x,y,width,height\na/x.jpg,a,1,1,0,1\n", "line 2: a box of 0 x 1 pixels is none"),
        ("path,label,x,y,width,height\na/x.jpg,a,1,one,0,1\n", "line 2: could not convert"),
        ("path,label,x,y,width,height\na/x.jpg,a,1,,1,1\n", "line 2: a box needs all of x, y, width, height"),
        ("path,label,label\na/x.jpg,a,a\n", "list.csv: the first line names the column label twice"),
        ('path,label\n"a/x.jpg,a\n', "list.csv, line"),
        ("path,label\n", "list.csv lists nothing"),
        ("path,label\nsame.jpg,a\n", "'same.jpg' may be a/same.jpg, b/same.jpg; write the whole path"),
    ],
)
def test_a_wrong_line_of_a_table_is_named(place: Path, text: str, message: str) -> None:
    LAYOUTS["class folders"](
        place, dict.fromkeys(["a/x.jpg", "b/y.jpg", "a/same.jpg", "b/same.jpg"], b""), {}, {}
    )
    (place / "list.csv").write_text(text)
    with pytest.raises(DataError) as told_why:
        find_data_set(place)
    assert message in str(told_why.value)


def test_a_table_may_have_semicolons_other_names_and_columns_that_nobody_reads(place: Path) -> None:
    LAYOUTS["class folders"](place, dict.fromkeys(["p/x.jpg", "p/y.jpg"], b""), {}, {})
    (place / "meta.csv").write_text("Nr;Filename;Category\n1;x.jpg;cat, small\n2;y.jpg;dog\n")
    data = find_data_set(place)
    assert [data.classes[image.class_id] for image in data.images] == ["cat, small", "dog"]


@pytest.mark.parametrize("newline", ["\r", "\r\n", "\n"])
def test_a_table_has_lines_of_any_system_and_empty_columns(place: Path, newline: str) -> None:
    LAYOUTS["class folders"](place, dict.fromkeys(["p/x.jpg", "p/y.jpg"], b""), {}, {})
    text = 'path,label,,\np/x.jpg,"big\ncat",,\np/y.jpg,dog,,\n'
    (place / "meta.csv").write_text(text.replace("\n", newline), newline="")
    data = find_data_set(place)
    assert [data.classes[image.class_id] for image in data.images] == ["big cat", "dog"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "latin-1"])
def test_a_table_in_another_encoding_is_no_other_layout(place: Path, encoding: str) -> None:
    LAYOUTS["class folders"](place, dict.fromkeys(["p/x.jpg", "q/y.jpg"], b""), {}, {})
    text = ("\ufeff" if encoding == "utf-16-be" else "") + "path,label\np/x.jpg,Küken\nq/y.jpg,b\n"
    (place / "meta.csv").write_text(text, encoding=encoding)
    with pytest.raises(DataError, match=r"meta\.csv is not UTF-8 text: .*; save it as UTF-8"):
        find_data_set(place)


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_a_table_of_more_bytes_than_are_read_is_refused_by_its_name(place: Path, packed: bool) -> None:
    (place / "x.jpg").touch()
    with (place / "labels.csv").open("wb") as file:
        file.write(b"path,label\nx.jpg,cat\n")
        file.truncate(MAX_TEXT_BYTES + 1)
    data = pack(place, place.parent / "data.zip") if packed else place
    with pytest.raises(DataError, match=r"labels\.csv has more than the 67,108,864 bytes that a list may"):
        find_data_set(data)


def test_folders_that_win_over_a_table_are_told(place: Path) -> None:
    LAYOUTS["class folders"](place, dict.fromkeys(["p/x.jpg", "q/y.jpg"], b""), {}, {})
    (place / "meta.csv").write_text("image_id,kind\np/x,cat\nq/y,dog\n")
    (place / "LIST.TXT").write_text("path,label\n")
    notes = find_data_set(place).notes
    assert notes[-1].startswith(
        "the folders name the classes and not meta.csv: the first line must name the columns"
    )
    with pytest.raises(
        DataError, match=r"'LIST\.TXT' is no list of images: its name must end in \.csv, \.tsv"
    ):
        find_data_set(place, "LIST.TXT")


def test_a_table_that_lists_no_images_is_none(place: Path) -> None:
    LAYOUTS["class folders"](place, dict.fromkeys(["a/x.jpg", "b/y.jpg"], b""), {}, {})
    (place / "prices.csv").write_text("kind,price\na,1\n")
    assert find_data_set(place).layout == "class folders"
    with pytest.raises(
        DataError, match=r"AnnotationFileName 'prices\.csv' lists no images: the first line must"
    ):
        find_data_set(place, "prices.csv")


def test_of_several_lists_one_has_to_be_named(place: Path) -> None:
    LAYOUTS["class folders"](place, dict.fromkeys(["a/x.jpg", "b/y.jpg"], b""), {}, {})
    for name in ("one.csv", "two.csv"):
        (place / name).write_text("path,label\na/x.jpg,p\nb/y.jpg,q\n")
    with pytest.raises(DataError, match=r"several lists of images \(one\.csv, two\.csv\)"):
        find_data_set(place)
    assert find_data_set(place, "two.csv").lists == ("two.csv",)
    for name in ("one.csv", "two.csv"):
        (place / name).write_text("")
    with pytest.raises(
        DataError, match=r"AnnotationFileName 'too\.csv' is not in .*; did you mean two\.csv\?"
    ):
        find_data_set(place, "too.csv")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{}", 'line 2: a line must be a JSON object with the text "source-ref"'),
        ("[" * 100_000, "line 2"),
        ("not JSON", "line 2: Expecting value"),
        ('{"source-ref": "s3://b/b/y.jpg"}', "a line must have one label beside source-ref; it has none"),
        ('{"source-ref": "s3://b/b/y.jpg", "a": 1, "b": 2}', "it has a, b"),
        (
            '{"source-ref": "s3://b/b/y.jpg", "a": {"boxes": []}}',
            "a must be the image's class, a text or a number",
        ),
    ],
)
def test_a_wrong_line_of_a_manifest_is_named(place: Path, line: str, message: str) -> None:
    LAYOUTS["class folders"](place, dict.fromkeys(["a/x.jpg", "b/y.jpg"], b""), {}, {})
    (place / "o.manifest").write_text('{"source-ref": "s3://b/a/x.jpg", "kind": "p"}\n' + line)
    with pytest.raises(DataError) as told_why:
        find_data_set(place)
    assert message in str(told_why.value)


# --- CUB's lists -------------------------------------------------------------------------------------------


def test_a_list_with_tabs_is_told_so(place: Path) -> None:
    as_cub(place, PHOTOS, {}, {})
    text = (place / "images.txt").read_text(encoding="utf-8")
    (place / "images.txt").write_text(text.replace(" ", "\t", 1), encoding="utf-8")
    with pytest.raises(DataError, match=r"images\.txt, line 1: .* it has a tab, where CUB has a space"):
        find_data_set(place)


def test_a_file_whose_name_differs_in_case_is_named_with_what_there_is(place: Path) -> None:
    as_cub(place, PHOTOS, {}, {})
    name = sorted(PHOTOS)[0]
    (place / "images" / name).rename(place / "images" / name.replace(".jpg", ".JPG"))
    with pytest.raises(DataError, match=rf"'{name}' \(there is '{name.replace('.jpg', '.JPG')}'\)"):
        find_data_set(place)


def test_the_classes_may_be_listed_in_a_file_of_any_type(place: Path) -> None:
    as_cub(place, PHOTOS, {}, {})
    (place / "labels.csv").write_text("1 One\n3 Three\n5 Five\n")
    assert list(find_data_set(place, "labels.csv").classes.values()) == ["One", "Three", "Five"]


@pytest.mark.parametrize("box", ["nan 1 2 3", "1 2 0 3", "1 2 3 -4", "1 2 inf 4", "1 2 3"])
def test_a_box_that_is_none_is_named(place: Path, box: str) -> None:
    as_cub(place, PHOTOS, {}, BOXES)
    with (place / "bounding_boxes.txt").open("a") as file:
        file.write(f"99 {box}\n")
    with pytest.raises(DataError, match=r"bounding_boxes\.txt, line 19"):
        find_data_set(place)


def test_two_data_sets_are_not_mixed(place: Path, tmp_path: Path) -> None:
    as_cub(tmp_path / "both/one", PHOTOS, {}, {})
    as_cub(tmp_path / "both/two", PHOTOS, {}, {})
    pack(tmp_path / "both", place / "both.tgz")
    with pytest.raises(DataError, match=r"holds several data sets \(one, two\)"):
        find_data_set(place)
    shutil.rmtree(tmp_path / "both/two")
    LAYOUTS["class folders"](tmp_path / "both/own", PHOTOS, {}, {})
    with pytest.raises(DataError, match=r"holds a data set in one and images beside it"):
        find_data_set(tmp_path / "both")


# --- archives that are none --------------------------------------------------------------------------------


def test_what_is_no_archive_is_told_so(place: Path) -> None:
    (place / "CUB_200_2011.tgz").write_text("<!doctype html><title>Sign in</title>")
    with pytest.raises(DataError, match=r"is no archive: .*; it is a web page, so fetch the file again"):
        find_data_set(place)
    (place / "CUB_200_2011.tgz").write_bytes(b"")
    with pytest.raises(DataError, match="is empty"):
        find_data_set(place)


def test_several_archives_are_not_chosen_from(place: Path) -> None:
    for name in ("a.zip", "b.tgz"):
        (place / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"several archives \(a\.zip, b\.tgz\)"):
        find_data_set(place)


def test_a_list_beside_an_archive_is_not_passed_over(place: Path, tmp_path: Path) -> None:
    LAYOUTS["class folders"](tmp_path / "source", PHOTOS, {}, {})
    pack(tmp_path / "source", place / "images.zip")
    (place / "results.csv").write_text("model,accuracy\na,1\n")
    assert len(find_data_set(place).images) == len(PHOTOS)
    (place / "labels.csv").write_text("path,label\n")
    with pytest.raises(
        DataError, match=r"holds labels\.csv beside an archive, .*images\.zip: unpack the archive"
    ):
        find_data_set(place)


@pytest.mark.parametrize("suffix", ["tar", "tgz", "tar.bz2", "tar.xz", "zip"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_archive_is_never_taken_for_a_whole_one(
    place: Path, tmp_path: Path, suffix: str, share: float
) -> None:
    LAYOUTS["class folders"](tmp_path / "source", PHOTOS, {}, {})
    path = pack(tmp_path / "source", place / f"a.{suffix}")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    if suffix == "tar" and share == 0.999:  # the end mark alone is cut, nothing of the files
        assert contents(find_data_set(place)) == PHOTOS
        return
    with pytest.raises(DataError, match="truncated or damaged"):
        contents(find_data_set(place))


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_a_zip_with_any_byte_wrong_is_read_or_told_in_a_sentence(tmp_path: Path, method: int) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as file:
        for name in ("ä/x.jpg", "b/y.jpg"):
            file.writestr(name, b"some content")
    content = path.read_bytes()
    for place in range(len(content)):
        for wrong in (0, 255):
            path.write_bytes(content[:place] + bytes([wrong]) + content[place + 1 :])
            with suppress(DataError):
                contents(find_data_set(path))


def test_nothing_outside_is_read_through_an_archive_s_names_and_links(place: Path, tmp_path: Path) -> None:
    with tarfile.open(place / "a.tar", "w") as tar:
        for name, kind, target in [
            ("../a/x.jpg", tarfile.REGTYPE, ""),
            ("/a/x.jpg", tarfile.REGTYPE, ""),
            ("a/link.jpg", tarfile.SYMTYPE, "/etc/passwd"),
            ("a/hard.jpg", tarfile.LNKTYPE, "a/real.jpg"),
            ("a/pipe.jpg", tarfile.FIFOTYPE, ""),
            ("a/real.jpg", tarfile.REGTYPE, ""),
            ("b/real.jpg", tarfile.REGTYPE, ""),
        ]:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            tar.addfile(member)
    assert [image.name for image in find_data_set(place).images] == ["a/real.jpg", "b/real.jpg"]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        link = zipfile.ZipInfo("a/link.jpg")
        link.external_attr = 0o120777 << 16
        file.writestr(link, "/etc/passwd")
        for name in ("../a/x.jpg", "/a/x.jpg", "a/real.jpg", r"b\real.jpg", "b\\"):
            file.writestr(name, b"")
    data = find_data_set(tmp_path / "a.zip")
    assert [image.name for image in data.images] == ["a/real.jpg", "b/real.jpg"]
    assert data.notes == ()  # Windows' folders are no files


def _zip_of(path: Path, names: dict[str, bytes], *, says_utf8: bool) -> Path:
    """Write names as their bytes are, with or without the flag that says that they are UTF-8."""
    with zipfile.ZipFile(path, "w") as file:
        for name, data in names.items():
            file.writestr(name, data)
    if says_utf8:
        return path
    content = bytearray(path.read_bytes())
    for magic, flags in ((b"PK\x03\x04", 7), (b"PK\x01\x02", 9)):
        place = content.find(magic)
        while place >= 0:
            content[place + flags] &= ~8
            place = content.find(magic, place + 4)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("says_utf8", [True, False], ids=["flagged", "as macOS writes it"])
def test_accents_in_the_names_of_a_zip_are_read(tmp_path: Path, says_utf8: bool) -> None:
    names = {
        unicodedata.normalize("NFD", f"{label}/{n}.jpg"): b"" for label in ("Küken", "b") for n in range(3)
    }
    path = _zip_of(tmp_path / "a.zip", names, says_utf8=says_utf8)
    data = find_data_set(path)
    assert list(data.classes.values()) == ["Küken", "b"]
    assert len(contents(data)) == 6


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_path_is_the_same_however_an_archive_spells_it(tmp_path: Path, kind: str) -> None:
    names = ["./a/x.jpg", ".//a/y.jpg", "b//x.jpg", "b/./y.jpg"]
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as file:
            for name in names:
                file.writestr(name, b"")
    else:
        with tarfile.open(path, "w") as tar:
            for name in names:
                tar.addfile(tarfile.TarInfo(name))
    assert [image.name for image in find_data_set(path).images] == [
        "a/x.jpg",
        "a/y.jpg",
        "b/x.jpg",
        "b/y.jpg",
    ]


def test_an_archive_of_nothing_is_told_so(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("../a/x.jpg", b"")
    with pytest.raises(DataError, match=r"a\.zip holds no files \(one whose path leads out of an archive"):
        find_data_set(tmp_path / "a.zip")


def test_a_name_that_is_not_utf_8_is_named(place: Path, tmp_path: Path) -> None:
    LAYOUTS["class folders"](place, PHOTOS, {}, {})
    folder = place / os.fsdecode(b"K\xfcken")
    folder.mkdir()
    (folder / "x.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"the name 'K\\udcfcken/x\.jpg' is not UTF-8; rename it"):
        find_data_set(place)
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as tar:
        tar.addfile(tarfile.TarInfo("Küken/x.jpg"))
    with pytest.raises(DataError, match=r"the name 'K\\udcfcken/x\.jpg' is not UTF-8; rename it"):
        find_data_set(tmp_path / "a.tar")


def test_an_encrypted_zip_is_told_so(place: Path) -> None:
    path = place / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/x.csv", "path,label\n")
    content = bytearray(path.read_bytes())
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(magic) + flags] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="encrypted"):
        find_data_set(place)


# --- symbolic links of a person's own folder ---------------------------------------------------------------


def test_links_in_a_folder_are_followed_but_not_in_circles(place: Path, tmp_path: Path) -> None:
    LAYOUTS["class folders"](tmp_path / "elsewhere", {"x.jpg": b"x"}, {}, {})
    LAYOUTS["class folders"](place, {"b/y.jpg": b"y"}, {}, {})
    (place / "a").symlink_to(tmp_path / "elsewhere")
    assert contents(find_data_set(place)) == {"a/x.jpg": b"x", "b/y.jpg": b"y"}
    (place / "b/again").symlink_to(place)
    with pytest.raises(DataError, match="is a symbolic link to a folder that holds it"):
        find_data_set(place)
    (place / "b/again").unlink()
    (place / "b/gone.jpg").symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match=r"is a symbolic link to .*gone, which does not exist"):
        find_data_set(place)


# --- the plan ----------------------------------------------------------------------------------------------


def test_every_class_of_the_data_is_chosen_unless_some_are(place: Path) -> None:
    LAYOUTS["class folders"](place, PHOTOS, {}, {})
    assert len(make_plan(place, Choice()).classes) == 3
    assert list(make_plan(place, Choice(class_selection="1, 5")).classes) == [1, 5]


def test_a_class_name_with_commas_can_be_chosen(place: Path) -> None:
    LAYOUTS["class folders"](
        place,
        {f"{label}/{n}.jpg": b"" for label in ("001.Red, dark", "002.Blue", "003.x") for n in range(3)},
        {},
        {},
    )
    assert list(make_plan(place, Choice(class_selection="001.Red, dark, Blue")).classes) == [1, 2]
    assert list(make_plan(place, Choice(class_selection="Red, dark,3")).classes) == [1, 3]


def test_a_hundred_numbers_that_no_class_has_are_one_sentence(place: Path) -> None:
    LAYOUTS["class folders"](place, PHOTOS, {}, {})
    selection = ", ".join(map(str, range(10, 110)))
    with pytest.raises(DataError) as told_why:
        make_plan(place, Choice(class_selection=selection))
    message = str(told_why.value).partition(": ")[2]
    assert message.startswith(
        "there are no classes 10, 11, 12, 13, 14 and 95 more; the data's classes are 1, 3, 5 ("
    )


def test_a_given_validation_split_is_kept_and_a_test_split_carved_out_of_train(place: Path) -> None:
    splits = {name: "validation" if name.endswith("1.jpg") else "train" for name in PHOTOS}
    LAYOUTS["csv"](place, PHOTOS, splits, {})
    plan = make_plan(place, Choice())
    found = {image.name: plan.splits[image.number] for image in plan.images}
    assert {name for name, split in found.items() if split == "validation"} == {
        name for name in PHOTOS if splits[name] == "validation"
    }
    assert plan.counts() == {"train": 12, "validation": 3, "test": 3}


def test_a_line_of_a_manifest_may_hold_what_unicode_calls_a_line_s_end(place: Path) -> None:
    LAYOUTS["class folders"](place, dict.fromkeys(["p/x.jpg", "p/y.jpg"], b""), {}, {})
    lines = [
        {"source-ref": "s3://b/p/x.jpg", "k": "big\u2028cat"},
        {"source-ref": "s3://b/p/y.jpg", "k": "dog"},
    ]
    (place / "o.manifest").write_text("\r\n".join(json.dumps(line, ensure_ascii=False) for line in lines))
    assert list(find_data_set(place).classes.values()) == ["big cat", "dog"]


def test_json_is_no_list_unless_it_is_a_manifest(place: Path) -> None:
    LAYOUTS["class folders"](place, PHOTOS, {}, {})
    (place / "about.jsonl").write_text(json.dumps({"by": "somebody"}))
    assert find_data_set(place).layout == "class folders"
