"""A Cost Explorer in memory, behind a real boto3 client: charges with tags, told by day and by tag.

As on AWS it tells tags apart only once they are active, pages its answers, takes the end of a period as the
first day that is left out, and tells what has no such tag under the tag's name with nothing after the dollar.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

from botocore.validate import ParamValidator

from tests.support.services.direct_client import service_model
from tests.support.services.fake_execution import client_of

DAYS_OF_A_PAGE = 9


@dataclass(frozen=True)
class Charge:
    """What one job cost on one day."""

    day: date
    amount: str
    tags: Mapping[str, str] = field(default_factory=dict)
    service: str = "Amazon SageMaker"


class ScriptedCostExplorer:
    """Answers for its charges; `known` are the keys that AWS has seen on a resource."""

    def __init__(self, *charges: Charge, today: date) -> None:
        self.charges, self.today = charges, today
        self.known = {"TrainingType", "project", "execution"}
        self.active = set(self.known)
        self.denied: set[str] = set()
        self.calls: list[str] = []

    def client(self) -> Any:
        client = client_of("ce")
        client.meta.events.register_first("before-call.cost-explorer", self._answer)
        return client

    def _answer(self, model: Any, params: dict[str, Any], **_: Any) -> tuple[SimpleNamespace, dict[str, Any]]:
        self.calls.append(model.name)
        if model.name in self.denied:
            refusal = {"Code": "AccessDeniedException", "Message": "Linked account doesn't have access."}
            return SimpleNamespace(status_code=400), _with_status({"Error": refusal}, 400)
        body: dict[str, Any] = getattr(self, f"_{model.name}")(json.loads(params["body"]))
        report = ParamValidator().validate(body, service_model("ce").operation_model(model.name).output_shape)
        assert not report.has_errors(), report.generate_report()
        return SimpleNamespace(status_code=200), _with_status(body, 200)

    def _ListCostAllocationTags(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        assert request["Type"] == "UserDefined"
        wanted = [key for key in request["TagKeys"] if key in self.known]
        return {
            "CostAllocationTags": [
                {
                    "TagKey": key,
                    "Type": "UserDefined",
                    "Status": "Active" if key in self.active else "Inactive",
                }
                for key in wanted
            ]
        }

    def _UpdateCostAllocationTagsStatus(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        errors = []
        for each in request["CostAllocationTagsStatus"]:
            if each["TagKey"] in self.known:
                (self.active.add if each["Status"] == "Active" else self.active.discard)(each["TagKey"])
            else:
                said = "Tag keys not found"
                errors.append({"TagKey": each["TagKey"], "Code": "TagKeysNotFoundException", "Message": said})
        return {"Errors": errors}

    def _GetCostAndUsage(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        assert (request["Granularity"], request["Metrics"]) == ("DAILY", ["UnblendedCost"])
        (grouping,) = request["GroupBy"]
        assert grouping["Type"] == "TAG"
        begin, end = (date.fromisoformat(request["TimePeriod"][each]) for each in ("Start", "End"))
        assert begin < end <= self.today + timedelta(days=1)
        days = [begin + timedelta(days=number) for number in range((end - begin).days)]
        first = int(request.get("NextPageToken") or 0)
        answer: dict[str, Any] = {
            "GroupDefinitions": request["GroupBy"],
            "ResultsByTime": [
                self._day(day, request["Filter"], grouping["Key"])
                for day in days[first : first + DAYS_OF_A_PAGE]
            ],
            "DimensionValueAttributes": [],
        }
        if first + DAYS_OF_A_PAGE < len(days):
            answer["NextPageToken"] = str(first + DAYS_OF_A_PAGE)
        return answer

    def _day(self, day: date, wanted: Mapping[str, Any], key: str) -> dict[str, Any]:
        sums: dict[str, float] = {}
        for charge in self.charges:
            if charge.day == day and self._fits(charge, wanted):
                value = charge.tags.get(key, "") if key in self.active else ""
                sums[f"{key}${value}"] = sums.get(f"{key}${value}", 0.0) + float(charge.amount)
        return {
            "TimePeriod": {"Start": f"{day}", "End": f"{day + timedelta(days=1)}"},
            "Total": {},
            "Groups": [
                {"Keys": [name], "Metrics": {"UnblendedCost": {"Amount": f"{amount:.10f}", "Unit": "USD"}}}
                for name, amount in sums.items()
            ],
            "Estimated": day > self.today - timedelta(days=2),
        }

    def _fits(self, charge: Charge, wanted: Mapping[str, Any]) -> bool:
        """Judge one expression of a filter."""
        if "And" in wanted:
            return all(self._fits(charge, each) for each in wanted["And"])
        if "Tags" in wanted:
            tag = wanted["Tags"]
            return tag["Key"] in self.active and charge.tags.get(tag["Key"]) in tag["Values"]
        assert wanted["Dimensions"]["Key"] == "SERVICE"
        return charge.service in wanted["Dimensions"]["Values"]


def _with_status(body: dict[str, Any], status: int) -> dict[str, Any]:
    return {**body, "ResponseMetadata": {"HTTPStatusCode": status}}
