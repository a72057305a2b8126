"""Columns as rows: what differs side by side, what is the same by name, and what a difference is worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any

from ops.comparison.columns import CODE, COST, DATA, HYPER_PARAMETERS, PARAMETERS, Column
from ops.comparison.paired import Difference, difference, unpaired, why_not_paired
from ops.executions.evaluations import Evaluation

NOTHING = "-"
METRICS = "Metrics on the test images"
FEW = 6  # steps that a cell names
TEXT_LIMIT = 300  # characters of a cell
MOST_METRICS = 50
LEVEL = 0.05  # of the test, as the intervals are of 95 %


@dataclass(frozen=True)
class ComparedRow:
    """One fact or metric, a value for each column."""

    group: str
    name: str
    values: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Return whether all columns say the same."""
        return len(set(self.values)) == 1


@dataclass(frozen=True)
class Compared:
    """A column's model against the first column's: the difference, or why there is none."""

    title: str
    difference: Difference | None
    reason: str
    unpaired: tuple[float, float, float] | None = None
    """Where there is none: the difference of accuracy as of independent images, and its interval."""

    @property
    def sentence(self) -> str:
        """Say it for a person."""
        if self.difference is None:
            other = (
                "; accuracy {:+.3f} ({:+.3f} to {:+.3f}), unpaired".format(*self.unpaired)
                if self.unpaired
                else ""
            )
            return text(f"{self.title}: not compared image by image: {self.reason}") + other
        each = self.difference
        chance = "no more than chance explains" if each.p_value >= LEVEL else "more than chance explains"
        interval = f"{each.accuracy:+.3f} ({each.lower:+.3f} to {each.upper:+.3f})"
        return (
            f"{self.title}: accuracy {interval} on the same {each.images:,} images; "
            f"{each.only_second:,} that it alone got right, {each.only_first:,} that the first alone did: "
            f"{chance} (McNemar's exact test, p = {each.p_value:.2g})"
        )

    @property
    def metrics_sentence(self) -> str:
        """Say how other metrics differ, where the images are the same; else nothing."""
        if self.difference is None or not self.difference.metrics:
            return ""
        said = (
            f"{_title(each.metric).lower() if each.metric != 'macro_f1' else 'macro F1'} {each.value:+.3f} "
            f"({each.lower:+.3f} to {each.upper:+.3f})"
            for each in self.difference.metrics
        )
        return f"{', '.join(said)}, by a paired bootstrap"


@dataclass(frozen=True)
class Comparison:
    """Everything that is said of some columns."""

    columns: tuple[Column, ...]
    rows: tuple[ComparedRow, ...]
    compared: tuple[Compared, ...]

    @property
    def problems(self) -> list[str]:
        """Return what could not be read, once each."""
        return list(dict.fromkeys(text(problem) for column in self.columns for problem in column.problems))

    def groups(self, *, everything: bool) -> list[tuple[str, list[ComparedRow], list[str]]]:
        """Return each group's rows to show, and the names of those that are the same in all columns."""
        names = dict.fromkeys(row.group for row in self.rows)
        found = []
        for group in names:
            rows = [row for row in self.rows if row.group == group]
            folded = [] if everything or group in (METRICS, COST) else [row for row in rows if row.same]
            found.append((group, [row for row in rows if row not in folded], [row.name for row in folded]))
        return found

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "columns": [
                {
                    "title": each.title,
                    "arn": each.arn,
                    "training_type": each.training_type,
                    "evaluation": each.evaluation.url if each.evaluation else None,
                }
                for each in self.columns
            ],
            "rows": [{**asdict(row), "same": row.same} for row in self.rows],
            "differences_to_the_first": [
                {
                    "column": each.title,
                    "paired": asdict(each.difference) if each.difference else None,
                    "unpaired": dict(zip(("accuracy", "lower", "upper"), each.unpaired, strict=True))
                    if each.unpaired
                    else None,
                    "reason": each.reason or None,
                }
                for each in self.compared
            ],
            "problems": self.problems,
        }


def compare(columns: Sequence[Column]) -> Comparison:
    """Put columns side by side; the first is what the others are compared with."""
    read = [
        *_facts(columns, DATA),
        *_of_evaluation(columns),
        *_facts(columns, CODE),
        ComparedRow(CODE, "Steps that differ", tuple(_other_steps(columns[0], each) for each in columns)),
        *_facts(columns, PARAMETERS),
        *_facts(columns, HYPER_PARAMETERS),
        *_metrics(columns),
        *_facts(columns, COST),
    ]
    rows = (ComparedRow(row.group, text(row.name), tuple(map(text, row.values))) for row in read)
    titled = [replace(each, title=text(each.title)) for each in columns]
    compared = tuple(_compared(titled[0], each) for each in titled[1:])
    return Comparison(tuple(titled), tuple(rows), compared)


def text(value: str) -> str:
    """Write somebody else's text in one line that has an end, and in which nothing moves the cursor."""
    line = "".join(each if each.isprintable() else "?" for each in " ".join(value.split()))
    return line if len(line) <= TEXT_LIMIT else line[: TEXT_LIMIT - 3] + "..."


def _facts(columns: Sequence[Column], group: str) -> list[ComparedRow]:
    names = dict.fromkeys(name for each in columns for name in each.facts.get(group, {}))
    return [
        ComparedRow(group, name, tuple(each.facts.get(group, {}).get(name) or NOTHING for each in columns))
        for name in names
    ]


def _of_evaluation(columns: Sequence[Column]) -> list[ComparedRow]:
    def row(name: str, values: list[Any]) -> ComparedRow:
        return ComparedRow(DATA, name, tuple(NOTHING if value is None else str(value) for value in values))

    found = [each.evaluation for each in columns]
    return [
        row("Digest of the data set", [each and each.data_digest for each in found]),
        row("Test images", [each and each.images for each in found]),
        row("Classes", [len(each.classes) if each else None for each in found]),
    ]


def _other_steps(first: Column, other: Column) -> str:
    if not first.steps or not other.steps:
        return NOTHING
    names = sorted(
        name
        for name in first.steps.keys() | other.steps.keys()
        if first.steps.get(name) != other.steps.get(name)
    )
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return (", ".join(names[:FEW]) + more) if names else "none"


def _metrics(columns: Sequence[Column]) -> list[ComparedRow]:
    names = dict.fromkeys(
        name for each in columns if each.evaluation for name in each.evaluation.metric_names
    )
    rows = [
        ComparedRow(METRICS, _title(name), tuple(_measured(each.evaluation, name) for each in columns))
        for name in islice(names, MOST_METRICS)
    ]
    for name, write in MORE.items():
        values = tuple(write(each.evaluation) if each.evaluation else NOTHING for each in columns)
        if set(values) != {NOTHING}:
            rows.append(ComparedRow(METRICS, name, values))
    return rows


def _fixed(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"


def _count(value: int | None) -> str:
    return NOTHING if value is None else f"{value:,}"


MORE: dict[str, Callable[[Evaluation], str]] = {
    "Expected calibration error": lambda each: _fixed(each.calibration_error),
    "Temperature": lambda each: _fixed(each.temperature),
    "Network parameters": lambda each: _count(each.parameters),
    "Bytes of the weights": lambda each: _count(each.weights_bytes),
    "Milliseconds an image, in its evaluation": lambda each: (
        f"{each.latency.median:.1f}" if each.latency else NOTHING
    ),
}
"""What else is measured of a model."""


def _title(name: str) -> str:
    return name[:1].upper() + name[1:].replace("_", " ")


def _measured(evaluation: Evaluation | None, name: str) -> str:
    value = evaluation.metric(name) if evaluation else None
    if evaluation is None or value is None:
        return NOTHING
    interval = evaluation.interval(name)
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})" if interval else f"{value:.3f}"


def _compared(first: Column, other: Column) -> Compared:
    for each in (first, other):
        if each.answers is None:
            return _not_paired(first, other, f"{each.title}: {each.not_paired}")
    if first.evaluation is None or other.evaluation is None or first.answers is None or other.answers is None:
        return Compared(other.title, None, "one of them has no evaluation")
    reason = why_not_paired(first.evaluation, other.evaluation, (first.answers, other.answers))
    if reason:
        return _not_paired(first, other, reason)
    return Compared(other.title, difference(first.answers, other.answers), "")


def _not_paired(first: Column, other: Column, reason: str) -> Compared:
    found = unpaired(first.evaluation, other.evaluation) if first.evaluation and other.evaluation else None
    return Compared(other.title, None, reason, found)
