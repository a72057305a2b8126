"""Layouts with one list of images: a CSV or TSV table, or an augmented manifest of SageMaker.

images.csv        path,label,split,x,y,width,height      (split and box are optional; so are other names)
train.manifest    {"source-ref": "s3://bucket/a.jpg", "species": 3, "species-metadata": {"class-name": ...}}
"""

from __future__ import annotations

import codecs
import csv
import dataclasses
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from image_data.errors import DataError
from image_data.files import Files, Scan, is_image, suffix_of
from image_data.records import (
    SPLIT_NAMES,
    Box,
    DataSet,
    Listed,
    absent,
    by_composed_name,
    common_folder,
    composed,
    data_set,
    read_box,
    text_of,
    unlisted,
)
from image_data.spelling import some

TABLE, AUGMENTED = "table of images", "augmented manifest"
TABLE_SUFFIXES = (".csv", ".tsv")
MANIFEST_SUFFIXES = (".manifest", ".jsonl", ".ndjson")
LIST_SUFFIXES = (*TABLE_SUFFIXES, *MANIFEST_SUFFIXES)

_FILE = ("file", "filename", "file_name", "filepath", "filepaths", "file_path", "name")
_PATH = ("path", "image", "image_path", *_FILE)
_LABEL = ("label", "labels", "class", "class_name", "category", "species", "target")
_SPLIT = ("split", "set", "subset", "partition")
_CORNER_AND_SIZE = ("x", "y", "width", "height")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_READ = frozenset((*_PATH, *_LABEL, *_SPLIT, *_CORNER_AND_SIZE, *_CORNERS))
HEADER = "the first line must name the columns path and label, and may name split, x, y, width and height"


def candidates(scan: Scan) -> list[str]:
    """Return the files that list images: tables whose first line names path and label, and manifests."""
    found = []
    for name, data in scan.texts.items():
        suffix = suffix_of(name)
        first = _first_line(data)
        if (suffix in MANIFEST_SUFFIXES and '"source-ref"' in first) or (
            is_table(name) and _lists_images(_columns(first))
        ):
            found.append(name)
    return found


def _first_line(data: bytes) -> str:
    """Return what a list begins with; spreadsheets write UTF-16, too, which is told when the list is read."""
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    return _header(data[:65_536].decode(encoding, "replace"))


def _header(text: str) -> str:
    return re.split(r"[\r\n]", text.lstrip(), maxsplit=1)[0]


def is_list(name: str) -> bool:
    """Return whether a file is called as a list of images is."""
    return suffix_of(name) in LIST_SUFFIXES


def is_table(name: str) -> bool:
    """Return whether a file is called as a table is."""
    return suffix_of(name) in TABLE_SUFFIXES


def read(files: Files, scan: Scan, name: str) -> DataSet:
    """Read the list of this name.

    Raises:
        DataError: A line is wrong, or an image is not there.
    """
    text = text_of(scan.texts[name], name)
    augmented = suffix_of(name) in MANIFEST_SUFFIXES
    listed = list(_augmented(text, name) if augmented else _table(text, name))
    if not listed:
        raise DataError(f"{name} lists nothing")
    splits = {line.split is None for line in listed}
    if len(splits) > 1:
        line = next(each for each in listed if each.split is None)
        raise DataError(f"{name}: {line.file!r} has no split, others have one; give every image one, or none")
    find = _Finder(files, scan, name, common_folder([line.file for line in listed]))
    found = [find(line) for line in listed]
    find.check()
    root = common_folder([line.name for line in found])
    found = [dataclasses.replace(line, name=line.name.removeprefix(root)) for line in found]
    layout = AUGMENTED if augmented else TABLE
    return data_set(files, layout, found, lists=(name,), notes=unlisted(find.images - len(found), name))


class _Finder:
    """Finds the files that a list means: by their path below its folder, or by the end of their path."""

    def __init__(self, files: Files, scan: Scan, listed_in: str, elsewhere: str) -> None:
        self._elsewhere = elsewhere  # the folder of all images where the list was written
        self._files, self._listed_in = files, listed_in
        self._folder = listed_in.rpartition("/")[0]
        self._present = by_composed_name((name for name in scan.names if is_image(name)), files.where)
        self._by_end: dict[str, list[str]] = {}
        for name in self._present:
            self._by_end.setdefault(name.rpartition("/")[2], []).append(name)
        self._missing: list[str] = []

    def __call__(self, line: Listed) -> Listed:
        """Return the line with its file."""
        path = composed(line.file)
        for name in (f"{self._folder}/{path}" if self._folder else path, path):
            if name in self._present:
                return self._found(line, name)
        end = path.removeprefix(composed(self._elsewhere))
        ends = [each for each in self._by_end.get(path.rpartition("/")[2], []) if _ends_with(each, end)]
        if len(ends) > 1:
            raise DataError(f"{self._listed_in}: {path!r} may be {some(ends, 2)}; write the whole path")
        if not ends:
            self._missing.append(path)
            return line
        return self._found(line, ends[0])

    def _found(self, line: Listed, name: str) -> Listed:
        return dataclasses.replace(line, name=name, file=self._present[name])

    @property
    def images(self) -> int:
        """Return how many images there are."""
        return len(self._present)

    def check(self) -> None:
        """Raise DataError where a line's file is not there."""
        if self._missing:
            raise absent(self._missing, self._present, self._files.where, self._listed_in)


def _ends_with(name: str, end: str) -> bool:
    return f"/{name}".endswith(f"/{end}")


# --- CSV and TSV -------------------------------------------------------------------------------------------


def _delimiter(header: str) -> str:
    return max("\t;,", key=header.count)


def _columns(header: str) -> list[str]:
    try:
        names = next(csv.reader([header.strip()], delimiter=_delimiter(header)), [])
    except csv.Error:
        return []
    return [name.strip().lower() for name in names]


def _lists_images(columns: Sequence[str]) -> bool:
    return _first(columns, _PATH) is not None and _first(columns, _LABEL) is not None


def _first(columns: Sequence[str], names: tuple[str, ...]) -> int | None:
    return next((columns.index(name) for name in names if name in columns), None)


def _table(text: str, name: str) -> Iterator[Listed]:
    header = _header(text)
    columns = _columns(header)
    path, label = _first(columns, _PATH), _first(columns, _LABEL)
    if path is None or label is None:
        raise DataError(f"{name}: {HEADER}; it is {header.strip()!r}")
    twice = next((each for each in columns if each in _READ and columns.count(each) > 1), None)
    if twice:
        raise DataError(f"{name}: the first line names the column {twice} twice")
    split, box = _first(columns, _SPLIT), _box_reader(columns)
    lines = io.StringIO(text.lstrip(), newline=None)
    reader = csv.reader(lines, delimiter=_delimiter(header), strict=True)
    try:
        next(reader)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(columns):
                raise DataError(
                    f"{name}, line {reader.line_num} has {len(cells)} cells, the first one {len(columns)}"
                )
            try:
                yield Listed(
                    "",
                    _path(cells[path]),
                    _class_name(cells[label]),
                    box(cells),
                    None if split is None else _split(cells[split]),
                )
            except ValueError as error:
                raise DataError(f"{name}, line {reader.line_num}: {error}") from error
    except csv.Error as error:
        raise DataError(f"{name}, line {reader.line_num}: {error}") from error


def _box_reader(columns: Sequence[str]) -> Callable[[list[str]], Box | None]:
    corners = not all(each in columns for each in _CORNER_AND_SIZE)
    names = _CORNERS if corners else _CORNER_AND_SIZE
    if not all(each in columns for each in names):
        return lambda _cells: None
    places = [columns.index(each) for each in names]

    def read_cells(cells: list[str]) -> Box | None:
        numbers = [cells[place].strip() for place in places]
        if not any(numbers):
            return None
        if not all(numbers):
            raise ValueError(f"a box needs all of {', '.join(names)}, or none of them")
        if corners:
            left, top, right, bottom = map(float, numbers)
            numbers = [str(left), str(top), str(right - left), str(bottom - top)]
        return read_box(numbers)

    return read_cells


def _path(text: str) -> str:
    """Return a path below the data set's top, whether written as a path or as the address of an object."""
    text = text.strip()
    if "://" in text:
        return unquote(urlsplit(text).path).lstrip("/")
    path = text.replace("\\", "/").removeprefix("./")
    if not path:
        raise ValueError("the path is empty")
    if ".." in path.split("/"):
        raise ValueError(f"{text!r} leaves the data set's folder")
    return path.lstrip("/")


def _class_name(text: str) -> str:
    name = composed(" ".join(text.split()))
    if not name:
        raise ValueError("the label is empty")
    return name


def _split(text: str) -> str | None:
    name = text.strip().lower()
    if not name:
        return None
    if name not in SPLIT_NAMES:
        raise ValueError(f"split {text.strip()!r} must be train, validation or test")
    return SPLIT_NAMES[name]


# --- augmented manifest ------------------------------------------------------------------------------------


def _augmented(text: str, name: str) -> Iterator[Listed]:
    # Not splitlines: JSON may hold what Unicode takes for the end of a line.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            document = json.loads(line)
            if not isinstance(document, dict) or not isinstance(document.get("source-ref"), str):
                raise ValueError('a line must be a JSON object with the text "source-ref"')
            split = document.get("split")
            yield Listed(
                "",
                _path(document["source-ref"]),
                _class_name(_label(document)),
                split=None if split is None else _split(str(split)),
            )
        except (ValueError, RecursionError) as error:
            raise DataError(f"{name}, line {number}: {error}") from error


def _label(document: Mapping[str, Any]) -> str:
    """Return the class's name that Ground Truth wrote, or the label itself."""
    attributes = [
        each for each in document if each not in ("source-ref", "split") and not each.endswith("-metadata")
    ]
    if len(attributes) != 1:
        found = f"it has {', '.join(attributes)}" if attributes else "it has none"
        raise ValueError(f"a line must have one label beside source-ref; {found}")
    metadata = document.get(f"{attributes[0]}-metadata")
    named = metadata.get("class-name") if isinstance(metadata, dict) else None
    label = document[attributes[0]] if named is None else named
    if not isinstance(label, str | int) or isinstance(label, bool):
        raise ValueError(f"{attributes[0]} must be the image's class, a text or a number, but is {label!r}")
    return str(label)
