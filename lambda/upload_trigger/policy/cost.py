"""The most that an execution may cost: every job for its whole time, retried to the end, in every branch."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from upload_trigger.definition.problems import Path, find
from upload_trigger.definition.walk import is_expression
from upload_trigger.policy.expressions import Scope, UnknownValueError
from upload_trigger.policy.form import Scalar, Violation
from upload_trigger.policy.prices import PRICES, VOLUME_GB_HOUR

RULE = "cost"
JOBS = {"Processing": ("ProcessingResources", "ClusterConfig"), "Training": ("ResourceConfig",)}
"""Where the resources of a step that bills are, in its Arguments."""
FREE = ("Condition", "Fail", "RegisterModel")
BEFORE_BILLING = ("SageMaker.RESOURCE_LIMIT", "Step.THROTTLING")
"""A step that is retried for these alone was refused before any job of it ran."""
DEFAULT_RUNTIME_SECONDS = 86_400
STOPPING_SECONDS = 120
"""What a job may take to end when its time is up."""


@dataclass(frozen=True)
class Resources:
    """What a job is billed for by the hour."""

    instance_type: str
    count: float
    volume_gb: float
    price: float
    """Of an hour of one instance, in USD."""

    @property
    def usd_per_hour(self) -> float:
        """Return what an hour of all instances with their volumes costs."""
        return self.count * (self.price + self.volume_gb * VOLUME_GB_HOUR)


class UnboundedError(ValueError):
    """The cost of a step has no bound; `path` is why."""

    def __init__(self, path: Path, message: str) -> None:
        self.path = path
        super().__init__(message)


def worst_case(scope: Scope) -> float | None:
    """Return the most that an execution can cost in USD, None without a bound."""
    if scope.form.violations:
        return None
    try:
        return sum(_step_cost(scope, step, path) for path, step in scope.steps)
    except UnboundedError:
        return None


def violations(scope: Scope) -> Iterator[Violation]:
    """Refuse steps whose cost has no bound, or else all steps together when they may cost too much."""
    costs: list[tuple[float, str]] = []
    unbounded = False
    for path, step in scope.steps:
        try:
            costs.append((_step_cost(scope, step, path), str(step.get("Name"))[:64]))
        except UnboundedError as error:
            unbounded = True
            yield Violation(RULE, error.path, str(error))
    total, most = sum(cost for cost, _ in costs), scope.policy.max_execution_cost_usd
    if not unbounded and not total <= most:
        listed = ", ".join(f"{name} {cost:,.2f}" for cost, name in sorted(costs, reverse=True)[:5])
        what = f"an execution may cost {total:,.2f} USD, and max_execution_cost_usd is {most:,.2f}: {listed}"
        less = "ask for less MaxRuntimeInSeconds, fewer or cheaper instances, or fewer retries"
        more = "deploy with more max_execution_cost_usd in deployment_policy.json"
        yield Violation(RULE, ("Steps",), f"{what}; {less}, or {more}")


def _step_cost(scope: Scope, step: dict[str, Any], path: Path) -> float:
    kind, arguments = step.get("Type"), step.get("Arguments")
    if kind in FREE:
        return 0.0
    if not isinstance(kind, str) or kind not in JOBS or not isinstance(arguments, dict):
        raise UnboundedError(path, "what such a step costs is not known here")
    stopping = (*path, "Arguments", "StoppingCondition")
    stated = arguments.get("StoppingCondition", {})
    is_known = isinstance(stated, dict) and not is_expression(stated)
    limit = stated.get("MaxRuntimeInSeconds", DEFAULT_RUNTIME_SECONDS) if is_known else None
    seconds = _number(scope, limit, (*stopping, "MaxRuntimeInSeconds"))
    hours = (seconds + STOPPING_SECONDS) / 3600
    return resources(scope, step, path).usd_per_hour * hours * _attempts(step, path)


def resources(scope: Scope, step: dict[str, Any], path: Path) -> Resources:
    """Return what the job of a Processing or Training step runs on; raise UnboundedError if nobody knows."""
    members = JOBS[step["Type"]]
    cluster, at = find(step, "Arguments", *members), (*path, "Arguments", *members)
    count, volume = (
        _number(scope, find(cluster, member), (*at, member)) for member in ("InstanceCount", "VolumeSizeInGB")
    )
    kind = find(cluster, "InstanceType")
    price = _price(scope, kind, (*at, "InstanceType"))
    return Resources(str(scope.evaluate(kind)), count, volume, price)


def _known(scope: Scope, value: Any, path: Path) -> Scalar:
    try:
        return scope.evaluate(value)
    except UnknownValueError as error:
        raise UnboundedError(path, str(error)) from error


def _price(scope: Scope, value: Any, path: Path) -> float:
    kind = _known(scope, value, path)
    price = {**PRICES, **scope.policy.instance_prices}.get(str(kind))
    if price is None:
        what = f"{scope.say(value)}, and its price is not known; give it in instance_prices"
        raise UnboundedError(path, what)
    return price


def _number(scope: Scope, value: Any, path: Path) -> float:
    known = _known(scope, value, path)
    if isinstance(known, bool | str) or not 0 < known < math.inf:
        raise UnboundedError(path, f"{scope.say(value)} is no number above 0")
    return known


def _attempts(step: dict[str, Any], path: Path) -> int:
    listed, at = step.get("RetryPolicies", []), (*path, "RetryPolicies")
    if not isinstance(listed, list):
        raise UnboundedError(at, "how often the job may run has no bound; write a list")
    attempts = 1
    for index, each in enumerate(listed):
        kinds, most = find(each, "ExceptionType"), find(each, "MaxAttempts")
        if isinstance(kinds, list) and kinds and all(kind in BEFORE_BILLING for kind in kinds):
            continue
        if type(most) is not int or most < 0:
            what = "how often the job may run has no bound; write a number"
            raise UnboundedError((*at, index, "MaxAttempts"), what)
        attempts += most
    return attempts
