"""Quotas: what an execution needs of them, and whether the account has it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ops.doctor.diagnosis import Diagnosis, Level, asking
from ops.doctor.quotas import needs, quotas, read
from tests.support.definitions.policy_cases import shipped, values
from tests.support.services.fake_account import ENOUGH, ScriptedAccount, code_of

SPOT, ON_DEMAND, PROCESSING = (
    "ml.c5.4xlarge for spot training job usage",
    "ml.c5.4xlarge for training job usage",
    "ml.m5.xlarge for processing job usage",
)


class _QuotaClients:
    def __init__(self, account: ScriptedAccount) -> None:
        self._account = account

    def client(self, service: str, /) -> Any:
        return self._account.client(service)


def told(account: ScriptedAccount, **given: Any) -> list[Diagnosis]:
    definition = shipped()
    return list(asking("quota", quotas(_QuotaClients(account), definition, {**values(definition), **given})))


def step(definition: dict[str, Any], name: str) -> dict[str, Any]:
    pending = list(definition["Steps"])
    for each in pending:
        if each["Name"] == name:
            return dict(each)
        pending += [*each["Arguments"].get("IfSteps", []), *each["Arguments"].get("ElseSteps", [])]
    raise AssertionError(name)


def test_the_shipped_definition_needs_spot_on_demand_and_two_for_the_evaluations() -> None:
    found, unknown = needs(shipped(), values(shipped()))
    assert {each.quota: (each.largest.instances, each.together) for each in found} == {
        SPOT: (1, 1),
        ON_DEMAND: (1, 1),
        PROCESSING: (1, 2),
    }
    assert unknown == []


def test_the_instance_types_and_counts_that_are_chosen_count() -> None:
    chosen = {"TrainingInstanceType": "ml.g5.xlarge", "TrainingInstanceCount": 3}
    found, _ = needs(shipped(), {**values(shipped()), **chosen})
    assert {each.quota: each.largest.instances for each in found if "training" in each.quota} == {
        "ml.g5.xlarge for training job usage": 3,
        "ml.g5.xlarge for spot training job usage": 3,
    }


def test_groups_of_instances_are_counted_by_type_and_what_only_the_run_tells_is_said() -> None:
    definition = copy.deepcopy(shipped())
    groups = [
        {"InstanceGroupName": name, "InstanceType": kind, "InstanceCount": count}
        for name, kind, count in (
            ("a", "ml.p3.2xlarge", 2),
            ("b", "ml.p3.2xlarge", 1),
            ("c", "ml.c5.xlarge", 1),
        )
    ]
    step(definition, "TrainSpot")["Arguments"]["ResourceConfig"] = {"InstanceGroups": groups}
    made = {"Get": "Steps.Preprocess.ProcessingJobName"}
    step(definition, "TrainOnDemand")["Arguments"]["ResourceConfig"]["InstanceType"] = made
    found, unknown = needs(definition, values(definition))
    counts = {each.quota: each.together for each in found if "training" in each.quota}
    assert counts == {
        "ml.p3.2xlarge for spot training job usage": 3,
        "ml.c5.xlarge for spot training job usage": 1,
    }
    assert unknown == ["TrainOnDemand"]


def test_enough_is_enough() -> None:
    assert [each.outcome for each in told(ScriptedAccount())] == [Level.OK] * 3


@pytest.mark.parametrize("quota", [SPOT, ON_DEMAND, PROCESSING])
def test_a_quota_of_zero_stops_an_upload_and_the_command_asks_for_what_is_needed(quota: str) -> None:
    account = ScriptedAccount()
    account.quotas[quota] = 0.0
    (found,) = [each for each in told(account) if each.outcome is not Level.OK]
    assert found.stops
    assert f"{quota}: 0, and step " in found.message
    assert found.mend == (
        "aws service-quotas request-service-quota-increase --service-code sagemaker "
        f"--quota-code {code_of(quota)} --desired-value {int(ENOUGH[quota])}"
    )


def test_a_quota_for_one_job_after_the_other_is_advice() -> None:
    account = ScriptedAccount()
    account.quotas[PROCESSING] = 1.0
    (found,) = [each for each in told(account) if each.outcome is not Level.OK]
    assert found.outcome is Level.ADVICE
    assert "Preprocess, EvaluateSpot, EvaluateOnDemand may have 2 at once" in found.message
    assert found.mend.endswith("--desired-value 2")


def test_what_the_account_has_no_value_for_has_awss_default() -> None:
    account = ScriptedAccount()
    del account.quotas[SPOT]
    account.defaults = {"ml.p4d.24xlarge for endpoint usage": 9.0, ON_DEMAND: 9.0, SPOT: 0.0}
    (found,) = [each for each in told(account) if each.outcome is not Level.OK]
    assert found.stops
    assert f"{SPOT}: 0," in found.message


def test_a_type_that_is_not_offered_is_said() -> None:
    found = told(ScriptedAccount(), TrainingInstanceType="ml.new.xlarge")
    said = [each.message for each in found if each.outcome is Level.ADVICE]
    assert len(said) == 2
    assert 'of us-east-1 has no "ml.new.xlarge for spot training job usage"' in said[0]


def test_no_more_pages_are_read_than_are_needed() -> None:
    account = ScriptedAccount()
    read(account.client("service-quotas"), {ON_DEMAND})
    assert account.calls == ["ListServiceQuotas"]


def test_who_may_not_ask_is_told() -> None:
    account = ScriptedAccount()
    account.denied = {"ListServiceQuotas"}
    (found,) = told(account)
    assert (found.outcome, found.message) == (Level.NOT_ASKED, "AWS refuses ListServiceQuotas to you")
