"""The data set of an upload, checked as Preprocess will read it before anything is uploaded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from image_data.errors import DataError
from image_data.files import FolderFiles
from image_data.inspection import Inspection, inspect
from image_data.manifests import is_list
from image_data.plan import Choice, Plan, make_plan
from image_data.records import common_folder
from ops.errors import CannotUploadError
from ops.output.terminal import is_live, say

DIGEST_LENGTH = 12  # hexadecimal digits in data/<digest>/
KEY_LIMIT = 1024 - len(f"data/{'0' * DIGEST_LENGTH}/")  # bytes of UTF-8 that S3 leaves for a name
WARNINGS = 10
"""What is said one by one of images that are let pass."""


@dataclass(frozen=True)
class DataFile:
    """One file to upload: its name below the prefix and where it is now."""

    name: str
    path: Path
    size: int


@dataclass(frozen=True)
class DataSet:
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
        seed=int(seed) if seed.isdecimal() else given.seed,
    )


def check_choice(source: Path, choice: Choice) -> Plan:
    """Return what Preprocess will do with the data at `source`, from its lists and names.

    Raises:
        CannotUploadError: It is no data set, or not with this choice.
    """
    with _explained(source):
        return make_plan(source, choice)


def check_data(source: Path, choice: Choice, console: Console) -> DataSet:
    """Read the data set at `source` as Preprocess will, say what it is, and return what there is to upload.

    Raises:
        CannotUploadError: It cannot be used; nothing else was done.
    """
    plan = check_choice(source, choice)
    data = DataSet(source, tuple(sorted(_files(plan), key=lambda file: file.name)))
    say(console, f"Data: {described(plan)}")
    for note in plan.data.notes:
        say(console, f"  {note}")
    inspection = look_at(source, plan, console)
    warnings = inspection.warnings()
    for warning in warnings[:WARNINGS]:
        say(console, f"  {warning}")
    if len(warnings) > WARNINGS:
        say(console, f"  and {len(warnings) - WARNINGS:,} more")
    return data


def described(plan: Plan) -> str:
    """Describe a data set in a line."""
    counts = ", ".join(f"{count:,} {split}" for split, count in plan.counts().items())
    return f"{plan.data.layout}, {len(plan.classes):,} classes, {len(plan.images):,} images: {counts}"


def look_at(source: Path, plan: Plan, console: Console) -> Inspection:
    """Read every image, with a bar on a terminal; raise CannotUploadError where Preprocess would fail."""
    columns = (TextColumn("Checking images"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not is_live(console)) as progress:
        task = progress.add_task("images", total=len(plan.images))
        with _explained(source):
            inspection = inspect(plan, lambda: progress.advance(task))
            inspection.check()
    return inspection


@contextmanager
def _explained(source: Path) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        message = str(error)
        raise CannotUploadError(message if str(source) in message else f"{source}: {message}") from error
    except PermissionError as error:
        raise CannotUploadError(
            f"{error.filename} cannot be read: check its permissions (chmod u+r)"
        ) from error


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
