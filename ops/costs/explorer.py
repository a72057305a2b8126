"""What Cost Explorer tells of a month, by a tag of the jobs.

Jobs carry three tags: TrainingType, project and execution. Costs can be told apart by a tag from the day on
which somebody activates it for cost allocation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from ops.aws.session import on_this_machine
from ops.errors import DENIED, OpsError, error_code

TAGS = ("TrainingType", "project", "execution")
"""What the jobs of the pipeline carry, and what a month can be told by."""
PROJECT = "project"
SERVICE = "Amazon SageMaker"
"""SageMaker in Cost Explorer's dimension SERVICE."""
METRIC = "UnblendedCost"
MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")
ACTIVATION = "It takes 12 to 48 hours until Cost Explorer shows them"


@dataclass(frozen=True)
class Day:
    """What a day cost, by the tag's value; "" is what has no such tag."""

    day: date
    amounts: Mapping[str, float]
    estimated: bool
    """Whether AWS may still change it."""


@dataclass(frozen=True)
class Month:
    """The days of a month that Cost Explorer knows."""

    month: date
    tag: str
    project: str | None
    """Whose costs these are; None for all projects'."""
    currency: str
    days: tuple[Day, ...]

    @property
    def totals(self) -> dict[str, float]:
        """Return the month's sum of each value of the tag, the dearest first."""
        values = {value for day in self.days for value in day.amounts}
        sums = {value: math.fsum(day.amounts.get(value, 0.0) for day in self.days) for value in values}
        return dict(sorted(sums.items(), key=lambda pair: (-pair[1], pair[0])))

    @property
    def total(self) -> float:
        """Return what the month cost."""
        return math.fsum(self.totals.values())

    def name(self, value: str) -> str:
        """Return how a value of the tag is called; what has none is called so."""
        return value or f"without {self.tag}"


def month_of(text: str) -> date:
    """Read `2026-11` as the first of the month; raise OpsError for what is none, and for the future."""
    today = _today()
    match = MONTH.fullmatch(text)
    if match is None or match[1] == "0000":
        raise OpsError(f"--month {text!r}: write year and month, such as --month {today:%Y-%m}")
    first = date(int(match[1]), int(match[2]), 1)
    if first > today:
        raise OpsError(f"--month {text} has not begun: the newest month is {today:%Y-%m}")
    return first


def _today() -> date:
    return datetime.now(UTC).date()


def refuse_local(ce: Any) -> None:
    """Raise OpsError where there is no Cost Explorer."""
    if on_this_machine(ce):
        raise OpsError(
            "local AWS has no Cost Explorer, because nothing here is billed: "
            "`cv-pipeline costs EXECUTION` says what the jobs of an execution would cost"
        )


def check_active(ce: Any, tags: tuple[str, ...]) -> str | None:
    """Raise OpsError unless all `tags` are active; return a sentence where AWS does not let us know."""
    try:
        answer = ce.list_cost_allocation_tags(TagKeys=list(tags), Type="UserDefined")
    except ClientError as error:
        if error_code(error) not in DENIED:
            raise
        return (
            f"AWS does not say whether the tags {', '.join(tags)} are active: in an organization only its "
            "management account is told. Where they are not, nothing is found."
        )
    active = {each["TagKey"] for each in answer["CostAllocationTags"] if each["Status"] == "Active"}
    missing = [tag for tag in tags if tag not in active]
    if missing:
        said, them = ("tag is", "it") if len(missing) == 1 else ("tags are", "them")
        raise OpsError(
            f"{', '.join(missing)}: the {said} not active for cost allocation, so Cost Explorer knows "
            f"nothing of {them}; activate {them} with `cv-pipeline costs --activate-tags`. {ACTIVATION}, "
            "for the days from then on"
        )
    return None


def activate(ce: Any) -> tuple[list[str], dict[str, str]]:
    """Activate the tags of the jobs; return those that are active now, and why others are not."""
    wanted = [{"TagKey": tag, "Status": "Active"} for tag in TAGS]
    answer = ce.update_cost_allocation_tags_status(CostAllocationTagsStatus=wanted)
    errors = {each["TagKey"]: f"{each['Code']}: {each['Message']}" for each in answer.get("Errors") or ()}
    return [tag for tag in TAGS if tag not in errors], errors


def read_month(ce: Any, first: date, tag: str, project: str | None) -> Month:
    """Ask Cost Explorer for SageMaker's costs of a month, day by day, by the values of `tag`.

    They are those of one project, or of all without one.
    """
    following = (first.replace(day=28) + timedelta(days=4)).replace(day=1)
    request: dict[str, Any] = {
        # End is the first day that is not asked for; there is nothing to ask for after today.
        "TimePeriod": {"Start": f"{first}", "End": f"{min(following, _today() + timedelta(days=1))}"},
        "Granularity": "DAILY",
        "Metrics": [METRIC],
        "Filter": _filter(project),
        "GroupBy": [{"Type": "TAG", "Key": tag}],
    }
    days: dict[date, Day] = {}
    currency = "USD"
    while True:
        answer = ce.get_cost_and_usage(**request)
        for result in answer["ResultsByTime"]:
            day = date.fromisoformat(result["TimePeriod"]["Start"][:10])
            amounts = dict(days[day].amounts) if day in days else {}
            for group in result["Groups"]:
                cost = group["Metrics"][METRIC]
                value = group["Keys"][0].partition("$")[2]
                amounts[value] = amounts.get(value, 0.0) + float(cost["Amount"])
                currency = cost.get("Unit", currency)
            days[day] = Day(day, amounts, bool(result.get("Estimated")))
        if not answer.get("NextPageToken"):
            return Month(first, tag, project, currency, tuple(days[day] for day in sorted(days)))
        request["NextPageToken"] = answer["NextPageToken"]


def _filter(project: str | None) -> dict[str, Any]:
    service = {"Dimensions": {"Key": "SERVICE", "Values": [SERVICE]}}
    if project is None:
        return service
    return {"And": [service, {"Tags": {"Key": PROJECT, "Values": [project]}}]}
