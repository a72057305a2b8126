"""Jobs run in the deployment's VPC where it has one, and in none where it has none."""

from typing import Any

import pytest

from tests.support.definitions.in_vpc import COMMAND, CONFIG, GROUPS, JOBS, SUBNETS, VPC, in_vpc
from tests.support.definitions.policy_cases import (
    judge,
    pointer,
    rule,
    said_at,
    shipped,
    step,
)


def place_of(job: str) -> str:
    """Point at the VpcConfig of a job."""
    between = () if job.startswith("Train") else ("NetworkConfig",)
    return pointer(shipped(), job, *between, "VpcConfig")


def test_a_definition_for_the_deployments_vpc_may_start_there() -> None:
    assert judge(in_vpc(), deployed=VPC) == []
    literal = {"Subnets": list(SUBNETS.values()), "SecurityGroupIds": list(GROUPS.values())}
    assert judge(in_vpc(literal, *JOBS), deployed=VPC) == []
    assert judge(in_vpc({**literal, "Subnets": ["subnet-0b"]}, "TrainSpot"), deployed=VPC) == []


def test_a_definition_for_no_vpc_is_refused_with_the_command_that_writes_the_right_one() -> None:
    problems = judge(shipped(), deployed=VPC)
    assert {each.pointer for each in problems} == {place_of(job) for job in JOBS}
    assert {each.message for each in problems} == {
        f"missing; {COMMAND} writes a definition for this deployment's VPC [rule vpc]"
    }


@pytest.mark.parametrize("job", JOBS)
def test_one_job_outside_of_the_vpc_is_enough_to_be_refused(job: str) -> None:
    assert COMMAND in said_at(judge(in_vpc(None, job), deployed=VPC), place_of(job))


@pytest.mark.parametrize("job", ["Preprocess", "TrainSpot"])
@pytest.mark.parametrize(
    ("config", "below"),
    [
        ({**CONFIG, "Subnets": ["subnet-0c"]}, "/Subnets/0"),
        ({**CONFIG, "Subnets": ["subnet-0a", "subnet-0c"]}, "/Subnets/1"),
        ({**CONFIG, "Subnets": ["sg-0a"]}, "/Subnets/0"),
        ({**CONFIG, "SecurityGroupIds": ["sg-0a", "sg-0b"]}, "/SecurityGroupIds/1"),
        ({**CONFIG, "SecurityGroupIds": ["subnet-0a"]}, "/SecurityGroupIds/0"),
        ({**CONFIG, "SecurityGroupIds": [{"Get": "Parameters.ClassSelection"}]}, "/SecurityGroupIds/0"),
        ({**CONFIG, "Subnets": [{"Get": "Execution.PipelineExecutionId"}]}, "/Subnets/0"),
        ({**CONFIG, "Subnets": [{"Get": "Parameters.Nowhere"}]}, "/Subnets/0"),
        ({**CONFIG, "Subnets": [{"Std:Join": {"On": "", "Values": ["subnet-0a", "b"]}}]}, "/Subnets/0"),
        ({"Subnets": CONFIG["Subnets"]}, "/SecurityGroupIds"),
        ({"SecurityGroupIds": CONFIG["SecurityGroupIds"]}, "/Subnets"),
        ({}, "/Subnets"),
    ],
)
def test_no_subnet_and_no_group_but_the_deployments(job: str, config: Any, below: str) -> None:
    problems = judge(in_vpc(config, job), deployed=VPC)
    assert "[rule vpc]" in said_at(problems, place_of(job) + below)


@pytest.mark.parametrize(
    ("config", "below"),
    [
        ({**CONFIG, "Subnets": {"Get": "Parameters.SubnetId1"}}, "/Subnets"),
        ({"Get": "Steps.Preprocess.NetworkConfig.VpcConfig"}, ""),
        ([], ""),
    ],
)
def test_subnets_and_groups_are_written_out(config: Any, below: str) -> None:
    problems = judge(in_vpc(config, "TrainSpot"), deployed=VPC)
    assert "[rule form]" in said_at(problems, place_of("TrainSpot") + below)


def test_what_vpc_config_may_hold_beside_is_not_known() -> None:
    problems = judge(in_vpc({**CONFIG, "AssignPublicIp": True}, "TrainSpot"), deployed=VPC)
    assert said_at(problems, f"{place_of('TrainSpot')}/AssignPublicIp").endswith("[rule members]")


@pytest.mark.parametrize("member", ["Subnets", "SecurityGroupIds"])
def test_an_empty_list_is_no_vpc(member: str) -> None:
    problems = judge(in_vpc({**CONFIG, member: []}, "TrainSpot"), deployed=VPC)
    said = said_at(problems, f"{place_of('TrainSpot')}/{member}")
    assert said.startswith("must name at least one; python -m pipeline_definition")
    assert said.endswith("[rule vpc]")


def test_a_deployment_without_a_vpc_lets_no_job_into_one() -> None:
    config = {"Subnets": ["subnet-0a"], "SecurityGroupIds": ["sg-0a"]}
    problems = judge(in_vpc(config, *JOBS))
    assert {each.pointer for each in problems} == {place_of(job) for job in JOBS}
    assert {each.message for each in problems} == {
        "this deployment has no VPC for jobs; leave it out [rule vpc]"
    }


def test_a_value_given_at_the_start_leads_into_no_other_vpc() -> None:
    assert {rule(each) for each in judge(in_vpc())} == {"vpc"}
    defaults = in_vpc()
    for each in defaults["Parameters"]:
        if each["Name"] in {**SUBNETS, **GROUPS}:
            each["DefaultValue"] = "subnet-0c"
    assert {rule(each) for each in judge(defaults)} == {"vpc"}
    assert judge(defaults, deployed=VPC) == []


def test_the_rule_is_not_about_other_steps() -> None:
    definition = in_vpc()
    step(definition, "RegisterSpot")["Arguments"]["VpcConfig"] = CONFIG
    assert {rule(each) for each in judge(definition, deployed=VPC)} == {"members"}
