"""The execution as a picture on a terminal that redraws itself."""

from __future__ import annotations

from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from ops.executions.execution import RUNNING, PlannedStep, StartedStep
from ops.executions.jobs import Training
from ops.executions.snapshot import Snapshot
from ops.output.terminal import duration
from ops.output.words import cache, notes, progress

STYLES = {"Succeeded": "green", "Failed": "bold red", "Stopped": "yellow", "Stopping": "yellow"}
SYMBOLS = {"Succeeded": "✓", "Failed": "✗", "Stopped": "■"}
BAR_WIDTH = 12
WIDE = 110  # columns from which the loss fits beside the accuracy


class LiveView:
    """Shows snapshots on a terminal; the last one stays there."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._snapshot: Snapshot | None = None
        self._spinner = Spinner("dots", style="cyan")
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=8)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, snapshot: Snapshot) -> None:
        """Draw `snapshot` from now on."""
        self._snapshot = snapshot
        self._live.refresh()

    def _render(self) -> RenderableType:
        if self._snapshot is None:
            return Text("Reading the execution ...", style="dim")
        return picture(self._snapshot, self._console.width, self._spinner, datetime.now(UTC))


def picture(snapshot: Snapshot, width: int, spinner: RenderableType, now: datetime) -> RenderableType:
    """Draw one snapshot for a terminal of `width` columns."""
    return Group(_head(snapshot, now), Rule(style="dim"), _steps(snapshot, width, spinner, now))


def _head(snapshot: Snapshot, now: datetime) -> Table:
    execution = snapshot.execution
    elapsed = (execution.end(now) - execution.start).total_seconds()
    head = Table.grid(expand=True)
    head.add_column(overflow="ellipsis", no_wrap=True)
    head.add_column(justify="right", no_wrap=True)
    title = Text.assemble((execution.pipeline_name, "bold"), "  ", (f"execution {execution.id}", "dim"))
    head.add_row(title, Text.assemble(_status(execution.status), f"  {duration(elapsed)}"))
    return head


def _steps(snapshot: Snapshot, width: int, spinner: RenderableType, now: datetime) -> Table:
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(width=1)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(ratio=1)
    known = {step.name: step for step in snapshot.execution.steps}
    for planned in snapshot.execution.plan:
        step = known.pop(planned.name, None)
        table.add_row(*(_row(snapshot, step, width, spinner, now) if step else _unstarted(snapshot, planned)))
    for step in known.values():
        table.add_row(*_row(snapshot, step, width, spinner, now))
    return table


def _unstarted(snapshot: Snapshot, planned: PlannedStep) -> tuple[Text, ...]:
    word = "not run" if snapshot.execution.finished else "waiting"
    return Text("·", "dim"), Text(planned.name, "dim"), Text(word, "dim"), Text(), Text()


def _row(
    snapshot: Snapshot, step: StartedStep, width: int, spinner: RenderableType, now: datetime
) -> tuple[RenderableType, ...]:
    style = STYLES.get(step.status, "cyan")
    symbol: RenderableType = spinner if step.status in RUNNING else Text(SYMBOLS.get(step.status, "·"), style)
    seconds = step.seconds(now)
    elapsed = Text(duration(seconds) if seconds is not None else "")
    return symbol, Text(step.name), _status(step.status), elapsed, _remarks(snapshot, step, width)


def _status(status: str) -> Text:
    return Text(status, STYLES.get(status, "cyan"))


def _remarks(snapshot: Snapshot, step: StartedStep, width: int) -> RenderableType:
    training = snapshot.trainings.get(step.name)
    remarks = _words(snapshot, step, training, width)
    if step.status not in RUNNING or training is None:
        return remarks
    done = progress(training)
    if done is None:
        return Text(training.phase, style="dim")
    bar = Table.grid(padding=(0, 1))
    line: list[RenderableType] = [
        ProgressBar(total=100, completed=done, width=BAR_WIDTH, complete_style="cyan"),
        Text(f"{done:3.0f}%"),
    ]
    # Beside the bar where it fits, else below it: a word at a time in a narrow column cannot be read.
    room = width - max(cell_len(each.name) for each in snapshot.execution.plan or (step,)) - BAR_WIDTH - 28
    if cell_len(remarks.plain) <= room:
        bar.add_row(*line, remarks)
        return bar
    bar.add_row(*line)
    return Group(bar, remarks)


def _words(snapshot: Snapshot, step: StartedStep, training: Training | None, width: int) -> Text:
    said = notes(snapshot, step)
    if width < WIDE:
        said = [note for note in said if not note.startswith("loss ")]
    note = snapshot.cache.get(step.name)
    if note and note.hit:  # why a step missed is in the lines and in the report; here it would drown the rest
        said += cache(snapshot, step)
    return Text(" · ".join(said), style="yellow" if training and training.interruptions else "dim")
