"""The pipeline role where jobs run in a VPC and their volumes have a key: role_table_jobs.py, and no more."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from tests.support.iam.job_requests import PROCESS, PROCESSING_JOB, TRAIN, TRAINING_JOB, without
from tests.support.iam.least_privilege import SCORE, allowed_actions, decided, unnoticed, wrong
from tests.support.iam.policy_mutants import Statement, mutants
from tests.support.iam.role_table import DATA_KEY, KEYS, PIPELINE_ROLE, SAGEMAKER
from tests.support.iam.role_table_jobs import (
    CONTEXT,
    EC2,
    GROUPS,
    INTERFACE,
    OTHER_GROUP,
    OTHER_SUBNET,
    PIPELINE_PROTECTED,
    SUBNETS,
    subnet_arn,
)
from tests.support.iam.roles import Access, judge, statements

NETWORK: dict[str, Any] = {
    "sagemaker:VpcSubnets": list(SUBNETS),
    "sagemaker:VpcSecurityGroupIds": list(GROUPS),
    "sagemaker:VolumeKmsKeyArn": DATA_KEY,
}
IN_SUBNET: dict[str, Any] = {"ec2:Subnet": subnet_arn(SUBNETS[0])}
NEVER: list[Access] = [
    ("sagemaker:CreateTrainingJob", TRAINING_JOB, TRAIN),
    ("sagemaker:CreateProcessingJob", PROCESSING_JOB, PROCESS),
    (
        "sagemaker:CreateTrainingJob",
        TRAINING_JOB,
        {**TRAIN, **NETWORK, "sagemaker:VpcSubnets": [SUBNETS[0], OTHER_SUBNET]},
    ),
    (
        "sagemaker:CreateProcessingJob",
        PROCESSING_JOB,
        {**PROCESS, **NETWORK, "sagemaker:VpcSecurityGroupIds": [OTHER_GROUP]},
    ),
    ("sagemaker:CreateTrainingJob", f"{SAGEMAKER}:training-job/mine", {**TRAIN, **NETWORK}),
    (
        "sagemaker:CreateTrainingJob",
        TRAINING_JOB,
        {**TRAIN, **NETWORK, "sagemaker:VolumeKmsKeyArn": f"{KEYS}/another"},
    ),
    ("sagemaker:CreateTrainingJob", TRAINING_JOB, without({**TRAIN, **NETWORK}, "sagemaker:VolumeKmsKeyArn")),
    ("kms:CreateGrant", DATA_KEY, {}),
    ("kms:CreateGrant", f"{KEYS}/another", {"kms:GrantIsForAWSResource": "true"}),
    ("kms:RevokeGrant", DATA_KEY, {"kms:GrantIsForAWSResource": "true"}),
    ("ec2:CreateNetworkInterface", subnet_arn(OTHER_SUBNET), {}),
    ("ec2:AttachNetworkInterface", INTERFACE, IN_SUBNET),
    ("ec2:DeleteNetworkInterface", INTERFACE, {}),
    ("ec2:DeleteNetworkInterface", INTERFACE, {"ec2:Subnet": subnet_arn(OTHER_SUBNET)}),
    ("ec2:ModifyNetworkInterfaceAttribute", INTERFACE, IN_SUBNET),
    ("ec2:CreateTags", INTERFACE, IN_SUBNET),
    ("ec2:RunInstances", f"{EC2}:instance/*", IN_SUBNET),
    ("ec2:AuthorizeSecurityGroupIngress", f"{EC2}:security-group/{GROUPS[0]}", {}),
    ("ec2:DescribeInstances", "*", {"ec2:Region": "us-east-1"}),
]


@pytest.fixture(scope="module")
def protected(synthesis: ModuleType) -> list[Statement]:
    """Return the statements of the pipeline role of a deployment with subnets and encrypted volumes."""
    return statements(PIPELINE_ROLE, synthesis.synthesise(CONTEXT))


def test_every_request_of_the_table_is_decided_as_it_says(protected: list[Statement]) -> None:
    assert wrong(PIPELINE_ROLE, protected, decided(PIPELINE_PROTECTED)) == []


def test_the_role_has_no_action_that_the_table_does_not_name(protected: list[Statement]) -> None:
    named = {action for right in PIPELINE_PROTECTED for action in right.actions}
    assert allowed_actions(protected) == named
    added = allowed_actions(protected) - allowed_actions(statements(PIPELINE_ROLE))
    assert added == {each for each in named if each.startswith("ec2:")} | {"kms:CreateGrant"}


def test_the_requests_alone_notice_nearly_every_change(protected: list[Statement]) -> None:
    changed = [each for each in mutants(protected) if " becomes " not in each.what or "Resource" in each.what]
    survivors = unnoticed(PIPELINE_ROLE, changed, decided(PIPELINE_PROTECTED))
    assert 1 - len(survivors) / len(changed) >= SCORE, "\n".join(survivors)
    # What this adds has no slack at all.
    own = ("JoinNetwork", "LendInterfaces", "LendVolumeKey", "SeeNetwork")
    assert not [each for each in survivors if each.startswith(own)]


@pytest.mark.parametrize("request_", NEVER, ids=lambda request: request[0])
def test_what_an_abuser_would_do_is_denied(protected: list[Statement], request_: Access) -> None:
    decision = judge(PIPELINE_ROLE, request_, protected)
    assert not decision.allowed
    assert (decision.ignored, decision.unknown) == ((), None)
