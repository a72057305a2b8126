"""A data set as Preprocess will read it, and what a person is told of it before anything is uploaded."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from image_data.errors import DataError
from image_data.inspection import Inspection, inspect
from image_data.plan import Choice, Plan, make_plan
from image_data.records import SPLITS
from image_data.spelling import did_you_mean, some
from ops.errors import CannotUploadError
from ops.output.terminal import is_live, say, show_table

PARAMETERS = ("ClassSelection", "AnnotationFileName", "Seed")
"""The pipeline's parameters that say how a data set is read."""
WARNINGS = 10
"""What is said one by one of images that are let pass."""
CLASSES = 20
"""What is shown of classes in full; of more, the first and the smallest."""
FEW = 5


def choice_of_data(values: Mapping[str, str]) -> Choice:
    """Return which images the values of parameters choose.

    Raises:
        CannotUploadError: A parameter that says nothing about data, or a Seed that is no integer.
    """
    other = next((name for name in values if name not in PARAMETERS), None)
    if other:
        raise CannotUploadError(
            f"-p {other}: a data set is read by {', '.join(PARAMETERS)}{did_you_mean(other, PARAMETERS)}"
        )
    given = Choice()
    seed = values.get("Seed", str(given.seed)).strip()
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", seed):
        raise CannotUploadError(f"-p Seed={seed!r}: give an integer, such as {given.seed}")
    return Choice(
        class_selection=values.get("ClassSelection", given.class_selection),
        annotation_file=values.get("AnnotationFileName", given.annotation_file),
        seed=int(seed),
    )


def read_plan(source: Path, choice: Choice) -> Plan:
    """Return what Preprocess will do with the data at `source`, from its lists and names.

    Raises:
        CannotUploadError: It is no data set, or not with this choice.
    """
    with explained(source):
        return make_plan(source, choice)


def say_plan(plan: Plan, console: Console) -> None:
    """Say what a data set is, and what of it is left out."""
    counts = ", ".join(f"{count:,} {split}" for split, count in plan.counts().items())
    classes = f"{len(plan.classes):,} classes"
    say(console, f"Data laid out as {plan.data.layout}: {classes}, {len(plan.images):,} images: {counts}")
    for note in plan.data.notes:
        say(console, f"  {note}")


def say_classes(plan: Plan, console: Console) -> None:
    """Print a table of the classes with their images in each split: all, or the first and the smallest."""
    counts = Counter((image.class_id, plan.splits[image.number]) for image in plan.images)
    images = Counter(image.class_id for image in plan.images)
    numbers = list(plan.classes)
    rest: list[int] = []
    if len(numbers) > CLASSES:
        smallest = sorted(numbers[FEW:], key=lambda number: images[number])
        numbers, rest = [*numbers[:FEW], *smallest[:FEW]], smallest[FEW:]
    rows = (
        [str(number), plan.classes[number], *(f"{counts[number, split]:,}" for split in SPLITS)]
        for number in numbers
    )
    show_table(console, ("number", "class", *SPLITS), rows)
    if rest:
        fewest, most = images[rest[0]], images[rest[-1]]
        each = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
        say(
            console,
            f"The first {FEW} and the {FEW} smallest; {len(rest):,} more classes have {each} images each",
        )


def check_images(source: Path, plan: Plan, console: Console) -> None:
    """Read every image, with a bar on a terminal, and say what is let pass.

    Raises:
        CannotUploadError: Preprocess would fail.
    """
    columns = (TextColumn("Checking images"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not is_live(console)) as progress:
        task = progress.add_task("images", total=len(plan.images))
        with explained(source):
            inspection = inspect(plan, lambda: progress.advance(task))
            inspection.check()
    _say_warnings(inspection, console)


def _say_warnings(inspection: Inspection, console: Console) -> None:
    unreadable = len(inspection.unreadable)
    if unreadable:
        noun = "image" if unreadable == 1 else "images"
        say(console, f"  {unreadable:,} {noun} cannot be read: {some(inspection.reasons())}")
    warnings = inspection.warnings()
    for warning in warnings[:WARNINGS]:
        say(console, f"  {warning}")
    if len(warnings) > WARNINGS:
        say(console, f"  and {len(warnings) - WARNINGS:,} more")


@contextmanager
def explained(source: Path) -> Iterator[None]:
    """Raise CannotUploadError for what is wrong with the data at `source`, or what may not be read of it."""
    try:
        yield
    except DataError as error:
        message = str(error)
        raise CannotUploadError(message if str(source) in message else f"{source}: {message}") from error
    except PermissionError as error:
        raise CannotUploadError(
            f"{error.filename} cannot be read: check its permissions (chmod u+r)"
        ) from error
    except OSError as error:
        raise CannotUploadError(
            f"{error.filename or source} cannot be read: {error.strerror or error}"
        ) from error
