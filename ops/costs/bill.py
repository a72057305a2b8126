"""What SageMaker billed for the jobs of an execution, from Describe answers alone.

A training job is billed for its BillableTimeInSeconds at the On-Demand price: for Spot, SageMaker puts the
discount into that time. A processing job is billed from ProcessingStartTime to ProcessingEndTime. Both times
InstanceCount, with the volume. Steps from the cache cost nothing here; jobs that a retry replaced cost what
they ran.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from itertools import takewhile
from typing import Any

from botocore.exceptions import ClientError

from ops.costs.prices import Prices
from ops.errors import DENIED, error_code, error_message
from ops.executions.execution import ABSENT, ExecutionState, StartedStep
from ops.executions.jobs import INTERRUPTED
from ops.executions.snapshot import Snapshot
from upload_trigger.policy.cost import FREE, JOBS

RUNNING = frozenset({"InProgress", "Stopping"})
GONE = ABSENT | {"ValidationException"}
NAME_LIMIT = 20
"""Characters of a step's name that SageMaker keeps in the name of its job; local AWS keeps 29."""


@dataclass(frozen=True)
class BillLine:
    """One job on the bill; None for what is not known."""

    step: str
    job: str
    kind: str
    """Training or Processing."""
    training_type: str | None
    """The TrainingType tag of its step."""
    status: str
    spot: bool
    attempt: int
    retried: bool
    """Whether a later attempt replaced it."""
    instance_type: str | None
    instance_count: int
    volume_gb: float
    trained_seconds: int | None
    billed_seconds: int | None
    usd_per_hour: float | None
    """The price of one instance, without its volume."""
    usd: float | None
    not_known: str | None = None
    """Why `usd` is None."""


@dataclass(frozen=True)
class SpotComparison:
    """What Spot billed against what On-Demand billed for the same training, all attempts of both."""

    spot_step: str
    on_demand_step: str
    spot_usd: float
    on_demand_usd: float
    console_saving: float | None
    """1 - BillableTimeInSeconds / TrainingTimeInSeconds of the Spot job, as SageMaker's console shows it."""
    interruptions: int
    lost_seconds: int
    """What the interruptions lost: TrainingTimeInSeconds of Spot beyond On-Demand's."""
    waited_seconds: int
    """From each interruption until training went on; not billed."""

    @property
    def saved_usd(self) -> float:
        """Return how much less Spot billed; below 0 where it billed more."""
        return self.on_demand_usd - self.spot_usd

    @property
    def saved_share(self) -> float | None:
        """Return `saved_usd` as a share of what On-Demand billed (0.4 = 40 %)."""
        return self.saved_usd / self.on_demand_usd if self.on_demand_usd > 0 else None


@dataclass(frozen=True)
class Bill:
    """What the jobs of an execution were billed."""

    prices: Prices
    lines: tuple[BillLine, ...]
    cached: tuple[str, ...]
    """Steps whose outputs an earlier execution made, and paid for."""
    not_known: tuple[str, ...]
    """What is missing in `total_usd`, a sentence each."""
    spot_against_on_demand: tuple[SpotComparison, ...]
    currency: str = "USD"

    @property
    def total_usd(self) -> float:
        """Return the sum of all that is known; where something is `not_known`, the least that it can be."""
        return math.fsum(line.usd for line in self.lines if line.usd is not None)

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "currency": self.currency,
            "total_usd": self.total_usd,
            "lines": [asdict(line) for line in self.lines],
            "cached": list(self.cached),
            "not_known": list(self.not_known),
            "spot_against_on_demand": [
                {**asdict(each), "saved_usd": each.saved_usd, "saved_share": each.saved_share}
                for each in self.spot_against_on_demand
            ],
            "prices": {
                "source": self.prices.source,
                "as_of": self.prices.as_of,
                "region": self.prices.region,
            },
        }


@dataclass(frozen=True)
class _DescribedJob:
    """A line with the answer that it is from."""

    line: BillLine
    answer: Mapping[str, Any]

    @property
    def created(self) -> float:
        moment = self.answer.get("CreationTime")
        return moment.timestamp() if isinstance(moment, datetime) else 0.0


def read_bill(sagemaker: Any, snapshot: Snapshot, prices: Prices) -> Bill:
    """Ask SageMaker for every job that the execution ran itself, and sum up what they were billed."""
    execution = snapshot.execution
    cached = [step for step in execution.steps if step.type in JOBS and step.source]
    not_known: list[str] = []
    jobs = []
    for kind in JOBS:
        names = _own_names(execution, kind)
        names |= _listed_names(sagemaker, execution, kind, not_known)
        jobs += [_read(sagemaker, execution, kind, name, prices) for name in names.values()]
    jobs = list(_in_order(execution, jobs))
    not_known += [f"{each.line.job}: {each.line.not_known}" for each in jobs if each.line.not_known]
    not_known += _other_steps(execution)
    if note := _other_region(execution, jobs, prices):
        not_known.append(note)
    return Bill(
        prices=prices,
        lines=tuple(each.line for each in jobs),
        cached=tuple(step.name for step in cached),
        not_known=tuple(not_known),
        spot_against_on_demand=tuple(_comparisons(jobs)),
    )


def price_job(kind: str, answer: Mapping[str, Any], prices: Prices) -> BillLine:
    """Return what a job was billed, from its Describe answer; its step is left open."""
    cluster = _cluster(kind, answer)
    instance_type = cluster.get("InstanceType")
    count, volume = int(cluster.get("InstanceCount", 1)), cluster.get("VolumeSizeInGB", 0)
    billed, reason = _billed_seconds(kind, answer)
    price = prices.by_type.get(str(instance_type))
    if billed == 0:
        usd: float | None = 0.0
    elif billed is None:
        usd = None
    elif instance_type is None:
        usd, reason = None, "it runs on groups of instances, whose price is not known here"
    elif price is None:
        usd = None
        reason = f"the price of {instance_type} is not known; write it into instance_prices of the policy"
    else:
        usd = count * (price + volume * prices.volume_gb_hour) * billed / 3600
    return BillLine(
        step="",
        job=str(answer.get(f"{kind}JobName", "")),
        kind=kind,
        training_type=None,
        status=str(answer.get(f"{kind}JobStatus", "")),
        spot=bool(answer.get("EnableManagedSpotTraining")),
        attempt=1,
        retried=False,
        instance_type=instance_type,
        instance_count=count,
        volume_gb=volume,
        trained_seconds=answer.get("TrainingTimeInSeconds"),
        billed_seconds=billed,
        usd_per_hour=price,
        usd=usd,
        not_known=reason if usd is None else None,
    )


def describe(sagemaker: Any, kind: str, name: str) -> dict[str, Any]:
    """Ask for one job: kind is Training or Processing."""
    operation = sagemaker.describe_training_job if kind == "Training" else sagemaker.describe_processing_job
    answer: dict[str, Any] = operation(**{f"{kind}JobName": name})
    return answer


def _cluster(kind: str, answer: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = answer
    for member in JOBS[kind]:
        found = found.get(member) or {}
    return found if isinstance(found, Mapping) else {}


def _billed_seconds(kind: str, answer: Mapping[str, Any]) -> tuple[int | None, str | None]:
    """Return the seconds that were billed, or None and why they are not known."""
    if answer.get(f"{kind}JobStatus") in RUNNING:
        return None, "it still runs"
    if kind == "Training":
        billable = answer.get("BillableTimeInSeconds")
        if billable is None and "TrainingStartTime" in answer:
            return None, "it started, and SageMaker tells no BillableTimeInSeconds"
        return int(billable or 0), None
    began, ended = answer.get("ProcessingStartTime"), answer.get("ProcessingEndTime")
    if began is None:
        return 0, None
    if ended is None:
        return None, "it started, and SageMaker tells no ProcessingEndTime"
    return max(0, math.ceil((ended - began).total_seconds())), None


def _own_names(execution: ExecutionState, kind: str) -> dict[str, str]:
    """Return the jobs that the steps name, by their names in lower case, as ARNs have them."""
    names = [step.job_name for step in execution.steps if step.type == kind and not step.source]
    return {name.lower(): name for name in names if name}


def _listed_names(
    sagemaker: Any, execution: ExecutionState, kind: str, not_known: list[str]
) -> dict[str, str]:
    """Return all jobs that the execution made, those of earlier attempts too; a step names its last one."""
    operation = f"list_{kind.lower()}_jobs"
    try:
        # pipelines-<execution id>-<step>-<token>; a definition may replace the first word.
        pages = sagemaker.get_paginator(operation).paginate(
            NameContains=f"-{execution.id}-", CreationTimeAfter=execution.start
        )
        names = [each[f"{kind}JobName"] for page in pages for each in page[f"{kind}JobSummaries"]]
    except ClientError as error:
        if error_code(error) not in DENIED:
            raise
        not_known.append(
            f"{kind.lower()} jobs that a retry replaced: AWS refuses sagemaker:List{kind}Jobs to you"
        )
        return {}
    return {name.lower(): name for name in names}


def _read(sagemaker: Any, execution: ExecutionState, kind: str, name: str, prices: Prices) -> _DescribedJob:
    try:
        answer = describe(sagemaker, kind, name)
    except ClientError as error:
        if error_code(error) not in GONE | DENIED:
            raise
        answer = {f"{kind}JobName": name}
        reason = f"SageMaker does not describe it: {error_message(error)}"
        line = replace(price_job(kind, answer, prices), billed_seconds=None, usd=None, not_known=reason)
    else:
        line = price_job(kind, answer, prices)
    step = _step_of(execution, kind, name)
    planned = execution.planned(step) if step else None
    tagged = planned and planned.training_type != planned.name
    return _DescribedJob(
        replace(
            line,
            step=step.name if step else "unknown step",
            training_type=planned.training_type if planned and tagged else None,
        ),
        answer,
    )


def _step_of(execution: ExecutionState, kind: str, job: str) -> StartedStep | None:
    """Find the step whose job this is: the one that names it, or else the one that it is named after."""
    steps = [step for step in execution.steps if step.type == kind]
    for step in steps:
        if step.job_name and step.job_name.lower() == job.lower():
            return step
    rest = job.lower().partition(f"{execution.id.lower()}-")[2]
    found = [step for step in steps if rest.startswith(_word(step)[:NAME_LIMIT].strip("-"))]
    return max(found, key=lambda step: _alike(rest, _word(step)), default=None)


def _word(step: StartedStep) -> str:
    """Write a step's name as the names of its jobs have it, but whole."""
    return re.sub(r"[^A-Za-z0-9]+", "-", step.name).strip("-").lower()


def _alike(one: str, other: str) -> int:
    """Count the characters with which both texts begin."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _in_order(execution: ExecutionState, jobs: list[_DescribedJob]) -> Iterator[_DescribedJob]:
    """Yield the jobs in the pipeline's order, each with its attempt."""
    order = {step.name: place for place, step in enumerate(execution.steps)}
    attempts: dict[str, list[_DescribedJob]] = {}
    for job in sorted(jobs, key=lambda each: (order.get(each.line.step, len(order)), each.created)):
        attempts.setdefault(job.line.step, []).append(job)
    for made in attempts.values():
        for number, job in enumerate(made, 1):
            yield replace(job, line=replace(job.line, attempt=number, retried=number < len(made)))


def _other_steps(execution: ExecutionState) -> Iterator[str]:
    for step in execution.steps:
        if step.type not in {*JOBS, *FREE}:
            yield f"step {step.name}: what a step of type {step.type} costs is not known here"


def _other_region(execution: ExecutionState, jobs: Iterable[_DescribedJob], prices: Prices) -> str | None:
    region = execution.arn.split(":")[3] if execution.arn.count(":") > 3 else prices.region
    assumed = {each.line.instance_type for each in jobs if each.line.instance_type} - prices.stated
    if region == prices.region or not assumed:
        return None
    return (
        f"the prices of {region}, where this ran: those of {prices.region} stand for them; "
        f"write {', '.join(sorted(map(str, assumed)))} into instance_prices of the policy"
    )


def _comparisons(jobs: list[_DescribedJob]) -> Iterator[SpotComparison]:
    """Compare each Spot training that Completed with an On-Demand training of the same that did."""
    done = [job for job in jobs if job.line.kind == "Training" and job.line.status == "Completed"]
    for spot in (job for job in done if job.line.spot):
        same = [job for job in done if not job.line.spot and _training(job) == _training(spot)]
        if not same:
            continue
        costs = [_step_usd(jobs, job.line.step) for job in (spot, same[0])]
        if costs[0] is not None and costs[1] is not None:
            yield _comparison(spot, same[0], costs[0], costs[1])


def _training(job: _DescribedJob) -> tuple[Any, ...]:
    """Return what makes two trainings the same: program, hyper-parameters, instances and inputs."""
    answer = job.answer
    channels = sorted(answer.get("InputDataConfig") or [], key=lambda each: str(each.get("ChannelName")))
    image = (answer.get("AlgorithmSpecification") or {}).get("TrainingImage")
    return image, answer.get("HyperParameters") or {}, answer.get("ResourceConfig"), channels


def _step_usd(jobs: list[_DescribedJob], step: str) -> float | None:
    """Return what all attempts of a step billed; None where one is not known."""
    costs = [job.line.usd for job in jobs if job.line.step == step]
    known = [cost for cost in costs if cost is not None]
    return math.fsum(known) if len(known) == len(costs) else None


def _comparison(
    spot: _DescribedJob, on_demand: _DescribedJob, spot_usd: float, on_demand_usd: float
) -> SpotComparison:
    transitions = spot.answer.get("SecondaryStatusTransitions") or []
    interruptions = sum(each["Status"] == INTERRUPTED for each in transitions)
    trained, billed = spot.line.trained_seconds, spot.line.billed_seconds
    beyond = (trained or 0) - (on_demand.line.trained_seconds or 0)
    return SpotComparison(
        spot_step=spot.line.step,
        on_demand_step=on_demand.line.step,
        spot_usd=spot_usd,
        on_demand_usd=on_demand_usd,
        console_saving=1 - billed / trained if trained and billed is not None else None,
        interruptions=interruptions,
        lost_seconds=max(0, beyond) if interruptions else 0,
        waited_seconds=round(_waited(transitions)),
    )


def _waited(transitions: list[Mapping[str, Any]]) -> float:
    """Return the seconds between each interruption and the next Training."""
    waited, lost = 0.0, None
    for each in sorted(transitions, key=lambda entry: entry["StartTime"]):
        if each["Status"] == INTERRUPTED:
            lost = lost or each["StartTime"]
        elif each["Status"] == "Training" and lost is not None:
            waited += (each["StartTime"] - lost).total_seconds()
            lost = None
    return waited
