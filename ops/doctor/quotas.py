"""Whether the account's quotas in SageMaker let the jobs of a definition run.

A new account has 0 of most instance types, Spot has quotas of its own, and a job beyond one is refused when
its step starts: after whatever ran before it was paid.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ops.aws.session import ClientFactory, on_this_machine
from ops.doctor.diagnosis import Diagnosis, Looking, advice, not_asked, ok, problem
from ops.executions.execution import PlannedStep, plan
from upload_trigger.definition import walk
from upload_trigger.definition.problems import find
from upload_trigger.policy.cost import JOBS
from upload_trigger.policy.expressions import TOKEN, Scope
from upload_trigger.settings import Policy

SERVICE = "sagemaker"
USAGE = {
    "Processing": "processing job usage",
    "Training": "training job usage",
    "Spot": "spot training job usage",
}
"""How the names of SageMaker's quotas go on after the instance type and "for"."""


class JobInstances(NamedTuple):
    """What one job asks one quota for."""

    step: str
    quota: str
    instances: int


@dataclass(frozen=True)
class QuotaNeed:
    """What an execution needs of one quota."""

    quota: str
    largest: JobInstances
    together: int
    """The most instances that jobs which do not wait for each other may have at once."""
    steps: tuple[str, ...]


class ServiceQuota(NamedTuple):
    """A quota as Service Quotas lists it."""

    code: str
    value: float


def needs(definition: dict[str, Any], values: Mapping[str, Any]) -> tuple[list[QuotaNeed], list[str]]:
    """Return what an execution with `values` needs of each quota, and the steps of which nobody knows it."""
    scope = Scope(definition, values, {}, Policy())
    asked: list[JobInstances] = []
    unknown = []
    for _, step, _ in walk.steps(definition):
        if step.get("Type") in JOBS:
            counts = _instances(scope, step)
            asked += [JobInstances(str(step.get("Name")), *each) for each in (counts or {}).items()]
            if counts is None:
                unknown.append(str(step.get("Name")))
    before = _ancestors(plan(definition))
    by_quota: dict[str, list[JobInstances]] = {}
    for each in asked:
        by_quota.setdefault(each.quota, []).append(each)
    return [_need(quota, jobs, before) for quota, jobs in by_quota.items()], unknown


def _instances(scope: Scope, step: dict[str, Any]) -> dict[str, int] | None:
    """Return how many instances the job of a step asks of which quota; None where only the run tells."""
    kind = str(step["Type"])
    cluster = find(step, "Arguments", *JOBS[kind])
    if scope.value(find(step, "Arguments", "EnableManagedSpotTraining")) is True:
        kind = "Spot"
    groups = find(cluster, "InstanceGroups")
    counts: dict[str, int] = {}
    for each in groups if isinstance(groups, list) else [cluster]:
        instance_type, count = (scope.value(find(each, name)) for name in ("InstanceType", "InstanceCount"))
        if not isinstance(instance_type, str) or TOKEN.search(instance_type) or not isinstance(count, int):
            return None
        quota = f"{instance_type} for {USAGE[kind]}"
        counts[quota] = counts.get(quota, 0) + count
    return counts


def _ancestors(steps: Iterable[PlannedStep]) -> dict[str, set[str]]:
    """Return all the steps that each one waits for; `steps` are in the order in which they can run."""
    found: dict[str, set[str]] = {}
    for step in steps:
        found[step.name] = set(step.needs).union(*(found.get(each, set()) for each in step.needs))
    return found


def _need(quota: str, jobs: list[JobInstances], before: Mapping[str, set[str]]) -> QuotaNeed:
    def beside(one: JobInstances, other: JobInstances) -> bool:
        return one.step not in before[other.step] and other.step not in before[one.step]

    together = max(sum(other.instances for other in jobs if beside(one, other)) for one in jobs)
    steps = tuple(dict.fromkeys(each.step for each in jobs))
    return QuotaNeed(quota, max(jobs, key=lambda job: job.instances), together, steps)


def quotas(clients: ClientFactory, definition: dict[str, Any], values: Mapping[str, Any]) -> Looking[None]:
    """Yield, for each quota that an execution counts against, whether it is enough."""
    client = clients.client("service-quotas")
    if on_this_machine(client):
        yield not_asked("quota", "local AWS has no quotas, and instance types mean nothing on it")
        return
    needed, unknown = needs(definition, values)
    for step in unknown:
        yield not_asked("quota", f"step {step}: its instances are known only when it runs")
    found = read(client, {each.quota for each in needed})
    for need in needed:
        yield judge(need, found.get(need.quota), client.meta.region_name)


def read(client: Any, names: set[str]) -> dict[str, ServiceQuota]:
    """Read quotas by their names: what counts for the account, else AWS's default."""
    found: dict[str, ServiceQuota] = {}
    for operation in ("list_service_quotas", "list_aws_default_service_quotas"):
        if names <= found.keys():
            break
        request = {"ServiceCode": SERVICE, "PaginationConfig": {"PageSize": 100}}
        for page in client.get_paginator(operation).paginate(**request):
            for each in page["Quotas"]:
                if each["QuotaName"] in names:
                    quota = ServiceQuota(each["QuotaCode"], each.get("Value", math.inf))
                    found.setdefault(each["QuotaName"], quota)
            # SageMaker has thousands, a hundred a page.
            if names <= found.keys():
                break
    return found


def judge(need: QuotaNeed, quota: ServiceQuota | None, region: str) -> Diagnosis:
    """Say whether a quota is enough; None is one that Service Quotas does not have."""
    if quota is None:
        kind = need.quota.partition(" for ")[2]
        query = f"Quotas[?ends_with(QuotaName, 'for {kind}') && Value > `0`].[QuotaName,Value]"
        ask = f'aws service-quotas list-service-quotas --service-code {SERVICE} --query "{query}"'.replace(
            "`", r"\`"
        )
        said = f'Service Quotas of {region} has no "{need.quota}": likely the type is not offered there'
        return advice("quota", said, ask)
    raise_it = (
        f"aws service-quotas request-service-quota-increase --service-code {SERVICE} --quota-code "
        f"{quota.code} --desired-value {need.together}"
    )
    value = f"{need.quota}: {quota.value:g}"
    if quota.value < need.largest.instances:
        said = f"{value}, and step {need.largest.step} needs {need.largest.instances}"
        return problem("quota", said, raise_it)
    if quota.value < need.together:
        said = (
            f"{value}, and {', '.join(need.steps)} may have {need.together} at once: the last is refused "
            "until there is room, and tried again as its RetryPolicies say"
        )
        return advice("quota", said, raise_it)
    return ok("quota", f"{value}, {need.together} needed")
