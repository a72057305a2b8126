"""report.html: what is shown on the page, and its text from the template beside it.

Everything that comes from an execution is escaped by the template: class names, reasons and parameters are
whatever somebody wrote.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ops.comparison.table import Comparison
from ops.costs.bill import Bill
from ops.executions.curves import Curves
from ops.executions.evaluations import ConfusedPair, Evaluation, Mistake
from ops.executions.execution import StartedStep
from ops.executions.job_logs import JobLog
from ops.executions.jobs import Training
from ops.executions.models import RegisteredModel, folder_name
from ops.executions.snapshot import Snapshot
from ops.output import words
from ops.output.charts import Chart, Reliability, SliceChart, charts, reliability, slice_chart
from ops.output.confusion import Matrix, matrix
from ops.output.dag import Dag, dag
from ops.output.summary import Summary
from ops.output.terminal import dollars, duration
from ops.output.timeline import Timeline, timeline

TEMPLATES = Path(__file__).parent / "templates"
STYLE = (TEMPLATES / "report.css.html").read_text(encoding="utf-8")
"""The <style> element of every page in this style."""
METRICS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_precision": "Macro precision",
    "macro_recall": "Macro recall",
    "macro_f1": "Macro F1",
    "weighted_f1": "Weighted F1",
    "top_5_accuracy": "Top-5 accuracy",
    "log_loss": "Log loss",
    "brier_score": "Brier score",
}
CALIBRATED = {
    "expected_calibration_error": "Expected calibration error",
    "log_loss": "Log loss",
    "brier_score": "Brier score",
}
"""What a temperature changes."""
SLICES = {
    "box_area_share": "By the box's share of the image's area",
    "box_aspect_ratio": "By the box's width over its height",
}
SHARES = ("box_area_share",)
"""Slices by what is written in percent."""
ORIGINS = {
    "backbone": "Backbone",
    "pretrained_sha256": "sha256 of its pretrained weights",
    "pretrained_licence": "Licence of its pretrained weights",
    "training_code_sha256": "sha256 of the training code",
    "evaluation_code_sha256": "sha256 of the evaluation's code",
}
"""What an evaluation's lineage tells beside what the execution itself does."""
NOTHING = "\N{EN DASH}"


@dataclass(frozen=True)
class Page:
    """What was read of an execution, as the template asks for it."""

    snapshot: Snapshot
    summary: Summary
    evaluations: Mapping[str, Evaluation]
    packages: list[RegisteredModel]
    missing: list[str]
    notes: list[str]
    curves: Curves
    logs: Mapping[str, JobLog]
    """The end of the log of each step that failed, by step name."""
    definition_sha256: str
    stays: bool = True
    """Whether the AWS that was read is still there when the page is."""
    written: bool = False
    """Whether the models and documents that it names lie beside it."""
    """Of pipeline.json beside the page."""

    @property
    def headline(self) -> str:
        """Return the sentence that sums the execution up."""
        reached = {kind: each.metric("accuracy") for kind, each in self.evaluations.items()}
        accuracies = {kind: value for kind, value in reached.items() if value is not None}
        if self.snapshot.execution.finished:
            return words.summary(self.snapshot, self.packages, accuracies, self.bill)
        return f"{self.snapshot.execution.status}: how far it was at {moment(self.snapshot.taken)}."

    @property
    def failures(self) -> list[str]:
        """Return every failure reason in full."""
        return words.failures(self.snapshot)

    @property
    def region(self) -> str:
        """Return the region and the account of the execution's ARN."""
        parts = self.snapshot.execution.arn.split(":")
        return f"{parts[3]}, account {parts[4]}" if len(parts) > 5 else ""

    @property
    def took(self) -> str:
        """Return how long the execution took, or takes so far."""
        execution = self.snapshot.execution
        return duration((execution.end(self.snapshot.taken) - execution.start).total_seconds())

    @cached_property
    def timeline(self) -> Timeline | None:
        """Return the picture of the steps over time."""
        return timeline(self.snapshot)

    @cached_property
    def dag(self) -> Dag | None:
        """Return the picture of the pipeline's graph."""
        return dag(self.snapshot)

    @cached_property
    def charts(self) -> list[Chart]:
        """Return the pictures of the training curves, one for each measure."""
        return charts(self.curves)

    @property
    def reliabilities(self) -> list[tuple[str, Reliability]]:
        """Return how far each model's probabilities can be believed."""
        drawn = ((kind, reliability(each)) for kind, each in self.evaluations.items())
        return [(kind, picture) for kind, picture in drawn if picture]

    @property
    def galleries(self) -> list[tuple[str, list[Mistake]]]:
        """Return the surest mistakes that there is a picture of; models with the same ones share them."""
        found: dict[tuple[Mistake, ...], list[str]] = {}
        for kind, each in self.evaluations.items():
            if mistakes := tuple(mistake for mistake in each.mistakes if mistake.picture):
                found.setdefault(mistakes, []).append(kind)
        return [(" and ".join(kinds), list(mistakes)) for mistakes, kinds in found.items()]

    @property
    def lineage(self) -> list[tuple[str, str]]:
        """Return where everything comes from: rows of a name and a digest, an ARN or a URL."""
        parameters = self.summary.parameters
        rows = [
            ("Execution", self.snapshot.execution.arn),
            ("sha256 of pipeline.json", self.definition_sha256),
            ("Image of the jobs", parameters.get("TrainingImageUri", "")),
            ("Data", parameters.get("InputDataUrl", "")),
            ("Digest of the data", parameters.get("InputDataDigest", "")),
        ]
        for kind, evaluation in self.evaluations.items():
            rows.append((f"Digest of the test images' data set, {kind}", evaluation.data_digest or ""))
        for training in self.trainings:
            digest = self.summary.trainings[training.type].model_sha256
            rows.append((f"Model, {training.type}", training.artifacts or ""))
            rows.append((f"sha256 of its weights, {training.type}", digest or ""))
        for name, title in ORIGINS.items():
            said = {kind: each.lineage.get(name, "") for kind, each in self.evaluations.items()}
            same = len(set(said.values())) == 1
            rows += [(title if same else f"{title}, {kind}", value) for kind, value in said.items()][
                : 1 if same else None
            ]
        return [(name, value) for name, value in rows if value]

    @property
    def trainings(self) -> list[Training]:
        """Return the training jobs in the order of their steps."""
        return list(self.snapshot.trainings.values())

    @property
    def metric_names(self) -> list[str]:
        """Name every metric any training reported; how far it came is no result."""
        return sorted({name for each in self.trainings for name in each.metrics} - {words.PROGRESS})

    @property
    def bill(self) -> Bill:
        """Return what the jobs of this execution were billed."""
        return self.summary.bill

    @property
    def total(self) -> str:
        """Return what the execution cost, as far as it is known."""
        return words.total(self.bill)

    @property
    def bill_remarks(self) -> list[str]:
        """Return what there is to say about the bill beside its lines."""
        return words.bill_remarks(self.bill)

    @property
    def identical(self) -> bool | None:
        """Return whether all models have the same weights; None unless two or more are there."""
        digests = [each.model_sha256 for each in self.summary.trainings.values() if each.model_sha256]
        return len(set(digests)) == 1 if len(digests) > 1 else None

    @property
    def matrices(self) -> list[tuple[str, Matrix, list[ConfusedPair]]]:
        """Return each model's confusion matrix with the pairs of classes that it confuses most."""
        drawn = [(kind, matrix(each), each.confused_pairs) for kind, each in self.evaluations.items()]
        return [(kind, picture, pairs) for kind, picture, pairs in drawn if picture]

    @property
    def metrics(self) -> list[tuple[str, list[str]]]:
        """Return the rows of the evaluation table: a metric's title and its value for each model."""
        rows = [
            (title, [measured(each, name) for each in self.evaluations.values()])
            for name, title in METRICS.items()
        ]
        rows += [
            (title, [write(each) for each in self.evaluations.values()])
            for title, write in OF_NETWORK.items()
        ]
        return [(title, values) for title, values in rows if any(value != NOTHING for value in values)]

    @property
    def calibrations(self) -> list[tuple[str, list[str]]]:
        """Return what the temperature changed: a measure's title and its two values for each model."""
        rows = [
            (title, [_before_and_after(each, name) for each in self.evaluations.values()])
            for name, title in CALIBRATED.items()
        ]
        if not any(value != NOTHING for _, values in rows for value in values):
            return []
        temperatures = [each.temperature for each in self.evaluations.values()]
        return [("Temperature", [NOTHING if each is None else f"{each:.3f}" for each in temperatures]), *rows]

    @property
    def slices(self) -> list[tuple[str, list[SliceChart]]]:
        """Return where each model is good and where not; models with the same answers share a picture."""
        found: dict[tuple[SliceChart, ...], list[str]] = {}
        for kind, each in self.evaluations.items():
            drawn = tuple(
                slice_chart(one, SLICES[one.by], is_share=one.by in SHARES)
                for one in each.slices
                if one.by in SLICES
            )
            if drawn:
                found.setdefault(drawn, []).append(kind)
        return [(" and ".join(kinds), list(drawn)) for drawn, kinds in found.items()]

    @property
    def without_grad_cam(self) -> list[str]:
        """Say why there are no pictures of where a network looked."""
        return list(dict.fromkeys(each.no_grad_cam for each in self.evaluations.values() if each.no_grad_cam))

    @property
    def class_names(self) -> list[str]:
        """Name the classes any evaluation knows, in order."""
        return sorted({name for each in self.evaluations.values() for name in each.classes})

    @property
    def packages_waiting(self) -> bool:
        """Return whether a registered model waits for somebody's approval, which can still be given."""
        return self.stays and any(package.approval_status == words.PENDING for package in self.packages)

    def with_models(self, digests: Mapping[str, str], missing: Sequence[str]) -> Page:
        """Return the page with the sha256 of the weights by training type, and why some are not there."""
        trainings = {
            kind: replace(training, model_sha256=digests.get(kind))
            for kind, training in self.summary.trainings.items()
        }
        summary = replace(self.summary, trainings=trainings)
        return replace(self, summary=summary, missing=[*self.missing, *missing], written=True)

    def cached(self, training: Training) -> bool:
        """Return whether `training` came from the cache, so that this execution paid nothing for it."""
        return training not in self.snapshot.billed_trainings.values()

    def package_of(self, package: RegisteredModel) -> str:
        """Return the test accuracy of the registered model, as text."""
        evaluation = self.evaluations.get(package.training_type)
        return measured(evaluation, "accuracy") if evaluation else NOTHING

    def branch(self, step: StartedStep) -> str:
        """Say which way a condition step went."""
        return words.branch(self.snapshot, step)

    def cache_note(self, step: StartedStep) -> str:
        """Say what the cache did for `step`."""
        note = self.snapshot.cache.get(step.name)
        return note.sentence() if note else ""


def render(page: Page) -> str:
    """Write the page: one HTML document that loads nothing from anywhere."""
    return _template("report.html", page)


def render_body(page: Page) -> str:
    """Write what stands inside of the page's <main>, for a document that has STYLE itself."""
    return _template("execution.html", page)


def render_comparison(comparison: Comparison, *, everything: bool) -> str:
    """Write the page of a comparison, in the style of a report."""
    titles = [column.title for column in comparison.columns]
    template = _templates().get_template("compare.html")
    return template.render(comparison=comparison, titles=titles, everything=everything)


def _template(name: str, page: Page) -> str:
    return _templates().get_template(name).render(page=page, execution=page.snapshot.execution)


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., str]] = {
        "clock": clock,
        "moment": moment,
        "duration": lasted,
        "percent": percent,
        "number": number,
        "file_name": folder_name,
        "picture": picture_url,
        "dollars": dollars,
        "usd": usd,
    }
    environment.filters.update(filters)
    return environment


def picture_url(jpeg: bytes) -> str:
    """Write a JPEG as a URL that needs no request."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def measured(evaluation: Evaluation, name: str) -> str:
    """Write a metric with its confidence interval: 0.938 (0.901 to 0.962)."""
    value, interval = evaluation.metric(name), evaluation.interval(name)
    if value is None:
        return NOTHING
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})" if interval else f"{value:.3f}"


def _before_and_after(evaluation: Evaluation, name: str) -> str:
    """Write a measure without the temperature and with it: 0.081 to 0.032."""
    before = evaluation.before_calibration(name)
    after = evaluation.calibration_error if name == "expected_calibration_error" else evaluation.metric(name)
    return NOTHING if before is None or after is None else f"{before:.3f} to {after:.3f}"


def _speed(evaluation: Evaluation) -> str:
    each = evaluation.latency
    if each is None:
        return NOTHING
    threads = f"{each.threads} thread{'' if each.threads == 1 else 's'}"
    return f"{each.median:.1f} ms (95% within {each.p95:.1f} ms), {each.device}, {threads}"


OF_NETWORK: dict[str, Callable[[Evaluation], str]] = {
    "Parameters": lambda each: NOTHING if each.parameters is None else f"{each.parameters:,}",
    "Weights": lambda each: NOTHING if each.weights_bytes is None else f"{each.weights_bytes / 1e6:,.1f} MB",
    "One image alone, in the evaluation's job": _speed,
}
"""Rows of the table of metrics on the network itself."""


def moment(when: datetime | None) -> str:
    """Write a time in UTC."""
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if when else NOTHING


def lasted(seconds: float | None) -> str:
    """Write a duration."""
    return NOTHING if seconds is None else duration(seconds)


def clock(when: datetime | None) -> str:
    """Write the time of day in UTC."""
    return when.astimezone(UTC).strftime("%H:%M:%S") if when else NOTHING


def percent(share: float | None, decimals: int = 0) -> str:
    """Write a share in percent."""
    return NOTHING if share is None else f"{share:.{decimals}%}"


def usd(amount: float | None) -> str:
    """Write a sum of a column that is in USD."""
    return NOTHING if amount is None else f"{amount:.4f}"


def number(value: Any) -> str:
    """Write a count or a measure from somebody's document; anything else is shown as missing."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return NOTHING
    return f"{value:.3f}" if isinstance(value, float) else str(value)
