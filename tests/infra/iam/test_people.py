"""Who may assume the roles that are made for people."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import pytest

from tests.support.iam.judge import NOTHING, Context, decide
from tests.support.iam.role_table import (
    ACCOUNT,
    BREAK_GLASS_ROLE,
    FUNCTION_ROLE,
    PIPELINE_ROLE,
    ROLES,
    UPLOADER_ROLE,
)
from tests.support.iam.roles import MAY_ASSUME, role
from tests.support.infra.profiles import HARDENED
from tests.support.infra.resources import resolve

SSO = f"{ROLES}/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_ML_0123456789abcdef"
USER = f"arn:aws:iam::{ACCOUNT}:user/jo"
WITH_MFA = {"aws:MultiFactorAuthPresent": "true"}


def assumes(
    template: dict[str, Any], role_arn: str, who: str, context: Context = NOTHING, *, allowed: bool = True
) -> bool:
    """Return whether `who`, allowed sts:AssumeRole by IAM or not, may assume the role."""
    return decide(
        who,
        "sts:AssumeRole",
        role_arn,
        {"aws:PrincipalArn": who, **context},
        identity=[MAY_ASSUME] if allowed else [],
        resource_policy=resolve(role(template, role_arn)["AssumeRolePolicyDocument"]),
    ).allowed


@pytest.mark.parametrize("who", [USER, SSO, f"{ROLES}/admin"])
def test_iam_decides_who_of_the_account_may_upload(who: str) -> None:
    assert assumes(HARDENED, UPLOADER_ROLE, who)
    assert not assumes(HARDENED, UPLOADER_ROLE, who, allowed=False)
    assert not assumes(HARDENED, UPLOADER_ROLE, who.replace(ACCOUNT, "999999999999"))


@pytest.mark.parametrize("own", [FUNCTION_ROLE, PIPELINE_ROLE])
@pytest.mark.parametrize("wanted", [UPLOADER_ROLE, BREAK_GLASS_ROLE])
def test_neither_a_job_nor_the_function_becomes_a_person_whatever_iam_allows_them(
    own: str, wanted: str
) -> None:
    assert not assumes(HARDENED, wanted, own, WITH_MFA)


@pytest.mark.parametrize("wanted", [UPLOADER_ROLE, BREAK_GLASS_ROLE])
@pytest.mark.parametrize("service", ["sagemaker", "lambda", "ec2", "cloudformation"])
def test_no_service_becomes_a_person(wanted: str, service: str) -> None:
    trust = resolve(role(HARDENED, wanted)["AssumeRolePolicyDocument"])
    who, context = f"{service}.amazonaws.com", {"aws:SourceAccount": ACCOUNT, **WITH_MFA}
    assert not decide(who, "sts:AssumeRole", wanted, context, resource_policy=trust).allowed


def test_break_glass_takes_a_second_factor() -> None:
    assert assumes(HARDENED, BREAK_GLASS_ROLE, USER, WITH_MFA)
    assert not assumes(HARDENED, BREAK_GLASS_ROLE, USER, {"aws:MultiFactorAuthPresent": "false"})
    assert not assumes(HARDENED, BREAK_GLASS_ROLE, USER)
    assert not assumes(HARDENED, BREAK_GLASS_ROLE, USER, WITH_MFA, allowed=False)
    assert assumes(HARDENED, UPLOADER_ROLE, USER)


@pytest.mark.parametrize("wanted", [UPLOADER_ROLE, BREAK_GLASS_ROLE])
def test_a_session_lasts_an_hour(wanted: str) -> None:
    assert role(HARDENED, wanted)["MaxSessionDuration"] == 3600


def test_named_people_alone_may_assume_where_they_are_named(synthesis: ModuleType) -> None:
    pattern = SSO.replace("eu-west-1", "*").replace("0123456789abcdef", "*")
    template = synthesis.synthesise(
        {
            "security": "hardened",
            "uploader_arns": [pattern, USER],
            "break_glass_arns": SSO,
            "break_glass_requires_mfa": False,
        }
    )
    assert assumes(template, UPLOADER_ROLE, SSO)
    assert assumes(template, UPLOADER_ROLE, USER)
    for other in (f"{USER}-2", f"{ROLES}/admin", SSO.replace("_ML_", "_Dev_"), PIPELINE_ROLE):
        assert not assumes(template, UPLOADER_ROLE, other)
    assert assumes(template, BREAK_GLASS_ROLE, SSO)
    assert not assumes(template, BREAK_GLASS_ROLE, USER, WITH_MFA)


def test_the_second_factor_stays_where_people_are_named(synthesis: ModuleType) -> None:
    template = synthesis.synthesise({"security": "hardened", "break_glass_arns": [USER]})
    assert assumes(template, BREAK_GLASS_ROLE, USER, WITH_MFA)
    assert not assumes(template, BREAK_GLASS_ROLE, USER)


def test_the_upload_command_names_the_stack() -> None:
    assert HARDENED["Outputs"]["UploadCommand"]["Value"] == "cv-pipeline upload --stack cv-birds"
    assert json.dumps(HARDENED["Outputs"]["UploaderRoleArn"]["Value"]).count("PeopleUploader") == 1
