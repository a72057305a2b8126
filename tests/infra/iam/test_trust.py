"""Who may assume which role of a deployment: each role asked for by services and by people."""

from __future__ import annotations

import itertools

import pytest

from tests.support.iam.judge import Context, Decision, decide
from tests.support.iam.least_privilege import RIGHTS
from tests.support.iam.role_table import (
    ACCOUNT,
    BREAK_GLASS_ROLE,
    FUNCTION_ROLE,
    PIPELINE_ROLE,
    REGION,
    ROLES,
    UPLOADER_ROLE,
)
from tests.support.iam.roles import MAY_ASSUME, role
from tests.support.infra.profiles import HARDENED
from tests.support.infra.resources import resolve

LAMBDA, SAGEMAKER = "lambda.amazonaws.com", "sagemaker.amazonaws.com"
SERVICES = (
    *(LAMBDA, SAGEMAKER, "cloudformation.amazonaws.com", "codebuild.amazonaws.com"),
    *("ec2.amazonaws.com", "events.amazonaws.com", "servicecatalog.amazonaws.com"),
)
ACCOUNTS = (ACCOUNT, "999999999999", None)
USER = f"arn:aws:iam::{ACCOUNT}:user/anna"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/trainer/job"


def asked(who: str, role_arn: str, context: Context, *, allowed: bool) -> Decision:
    trust = resolve(role(HARDENED, role_arn)["AssumeRolePolicyDocument"])
    identity = [MAY_ASSUME] if allowed else []
    decision = decide(who, "sts:AssumeRole", role_arn, context, identity=identity, resource_policy=trust)
    assert (decision.ignored, decision.unknown) == ((), None)
    return decision


@pytest.mark.parametrize("role_arn", RIGHTS)
def test_a_service_assumes_its_own_role_and_sagemaker_only_on_behalf_of_this_account(role_arn: str) -> None:
    assumed = set()
    for service, account, source in itertools.product(SERVICES, ACCOUNTS, ACCOUNTS):
        context = {} if account is None else {"aws:SourceAccount": account}
        if source is not None:
            context["aws:SourceArn"] = f"arn:aws:sagemaker:{REGION}:{source}:pipeline/a"
        if asked(service, role_arn, context, allowed=False).allowed:
            assumed.add((service, account, source))
    assert assumed == {
        FUNCTION_ROLE: set(itertools.product([LAMBDA], ACCOUNTS, ACCOUNTS)),
        PIPELINE_ROLE: {(SAGEMAKER, ACCOUNT, ACCOUNT)},
        UPLOADER_ROLE: set(),
        BREAK_GLASS_ROLE: set(),
    }.get(role_arn)


@pytest.mark.parametrize("role_arn", RIGHTS)
@pytest.mark.parametrize("who", [USER, SESSION], ids=["user", "session of a role"])
def test_people_assume_their_two_roles_alone_and_only_where_iam_allows_it(role_arn: str, who: str) -> None:
    arn = f"{ROLES}/trainer" if who == SESSION else USER
    for allowed, mfa in itertools.product((True, False), ("true", "false", None)):
        context = {"aws:PrincipalArn": arn} | ({} if mfa is None else {"aws:MultiFactorAuthPresent": mfa})
        expected = allowed and (role_arn == UPLOADER_ROLE or (role_arn, mfa) == (BREAK_GLASS_ROLE, "true"))
        assert asked(who, role_arn, context, allowed=allowed).allowed is expected, (allowed, mfa)
