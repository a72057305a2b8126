"""A permissions boundary on every role of the stack: it bounds them, and the right one costs nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from local.deploy import deploy
from local.run import STACK
from ops.errors import StartFailedError
from tests.support.iam import judge, role_table
from tests.support.iam.least_privilege import RIGHTS, question, requests
from tests.support.iam.rights import Request
from tests.support.iam.roles import statements
from tests.support.infra.resources import resources
from tests.support.local_aws.deployed import DeployedStack, deployed_stack, write_template_without

EDGE = f"arn:aws:iam::{role_table.ACCOUNT}:policy/edge"
GOLDEN = sorted({action for rights in RIGHTS.values() for right in rights for action in right.actions})
FAILS_AT_ONCE = {
    "Version": "2020-12-01",
    "Parameters": [{"Name": "InputDataUrl", "Type": "String"}],
    "Steps": [{"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": "as it should"}}],
}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (EDGE, EDGE),
        ("team/edge", {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:policy/team/edge"}),
        (None, None),
    ],
    ids=["ARN", "name", "none"],
)
def test_every_role_of_the_stack_has_the_boundary(
    synthesis: ModuleType, given: str | None, expected: Any
) -> None:
    template = synthesis.synthesise({"security": "hardened", "permissions_boundary": given})
    bounds = [each["Properties"].get("PermissionsBoundary") for each in resources(template, "AWS::IAM::Role")]
    assert bounds == [expected] * len(RIGHTS)


def bounded(actions: list[str]) -> judge.Document:
    """Return a boundary that allows these actions on everything."""
    return judge.document({"Effect": "Allow", "Action": actions, "Resource": "*"})


def decided(role_arn: str, boundary: judge.Document) -> Iterator[tuple[Request, bool]]:
    asked = requests(role_arn)
    identity = judge.document(*statements(role_arn))
    policies = judge.Policies(identity=[identity], boundary=[boundary])
    decisions = judge.decide_all([question(role_arn, each) for each in asked], policies)
    for request, decision in zip(asked, decisions, strict=True):
        yield request, decision.allowed


@pytest.mark.parametrize("role_arn", RIGHTS)
def test_a_boundary_of_the_needed_actions_changes_no_decision(role_arn: str) -> None:
    assert [each for each, allowed in decided(role_arn, bounded(GOLDEN)) if allowed != each.allowed] == []


@pytest.mark.parametrize("missing", GOLDEN)
def test_what_the_boundary_lacks_no_role_may_do(missing: str) -> None:
    boundary = bounded([action for action in GOLDEN if action != missing])
    for role_arn in RIGHTS:
        for each, allowed in decided(role_arn, boundary):
            assert allowed == (each.allowed and each.action != missing), each


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DeployedStack, Path]]:
    """Local AWS with every role bound by `edge`, and a definition that ends at once."""
    directory = tmp_path_factory.mktemp("aws")
    path = write_template_without((), directory)
    with deployed_stack(directory, template=path) as started:
        made = started.aws.client("iam").create_policy(PolicyName="edge", PolicyDocument=document(GOLDEN))
        assert made["Policy"]["Arn"] == EDGE
        template = json.loads(path.read_text())
        for each in resources(template, "AWS::IAM::Role"):
            each["Properties"]["PermissionsBoundary"] = EDGE
        path.write_text(json.dumps(template))
        deploy(started.aws, path, STACK)
        definition = directory / "definition.json"
        definition.write_text(json.dumps(FAILS_AT_ONCE))
        yield started, definition


def document(actions: list[str]) -> str:
    statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.mark.slow
def test_local_aws_runs_within_the_boundary_and_says_what_it_keeps_from(
    running: tuple[DeployedStack, Path],
) -> None:
    started, definition = running
    execution = started.run(definition)
    assert started.steps(execution)["Stop"]["FailureReason"] == "as it should"
    without = document([action for action in GOLDEN if action != "sagemaker:StartPipelineExecution"])
    started.aws.client("iam").create_policy_version(PolicyArn=EDGE, PolicyDocument=without, SetAsDefault=True)
    with pytest.raises(StartFailedError) as refused:
        started.start(definition)
    assert "because no permissions boundary allows the sagemaker:StartPipelineExecution" in str(refused.value)
