"""Commands about a data set before it is uploaded: fetch."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
from rich.console import Console

from ops.datasets.fetch import ARCHIVES, fetch, place
from ops.output.terminal import say

EIGHT_BIRDS = "13,17,35,36,47,68,73,87"
"""The classes of CUB-200-2011 of which the sample data has drawings."""


@click.group()
def dataset() -> None:
    """Fetch a data set."""


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
