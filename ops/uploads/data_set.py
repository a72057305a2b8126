"""The data set of an upload, checked as Preprocess will read it before anything is uploaded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from rich.console import Console

from image_data.files import FolderFiles
from image_data.manifests import is_list
from image_data.plan import Choice, Plan
from image_data.records import common_folder
from ops.datasets.check import check_images, explained, read_plan, say_plan
from ops.errors import CannotUploadError
from ops.uploads.parameters import INTEGER

DIGEST_LENGTH = 12  # hexadecimal digits in data/<digest>/
KEY_LIMIT = 1024 - len(f"data/{'0' * DIGEST_LENGTH}/")  # bytes of UTF-8 that S3 leaves for a name


@dataclass(frozen=True)
class DataFile:
    """One file to upload: its name below the prefix and where it is now."""

    name: str
    path: Path
    size: int


@dataclass(frozen=True)
class DataFiles:
    """The files of one data set, in the order of their names."""

    source: Path
    files: tuple[DataFile, ...]

    @property
    def size(self) -> int:
        """Return the bytes of all files together."""
        return sum(file.size for file in self.files)

    def digest(self) -> str:
        """Hash every name and content (12 hexadecimal digits): changed data gets another prefix."""
        whole = hashlib.sha256()
        for file in self.files:
            with file.path.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
            whole.update(f"{file.name}\0{content}\n".encode())
        return whole.hexdigest()[:DIGEST_LENGTH]


def choice_of(definition: Mapping[str, Any], values: Mapping[str, Any]) -> Choice:
    """Return which images an execution would choose, as far as the definition has our parameters for it."""
    declared = definition.get("Parameters")
    defaults = {
        entry["Name"]: entry.get("DefaultValue")
        for entry in (declared if isinstance(declared, list) else [])
        if isinstance(entry, dict) and "Name" in entry
    }
    chosen = {**defaults, **{name: value for name, value in values.items() if name in defaults}}
    given = Choice()
    seed = str(chosen.get("Seed", ""))
    return Choice(
        class_selection=str(chosen.get("ClassSelection") or given.class_selection),
        annotation_file=str(chosen.get("AnnotationFileName") or given.annotation_file),
        seed=int(seed) if INTEGER.fullmatch(seed.strip()) else given.seed,
    )


def check_data(source: Path, choice: Choice, console: Console) -> DataFiles:
    """Read the data set at `source` as Preprocess will, say what it is, and return what there is to upload.

    Raises:
        CannotUploadError: It cannot be used; nothing else was done.
    """
    plan = read_plan(source, choice)
    data = files_of(source, plan)
    say_plan(plan, console)
    check_images(source, plan, console)
    return data


def files_of(source: Path, plan: Plan) -> DataFiles:
    """Return what is uploaded of a data set: an archive as it is; of a folder, its images and lists.

    Raises:
        CannotUploadError: A name is too long for S3.
    """
    with explained(source):
        return DataFiles(source, tuple(sorted(_files(plan), key=lambda file: file.name)))


def _files(plan: Plan) -> Iterator[DataFile]:
    """Yield what is uploaded: an archive as it is; of a folder, the images, and the texts beside lists."""
    files = plan.data.files
    if not isinstance(files, FolderFiles):
        path = Path(files.where).absolute()
        yield _file(path.name, path)
        return
    lists = {name.rpartition("/")[0] for name in plan.data.lists}
    texts = [
        name
        for name in files.scan(lambda _name: False).names
        if name.rpartition("/")[0] in lists and _is_text(name)
    ]
    names = [*texts, *(image.file for image in plan.data.images)]
    root = common_folder(names)
    for name in names:
        yield _file(name.removeprefix(root), files.folder / name)


def _is_text(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() == ".txt" or is_list(name)


def _file(name: str, path: Path) -> DataFile:
    length = len(name.encode())
    if length > KEY_LIMIT:
        raise CannotUploadError(f"{path} has a name of {length} bytes; S3 takes at most {KEY_LIMIT} here")
    return DataFile(name, path, path.stat().st_size)
