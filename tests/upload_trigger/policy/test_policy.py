"""The deployment policy as a whole: its rules, how each is switched off, and the settings it is read from."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.config import deployment_policy as written_policy
from tests.support.definitions.policy_cases import (
    DEFAULT,
    Definition,
    arguments,
    judge,
    pointer,
    policy,
    rules,
    said_at,
    shipped,
    step,
    values,
)
from tests.support.delivery.handler_uploads import BUCKET
from upload_trigger.policy import MAX_PROBLEMS, members, worst_case_cost
from upload_trigger.policy.prices import PRICES
from upload_trigger.settings import RULES, STEP_TYPES, Policy, SettingsError

Change = Callable[[Definition], object]
DOC = (Path(__file__).resolve().parents[3] / "docs" / "policy.md").read_text(encoding="utf-8")


def _step_type(definition: Definition) -> None:
    definition["Steps"].append({"Name": "Transform", "Type": "Transform", "Arguments": {}})


def _resources(definition: Definition) -> Definition:
    found: Definition = arguments(definition, "TrainOnDemand")["ResourceConfig"]
    return found


OFFENCES: dict[str, Change] = {
    "step_types": _step_type,
    "members": lambda d: arguments(d, "TrainSpot").update(DebugHookConfig={}),
    "roles": lambda d: arguments(d, "TrainSpot").update(RoleArn="arn:aws:iam::123456789012:role/admin"),
    "images": lambda d: arguments(d, "TrainSpot")["AlgorithmSpecification"].update(TrainingImage="python:3"),
    "entry_points": lambda d: arguments(d, "TrainOnDemand")["AlgorithmSpecification"].update(
        ContainerEntrypoint=["python", "-c", "print()"]
    ),
    "network": lambda d: arguments(d, "TrainSpot").update(EnableNetworkIsolation=False),
    "vpc": lambda d: arguments(d, "TrainSpot").update(
        VpcConfig={"Subnets": ["subnet-0a"], "SecurityGroupIds": ["sg-0a"]}
    ),
    "encryption": lambda d: arguments(d, "TrainSpot")["OutputDataConfig"].pop("KmsKeyId"),
    "environment": lambda d: arguments(d, "TrainSpot").update(Environment={"PYTHONPATH": "/opt/ml/input"}),
    "texts": lambda d: arguments(d, "TrainSpot")["HyperParameters"].update(
        backbone={"Get": "Steps.Preprocess.ProcessingJobArn"}
    ),
    "tags": lambda d: arguments(d, "TrainSpot")["Tags"].append({"Key": "owner", "Value": "other"}),
    "locations": lambda d: arguments(d, "Preprocess")["ProcessingInputs"][0]["S3Input"].update(
        S3Uri="s3://another-bucket/data/"
    ),
    "instance_types": lambda d: _resources(d).update(InstanceType="ml.c5.9xlarge"),
    "instance_counts": lambda d: _resources(d).update(InstanceCount=5),
    "volume_sizes": lambda d: _resources(d).update(VolumeSizeInGB=101),
    "run_times": lambda d: arguments(d, "TrainSpot")["StoppingCondition"].update(
        MaxWaitTimeInSeconds=172_801
    ),
    "retries": lambda d: step(d, "RegisterSpot")["RetryPolicies"][0].update(MaxAttempts=6),
    "cache": lambda d: step(d, "TrainSpot")["CacheConfig"].update(ExpireAfter="P31D"),
    "approval_status": lambda d: arguments(d, "RegisterSpot").update(ModelApprovalStatus="Approved"),
    "model_package_group": lambda d: arguments(d, "RegisterSpot").update(ModelPackageGroupName="others"),
    "registration": lambda d: arguments(d, "RegisterSpot").pop("ModelMetrics"),
    "cost": lambda d: arguments(d, "TrainOnDemand")["StoppingCondition"].update(MaxRuntimeInSeconds=86_400),
}
"""For each rule, something that it refuses."""
ALSO = {
    # A step whose type is not known has no known cost; a model by another command is none of training.train.
    "step_types": {"cost"},
    "entry_points": {"registration"},
    "instance_counts": {"cost"},
}
"""Other rules that refuse the same thing."""


def test_the_shipped_definition_may_start_as_the_stack_is_deployed() -> None:
    assert judge(shipped()) == []
    assert judge(shipped(), Policy.read(written_policy.DeploymentPolicy().variable({}))) == []


def test_there_is_an_offence_against_every_rule() -> None:
    assert tuple(OFFENCES) == RULES


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_refuses_and_names_itself(rule: str) -> None:
    definition = shipped()
    OFFENCES[rule](definition)
    assert rules(definition) == {rule, *ALSO.get(rule, ())}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_that_is_off_refuses_nothing_and_every_other_one_still_does(rule: str) -> None:
    definition = shipped()
    OFFENCES[rule](definition)
    off = Policy.read(json.dumps({"policy_off": {rule: "the bench of another team needs it"}}))
    assert rules(definition, off) == ALSO.get(rule, set())
    for other in RULES:
        definition = shipped()
        OFFENCES[other](definition)
        assert (other in rules(definition, off)) is (other != rule)


def test_what_cannot_be_walked_is_refused_whatever_is_off() -> None:
    off = policy(policy_off=dict.fromkeys(RULES, "nobody watches"))
    definition = shipped()
    for offend in OFFENCES.values():
        offend(definition)
    assert judge(definition, off) == []
    definition["Steps"] = {"0": definition["Steps"]}
    (problem,) = judge(definition, off)
    assert str(problem) == "/Steps: must be a list of steps, not an object [rule form]"


def test_everything_is_refused_at_once() -> None:
    definition = shipped()
    for rule, offend in OFFENCES.items():
        if rule != "cost":  # not counted while another step's cost is unknown
            offend(definition)
    assert rules(definition) >= set(RULES) - {"cost"}


def test_no_more_than_a_hundred_problems_are_told() -> None:
    definition = shipped()
    for name in ("Preprocess", "TrainSpot", "TrainOnDemand"):
        arguments(definition, name).update({f"Surprise{n}": 1 for n in range(50)})
    assert len(judge(definition)) == MAX_PROBLEMS == 100


def test_a_member_that_the_policy_does_not_know_is_refused_by_its_name() -> None:
    definition = shipped()
    arguments(definition, "TrainSpot")["EnableNetworkIsolatoin"] = True
    said = said_at(judge(definition), pointer(definition, "TrainSpot", "EnableNetworkIsolatoin"))
    assert "a member that this policy does not know" in said
    assert "did you mean EnableNetworkIsolation?" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is not JSON"),
        ("{", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("[]", "it must be a JSON object"),
        (
            '{"max_instance_cuont": 3}',
            "max_instance_cuont is no setting of it; did you mean max_instance_count?",
        ),
        ('{"max_instance_count": "3"}', 'max_instance_count must be a number from 0, not "3"'),
        ('{"max_instance_count": true}', "max_instance_count must be a number from 0, not true"),
        ('{"max_instance_count": 2.5}', "max_instance_count must be a number from 0, not 2.5"),
        ('{"max_instance_count": -1}', "max_instance_count must be a number from 0, not -1"),
        ('{"max_cache_days": NaN}', "max_cache_days must be a number from 0, not NaN"),
        (
            '{"max_execution_cost_usd": Infinity}',
            "max_execution_cost_usd must be a number from 0, not Infinity",
        ),
        ('{"max_execution_cost_usd": null}', "max_execution_cost_usd must be a number from 0, not null"),
        ('{"entry_points": "python"}', 'entry_points must be a list of texts, not "python"'),
        ('{"entry_points": ["python", 3]}', "entry_points must be a list of texts"),
        ('{"instance_prices": {"ml.m5.large": "free"}}', "instance_prices must be an object of numbers"),
        ('{"instance_prices": {"ml.m5.large": NaN}}', "instance_prices must be an object of numbers"),
        ('{"policy_off": ["cost"]}', "policy_off must be an object of texts"),
        ('{"policy_off": {"cost": true}}', "policy_off must be an object of texts"),
        ('{"policy_off": {"costs": "why"}}', "policy_off names costs, which is no rule; did you mean cost?"),
        ('{"policy_off": {"cost": " "}}', "policy_off must say why cost is off"),
        (
            '{"policy_off": {"registration_gate": "we try things out"}}',
            "policy_off names registration_gate, which is now called registration: write registration in its",
        ),
        ('{"policy_off": {"form": "why not"}}', "policy_off names form, which is no rule"),
        ('{"further_step_types": ["Lambda"]}', "further_step_types must be an object of texts"),
        ('{"further_step_types": {"Lambda": ""}}', "further_step_types must say why Lambda steps may run"),
        (
            '{"further_step_types": {"Training": "why not"}}',
            "further_step_types names Training, which the policy judges already",
        ),
    ],
)
def test_an_environment_that_the_stack_does_not_write_is_refused_in_one_sentence(
    text: str, said: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        Policy.read(text)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_every_setting_is_read() -> None:
    given = {
        "policy_off": {"texts": "tried out"},
        "further_step_types": {"Lambda": "it tells the chat"},
        "allowed_images": ["a"],
        "entry_points": ["b"],
        "environment_keys": ["C"],
        "tag_keys": [],
        "processing_instance_types": ["ml.m5.large"],
        "training_instance_types": ["ml.m5.xlarge"],
        "max_instance_count": 1,
        "max_volume_gb": 2,
        "max_runtime_seconds": 3,
        "max_wait_seconds": 4,
        "max_retry_attempts": 0,
        "max_cache_days": 7,
        "model_approval_statuses": ["Approved"],
        "instance_prices": {"ml.m5.large": 1},
        "max_execution_cost_usd": 7.5,
    }
    read = Policy.read(json.dumps(given))
    assert json.loads(json.dumps(dataclasses.asdict(read))) == given


def test_what_the_document_switches_off_is_off() -> None:
    written = written_policy.DeploymentPolicy(policy_off={"cost": "the budget is watched elsewhere"})
    policy = Policy.read(written.variable({}))
    definition = shipped()
    OFFENCES["cost"](definition)
    assert judge(definition, policy) == []
    assert judge(definition) != []


def test_there_are_arguments_for_every_type_of_step() -> None:
    assert tuple(members.ARGUMENTS) == STEP_TYPES


def test_every_instance_type_that_is_allowed_by_default_has_a_price() -> None:
    assert {*DEFAULT.processing_instance_types, *DEFAULT.training_instance_types} <= set(PRICES)


def test_the_worst_case_is_told_for_what_may_start() -> None:
    definition = shipped()
    cost = worst_case_cost(definition, values(definition), DEFAULT)
    assert cost is not None
    assert 0 < cost < DEFAULT.max_execution_cost_usd


@pytest.mark.parametrize("rule", ["form", *RULES])
def test_the_document_has_a_section_on_every_rule(rule: str) -> None:
    assert f"\n### `{rule}`" in DOC


@pytest.mark.parametrize("setting", [each.name for each in dataclasses.fields(Policy)])
def test_the_document_names_every_setting(setting: str) -> None:
    assert f"`{setting}`" in DOC


def test_the_document_tells_the_shipped_definitions_cost() -> None:
    definition = shipped()
    cost = worst_case_cost(definition, values(definition), DEFAULT)
    assert f"{cost:.2f} USD" in DOC
    assert BUCKET not in DOC
