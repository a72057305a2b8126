"""What each type of step does: Condition and Fail here, jobs and model packages through SageMaker's API.

Every call goes through the clients that the execution was given, so the pipeline role's policies judge it.
AWS describes a job again and again until it has ended. Here each job is described when it has started and
when it has ended, which asks the role for the same right; in between its end is waited for in this process.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from local.engine.cache import KEY_ATTRIBUTES, StepCache, expiry
from local.engine.conditions import all_hold
from local.engine.definition import StepDefinition
from local.engine.expressions import ExecutionVariables, ExpressionError, ExpressionScope, as_text
from local.engine.records import StepRecords
from local.engine.retry import Retries, StepFailedError, StepStoppedError, failed_job, refused_call
from local.engine.signals import Signal


class JobEnds(Protocol):
    """The ends of the jobs of the service that runs in this process."""

    def ended(self, arn: str) -> Signal:
        """Return the signal of a job's end; for a job that is not known any more it is set."""


@dataclass(frozen=True)
class Runtime:
    """What the steps of one execution share."""

    variables: ExecutionVariables
    scope: ExpressionScope
    sagemaker: Any
    jobs: JobEnds
    cache: StepCache
    records: StepRecords
    note: Callable[[str, str, Mapping[str, Any]], None]
    stopping: Signal
    retry_scale: float
    now: Callable[[], datetime]


@dataclass(frozen=True)
class JobType:
    """SageMaker's words for one kind of job: "TrainingJob" makes CreateTrainingJob, TrainingJobArn, ..."""

    noun: str
    metadata: str
    stoppable: bool = True

    def method(self, client: Any, verb: str) -> Callable[..., Any]:
        """Return the client's method for `verb` ("create", "describe", "stop")."""
        snake = re.sub(r"(?<!^)(?=[A-Z])", "_", self.noun).lower()
        method: Callable[..., Any] = getattr(client, f"{verb}_{snake}")
        return method


JOB_TYPES = {
    "Processing": JobType("ProcessingJob", "ProcessingJob"),
    "Training": JobType("TrainingJob", "TrainingJob"),
    "RegisterModel": JobType("ModelPackage", "RegisterModel", stoppable=False),
}


_MISSES = 5
"""Describe calls in a row that may fail for the service's reasons: a training outlives a moment's fault."""
_MISS_SECONDS = 0.1
"""Until the next one, so that a service which is gone is told within a second."""


def run_step(step: StepDefinition, runtime: Runtime) -> None:
    """Run one step to its end; raise StepFailedError or StepStoppedError where it does not succeed."""
    runtime.records.update(step.name, status="Executing")
    try:
        if step.type == "Condition":
            _decide(step, runtime)
        elif step.type == "Fail":
            _fail(step, runtime)
        else:
            _run_cached(step, runtime)
    except ExpressionError as error:
        raise StepFailedError(f"ClientError: {error}") from error


def _decide(step: StepDefinition, runtime: Runtime) -> None:
    runtime.records.update(step.name, attempt_count=1)
    outcome = all_hold(step.arguments["Conditions"], runtime.scope.value)
    # SageMaker's API says True, and a Std:Join of the property true.
    runtime.records.update(step.name, metadata={"Condition": {"Outcome": str(outcome)}})
    runtime.scope.record(step.name, {"Outcome": outcome})


def _fail(step: StepDefinition, runtime: Runtime) -> None:
    message = as_text(runtime.scope.value(step.arguments["ErrorMessage"]))
    runtime.records.update(step.name, attempt_count=1, metadata={"Fail": {"ErrorMessage": message}})
    raise StepFailedError(message)


def _run_cached(step: StepDefinition, runtime: Runtime) -> None:
    """Take an earlier job's place where the cache allows it, else run the step's job and keep it."""
    config = step.document.get("CacheConfig") or {}
    if step.type not in KEY_ATTRIBUTES:
        _run_with_retries(step, runtime)
        return
    if config.get("Enabled") and _reuse(step, config, runtime):
        return
    arguments, properties, metadata = _run_with_retries(step, runtime)
    runtime.cache.store(
        runtime.variables.pipeline_name,
        step.name,
        step.type,
        arguments,
        properties=properties,
        metadata=metadata,
        execution_arn=runtime.variables.execution_arn,
        now=runtime.now(),
    )


def _reuse(step: StepDefinition, config: Mapping[str, Any], runtime: Runtime) -> bool:
    """Look for an earlier job of this step, say what came of it, and take its properties on a hit."""
    decision = runtime.cache.lookup(
        runtime.variables.pipeline_name,
        step.name,
        step.type,
        runtime.scope.value(step.arguments, _job_name(step, runtime)),
        expire_after=expiry(config),
        now=runtime.now(),
    )
    arn = decision.source.execution_arn if decision.source else None
    runtime.note(step.name, "cache", {"hit": decision.hit, "reason": decision.reason, "source": arn})
    if decision.source:
        runtime.scope.record(step.name, decision.source.properties)
        runtime.records.update(step.name, cache_source=arn, metadata=dict(decision.source.metadata))
    return decision.hit


_Finished = tuple[dict[str, Any], dict[str, Any], dict[str, Any]]


def _run_with_retries(step: StepDefinition, runtime: Runtime) -> _Finished:
    """Run the step's job until it completes; return its arguments, properties and Metadata."""
    retries = Retries(step.document.get("RetryPolicies") or [], runtime.retry_scale)
    started = time.monotonic()
    attempt = 1
    while True:
        runtime.records.update(step.name, attempt_count=attempt)
        try:
            return _run_job(step, JOB_TYPES[step.type], runtime)
        except StepFailedError as failed:
            delay = retries.delay(failed.exception_type, time.monotonic() - started)
            if delay is None:
                raise
            attempt += 1
            _note_retry(step, failed, attempt, delay, runtime)
        if runtime.stopping.wait(delay):
            raise StepStoppedError


def _note_retry(
    step: StepDefinition, failed: StepFailedError, attempt: int, delay: float, runtime: Runtime
) -> None:
    about = {"attempt": attempt, "exception_type": failed.exception_type, "delay_seconds": round(delay, 3)}
    runtime.note(step.name, "retry", {**about, "reason": failed.reason})


def _run_job(step: StepDefinition, job_type: JobType, runtime: Runtime) -> _Finished:
    """Make one job, wait for its end and keep its Describe response as the step's properties."""
    name = _job_name(step, runtime)
    arguments = runtime.scope.value(step.arguments, name)
    if runtime.stopping.is_set():
        raise StepStoppedError
    naming = {f"{job_type.noun}Name": name} if job_type.stoppable else _origin(arguments, runtime)
    arn = _call(job_type, "create", runtime, **{**arguments, **naming})[f"{job_type.noun}Arn"]
    metadata = {job_type.metadata: {"Arn": arn}}
    runtime.records.update(step.name, metadata=metadata)
    described = _follow(step, job_type, name, arn, runtime)
    status = described[f"{job_type.noun}Status"]
    if status == "Failed":
        raise failed_job(
            described.get("FailureReason") or f"InternalServerError: {name} failed without a reason"
        )
    if status == "Stopped":
        raise StepStoppedError(_why_stopped(name, described, runtime))
    runtime.scope.record(step.name, described)
    return arguments, described, metadata


def _origin(arguments: Mapping[str, Any], runtime: Runtime) -> dict[str, Any]:
    """Return the MetadataProperties of a model package, which say that this execution made it."""
    given = arguments.get("MetadataProperties") or {}
    return {"MetadataProperties": {"GeneratedBy": runtime.variables.execution_arn, **given}}


def _follow(step: StepDefinition, job_type: JobType, name: str, arn: str, runtime: Runtime) -> dict[str, Any]:
    """Return what Describe says of the job after its end; pass the execution's stop on to it."""
    if not job_type.stoppable:
        return _describe(job_type, arn, runtime)
    ended = runtime.jobs.ended(arn)
    try:
        _describe(job_type, name, runtime)
        Signal.wait_for_any(ended, runtime.stopping)
        if not ended.is_set():
            _stop(step, job_type, name, runtime)
            ended.wait()
        return _describe(job_type, name, runtime)
    except StepFailedError:
        if not ended.is_set():
            # Nobody looks after the job any more.
            _stop(step, job_type, name, runtime)
        raise


def _describe(job_type: JobType, name: str, runtime: Runtime) -> dict[str, Any]:
    """Describe the job; a call that fails for the service's reasons is made again."""
    for miss in range(_MISSES + 1):
        try:
            return _call(job_type, "describe", runtime, **{f"{job_type.noun}Name": name})
        except StepFailedError as failed:
            if failed.exception_type is None or miss == _MISSES:
                # Without its type: a further attempt of the step would make a second job.
                raise StepFailedError(failed.reason) from failed
            time.sleep(_MISS_SECONDS)
    raise AssertionError("the last miss is raised")


def _stop(step: StepDefinition, job_type: JobType, name: str, runtime: Runtime) -> None:
    """Ask the job to stop; a refusal is noted and the job runs to its end."""
    runtime.records.update(step.name, status="Stopping")
    try:
        _call(job_type, "stop", runtime, **{f"{job_type.noun}Name": name})
    except StepFailedError as refused:
        runtime.note(step.name, "stop", {"reason": refused.reason})


def _call(job_type: JobType, verb: str, runtime: Runtime, **request: Any) -> dict[str, Any]:
    try:
        response: dict[str, Any] = job_type.method(runtime.sagemaker, verb)(**request)
    except (ClientError, BotoCoreError) as error:
        raise refused_call(f"{verb.capitalize()}{job_type.noun}", error) from error
    return response


def _job_name(step: StepDefinition, runtime: Runtime) -> str:
    """Make a name as the service does: at most 63 characters, unique, telling execution and step."""
    word = re.sub(r"[^A-Za-z0-9]+", "-", step.name)[:29].strip("-")
    return f"pipelines-{runtime.variables.execution_id}-{word or 'step'}-{secrets.token_hex(5)}"


def _why_stopped(name: str, described: Mapping[str, Any], runtime: Runtime) -> str | None:
    """Return why a job stopped that the execution did not stop."""
    if runtime.stopping.is_set():
        return None
    why = described.get("SecondaryStatus") or described.get("ExitMessage") or "Stopped"
    return f"ClientError: the job {name} was stopped from outside the pipeline ({why})"
