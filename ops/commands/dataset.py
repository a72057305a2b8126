"""Commands about a data set before it is uploaded: check, preview, fetch."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ops.commands.options import PARAMETER, named
from ops.datasets import preview
from ops.datasets.check import check_images, choice_of_data, explained, read_plan, say_classes, say_plan
from ops.datasets.fetch import ARCHIVES, fetch, place
from ops.output.terminal import is_live, say
from ops.uploads.data_set import files_of

EIGHT_BIRDS = "13,17,35,36,47,68,73,87"
"""The classes of CUB-200-2011 of which the sample data has drawings."""
DATA = click.argument("data", type=click.Path(path_type=Path), metavar="PATH")


@click.group()
def dataset() -> None:
    """Check, look at or fetch a data set."""


@dataset.command("check")
@DATA
@PARAMETER
def check_dataset(data: Path, pairs: tuple[str, ...]) -> None:
    """Say what the data set at PATH is, and everything that is wrong with it.

    PATH is a folder or an archive (docs/data.md has the layouts). This is what `upload --data` checks before
    it uploads, by the code that Preprocess reads data with: every image is read. Needs no AWS. -p takes
    ClassSelection, AnnotationFileName and Seed.

    Exits with 0 when the data can be trained on, else with 2.
    """
    choice, console = choice_of_data(named(pairs)), Console()
    plan = read_plan(data, choice)
    files_of(data, plan)
    say_plan(plan, console)
    say_classes(plan, console)
    check_images(data, plan, console)
    given = [word for pair in pairs for word in ("-p", pair)]
    command = shlex.join(["cv-pipeline", "upload", "--data", str(data), *given])
    say(console, f"{data} is sound. Start an execution with it: {command}")


@dataset.command("preview")
@DATA
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default="dataset-preview.html",
    show_default=True,
    metavar="FILE",
    help="Where the page goes; an earlier one is replaced.",
)
@click.option(
    "--images-per-class",
    type=click.IntRange(1, preview.IMAGES),
    default=6,
    show_default=True,
    metavar="N",
    help="How many images of each class are shown.",
)
@PARAMETER
def preview_dataset(data: Path, output: Path, images_per_class: int, pairs: tuple[str, ...]) -> None:
    """Write a page with images of each class of the data set at PATH, as training sees them.

    It shows each image turned and over white as training sees it, its box, its split and its name, or why it
    cannot be read. One HTML file that loads nothing from anywhere. Needs no AWS. -p takes ClassSelection,
    AnnotationFileName and Seed.
    """
    choice, console = choice_of_data(named(pairs)), Console()
    with preview.writing(output) as page:
        plan = read_plan(data, choice)
        chosen = preview.choose(plan, images_per_class)
        shown = sum(map(len, chosen.values()))
        columns = (TextColumn("Reading images"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=console, transient=True, disable=not is_live(console)) as progress:
            task = progress.add_task("images", total=shown)
            with explained(data):
                rows = preview.rows(plan, chosen, lambda: progress.advance(task))
        page.write(preview.render(plan, rows))
    say_plan(plan, console)
    size = decimal(output.stat().st_size)
    say(
        console,
        f"Wrote {output} ({size}): {shown} images of {len(rows):,} of {len(plan.classes):,} "
        "classes; open it in a browser",
    )


@dataset.command("fetch")
@click.argument("name", type=click.Choice(sorted(ARCHIVES)), metavar="cub")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FOLDER|FILE",
    help="Where the archive goes: a folder, or a file that ends in .tgz.  [default: this folder]",
)
@click.option("--from", "source", metavar="URL", help="Another source of the same archive: a mirror.")
def fetch_dataset(name: str, output: Path | None, source: str | None) -> None:
    """Fetch the archive of CUB-200-2011 from its publisher.

    1.2 GB, which stay packed: `upload --data` and `make run DATA=` take the archive as it is. It is for
    non-commercial research and education. A connection that breaks is made again and goes on from there; when
    it stays broken, and after Ctrl-C, the same command goes on. The file appears under its name only when
    its size and MD5 are those published, wherever it came from; one that is there already is checked, and
    nothing is fetched. The environment's proxies are used (HTTPS_PROXY, NO_PROXY).
    """
    archive, console = ARCHIVES[name], Console()
    target = place(archive, output)
    fetch(archive, target, console, source=source)
    data = shlex.quote(str(target))
    say(console, "Train with eight of its birds (ClassSelection=all takes all 200), here or on AWS:")
    say(console, f'  make run DATA={data} PARAMS="ClassSelection={EIGHT_BIRDS}"')
    say(console, f"  cv-pipeline upload --data {data} -p ClassSelection={EIGHT_BIRDS}")
