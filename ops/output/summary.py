"""summary.json: an execution for programs. Times are ISO 8601 in UTC, durations seconds, absent values null.

    execution_arn, status   as SageMaker gives them
    failure_reason          str or null
    parameters              {name: value as text}
    steps                   those that started, in the pipeline's order: {name, type, status, start, end,
                            attempts, cache}; cache is null or {hit, source (execution ARN or null), reason}
    trainings               {Spot, OnDemand: {training_seconds, billable_seconds, interruptions,
                            model_sha256}}; model_sha256 is of model.safetensors inside model.tar.gz,
                            null while there is none
    evaluations             {Spot, OnDemand: {accuracy, macro_f1, images}}
    model_packages          ARNs in the order of their register steps
    bill                    {currency, total_usd, lines, cached, not_known, spot_against_on_demand, prices}:
                            what the jobs of this execution were billed. lines: one for each job, {step, job,
                            kind, training_type, status, spot, attempt, retried, instance_type,
                            instance_count, volume_gb, trained_seconds, billed_seconds, usd_per_hour, usd,
                            not_known}; cached: the steps that came from the cache; not_known: sentences on
                            what total_usd lacks, then the least it can be; spot_against_on_demand: list of
                            {spot_step, on_demand_step, spot_usd, on_demand_usd, console_saving,
                            interruptions, lost_seconds, waited_seconds, saved_usd, saved_share} for the same
                            training; prices: {source, as_of, region}

The keys of trainings and evaluations are the TrainingType tags of the steps. Of a step from the cache they
tell the job whose outputs were taken: its times and interruptions are those of the source execution.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from ops.costs.bill import Bill
from ops.executions.evaluations import Evaluation
from ops.executions.models import RegisteredModel
from ops.executions.snapshot import Snapshot


@dataclass(frozen=True)
class CacheSummary:
    """What the step cache did for a step."""

    hit: bool
    source: str | None
    reason: str | None


@dataclass(frozen=True)
class StepSummary:
    """One step that started."""

    name: str
    type: str
    status: str
    start: str | None
    end: str | None
    attempts: int
    cache: CacheSummary | None


@dataclass(frozen=True)
class TrainingSummary:
    """Times in seconds, interruptions and the weights' digest of one training job."""

    training_seconds: int | None
    billable_seconds: int | None
    interruptions: int
    model_sha256: str | None


@dataclass(frozen=True)
class EvaluationSummary:
    """The headline numbers of one model."""

    accuracy: float | None
    macro_f1: float | None
    images: int | None


@dataclass(frozen=True)
class Summary:
    """The content of summary.json."""

    execution_arn: str
    status: str
    failure_reason: str | None
    parameters: Mapping[str, str]
    steps: tuple[StepSummary, ...]
    trainings: Mapping[str, TrainingSummary]
    evaluations: Mapping[str, EvaluationSummary]
    model_packages: tuple[str, ...]
    bill: Bill

    def to_json(self) -> str:
        """Write it as the text of summary.json."""
        document = {**asdict(self), "bill": self.bill.document()}
        return json.dumps(document, indent=2, allow_nan=False) + "\n"


def summarise(
    snapshot: Snapshot,
    parameters: Mapping[str, str],
    evaluations: Mapping[str, Evaluation],
    packages: list[RegisteredModel],
    digests: Mapping[str, str],
    *,
    bill: Bill,
) -> Summary:
    """Put together what was read; `digests` are the sha256 of the models by training type."""
    return Summary(
        execution_arn=snapshot.execution.arn,
        status=snapshot.execution.status,
        failure_reason=snapshot.execution.failure_reason,
        parameters=dict(parameters),
        steps=_steps(snapshot),
        trainings=_trainings(snapshot, digests),
        evaluations={
            kind: EvaluationSummary(each.metric("accuracy"), each.metric("macro_f1"), each.images)
            for kind, each in evaluations.items()
        },
        model_packages=tuple(package.arn for package in packages),
        bill=bill,
    )


def _steps(snapshot: Snapshot) -> tuple[StepSummary, ...]:
    return tuple(
        StepSummary(
            name=step.name,
            type=step.type,
            status=step.status,
            start=_iso(step.start),
            end=_iso(step.end),
            attempts=step.attempts,
            cache=_cache(snapshot, step.name),
        )
        for step in snapshot.execution.steps
    )


def _cache(snapshot: Snapshot, name: str) -> CacheSummary | None:
    note = snapshot.cache.get(name)
    return CacheSummary(note.hit, note.source, note.reason) if note else None


def _trainings(snapshot: Snapshot, digests: Mapping[str, str]) -> dict[str, TrainingSummary]:
    return {
        training.type: TrainingSummary(
            training_seconds=training.training_seconds,
            billable_seconds=training.billable_seconds,
            interruptions=training.interruptions,
            model_sha256=digests.get(training.type),
        )
        for training in snapshot.trainings.values()
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None
