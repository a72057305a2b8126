"""A permissions boundary on the laptop: made, changed and removed with its role, and a condition of IAM."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from local.aws import LocalAWS
from stacks import LAMBDA_TRUST, allow, client, create, describe, failures, role, template, update

ACCOUNT = "123456789012"
MISSING = f"arn:aws:iam::{ACCOUNT}:policy/missing"


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[LocalAWS]:
    with LocalAWS(work_dir=tmp_path) as aws:
        yield aws


def managed(aws: LocalAWS, name: str, *statements: dict[str, str]) -> str:
    document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    made = client(aws, "iam").create_policy(PolicyName=name, PolicyDocument=document)
    return str(made["Policy"]["Arn"])


def boundary(aws: LocalAWS) -> str | None:
    found = client(aws, "iam").get_role(RoleName="role")["Role"].get("PermissionsBoundary", {})
    arn: str | None = found.get("PermissionsBoundaryArn")
    return arn


def test_the_boundary_comes_changes_and_goes_with_the_template(aws: LocalAWS) -> None:
    first, second = (managed(aws, name, allow("*")) for name in ("first", "second"))
    create(aws, template(Role=role(RoleName="role", PermissionsBoundary=first)))
    assert boundary(aws) == first
    assert update(aws, template(Role=role(RoleName="role", PermissionsBoundary=second)))["StackStatus"] == (
        "UPDATE_COMPLETE"
    )
    assert boundary(aws) == second
    update(aws, template(Role=role(RoleName="role")))
    assert boundary(aws) is None
    update(aws, template(Role=role(RoleName="role", PermissionsBoundary=first)))
    assert boundary(aws) == first


def test_a_policy_that_aws_manages_may_be_a_boundary(aws: LocalAWS) -> None:
    arn = "arn:aws:iam::aws:policy/PowerUserAccess"
    create(aws, template(Role=role(RoleName="role", PermissionsBoundary=arn)))
    assert boundary(aws) == arn


def test_a_boundary_that_is_not_there_fails_the_stack_with_its_arn(aws: LocalAWS) -> None:
    stack = create(aws, template(Role=role(RoleName="role", PermissionsBoundary=MISSING)))
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert f"{MISSING} does not exist or is not attachable" in failures(aws)["Role"]
    with pytest.raises(ClientError, match="NoSuchEntity"):
        client(aws, "iam").get_role(RoleName="role")


@pytest.fixture
def deployer(aws: LocalAWS) -> str:
    """A role that makes roles and gives them policies, provided that the policy `edge` bounds them."""
    edge = managed(aws, "edge", allow("*"))
    condition = {"StringEquals": {"iam:PermissionsBoundary": edge}}
    making = {"Action": ["iam:CreateRole", "iam:PutRolePolicy"], "Condition": condition}
    rest = {
        "Action": [
            "iam:GetRole*",
            "iam:List*",
            "iam:DeleteRole*",
            "iam:UpdateRole",
            "iam:UpdateAssumeRolePolicy",
        ]
    }
    statements = [{"Effect": "Allow", "Resource": "*", **each} for each in (making, rest)]
    trust = json.dumps(LAMBDA_TRUST).replace("lambda", "cloudformation")
    arn = client(aws, "iam").create_role(RoleName="deployer", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    client(aws, "iam").put_role_policy(RoleName="deployer", PolicyName="own", PolicyDocument=document)
    return str(arn)


@pytest.mark.parametrize(
    ("given", "status"),
    [("edge", "CREATE_COMPLETE"), ("other", "ROLLBACK_COMPLETE"), (None, "ROLLBACK_COMPLETE")],
)
def test_a_deployer_may_be_made_to_bound_every_role_that_it_makes(
    aws: LocalAWS, deployer: str, given: str | None, status: str
) -> None:
    managed(aws, "other", allow("*"))
    options = {"PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/{given}"} if given else {}
    body = json.dumps(template(Role=role(RoleName="role", **options)))
    client(aws, "cloudformation").create_stack(StackName="stack", TemplateBody=body, RoleARN=deployer)
    assert describe(aws)["StackStatus"] == status, failures(aws)
    assert given == "edge" or "iam:CreateRole" in failures(aws)["Role"]


def test_policies_are_put_on_bounded_roles_alone_where_a_condition_says_so(
    aws: LocalAWS, deployer: str
) -> None:
    trust, document = (
        json.dumps(LAMBDA_TRUST),
        json.dumps({"Version": "2012-10-17", "Statement": [allow("*")]}),
    )
    client(aws, "iam").create_role(RoleName="role", AssumeRolePolicyDocument=trust)
    put = aws.client("iam", deployer, trusted="cloudformation").put_role_policy
    with pytest.raises(ClientError, match="not authorized to perform: iam:PutRolePolicy"):
        put(RoleName="role", PolicyName="own", PolicyDocument=document)
    edge = f"arn:aws:iam::{ACCOUNT}:policy/edge"
    client(aws, "iam").put_role_permissions_boundary(RoleName="role", PermissionsBoundary=edge)
    put(RoleName="role", PolicyName="own", PolicyDocument=document)
