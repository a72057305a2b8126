"""The laptop's IAM evaluator and an independent one decide alike: our roles' requests, made-up policies."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

import test_infra_abuse as abuse
import test_infra_bucket_policy as bucket
from iam_questions import KEYS, OPERATORS, ROLE, SESSION, SEVERAL, STRINGS, USER, VARIABLE, questions
from iam_simulate import ACCOUNT, FOLDER, Question, SecondOpinion, installed, second_opinion
from role_table import BUCKET
from test_infra_least_privilege import ROLES, requests

OBJECT = "arn:aws:s3:::birds/data/a.jpg"
SERVICES = ("sagemaker.amazonaws.com", "lambda.amazonaws.com", "ec2.amazonaws.com")
# The reference of AWS names no such resource for the action: registering asks for the group as well, and
# requests about an execution ask for its pipeline.
ASKED_ALL_THE_SAME = {
    "sagemaker:DescribePipelineDefinitionForExecution",
    "sagemaker:DescribePipelineExecution",
    "sagemaker:ListPipelineExecutionSteps",
    "sagemaker:ListPipelineParametersForExecution",
    "sagemaker:CreateModelPackage",
}


def test_the_other_evaluator_is_pinned_by_hash_and_names_no_registry() -> None:
    wanted = json.loads((FOLDER / "package.json").read_text())["devDependencies"]
    packages = json.loads((FOLDER / "package-lock.json").read_text())["packages"]
    assert packages.pop("")["devDependencies"] == wanted
    for package in packages.values():
        assert package["integrity"].startswith("sha512-")
        assert "resolved" not in package


@pytest.fixture(scope="module")
def other() -> Iterator[SecondOpinion]:
    with second_opinion() as other:
        yield other


def policy(*statements: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def delegating(action: str) -> dict[str, Any] | None:
    """Give the policy of a key, without which nobody uses it; like the stack's it leaves who may to IAM."""
    root = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    statement = {"Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*"}
    return policy(statement) if action.startswith("kms:") else None


def agreed(other: SecondOpinion, asked: Question) -> str:
    opinion, ours = other.ask(asked), asked.ours()
    assert ours == opinion.decision, asked
    assert opinion.ignored == (), f"AWS never sends {opinion.ignored} with {asked.action}"
    return ours


# --- what we deploy -----------------------------------------------------------------------------------


@installed
@ROLES
def test_each_request_of_a_role_s_table_is_decided_alike(role_arn: str, other: SecondOpinion) -> None:
    identity = [policy(*abuse.statements(role_arn))]
    for each in requests(role_arn):
        asked = Question(
            principal=role_arn,
            action=each.action,
            resource=each.resource,
            context=each.context,
            identity=identity,
            resource_policy=delegating(each.action),
        )
        assert (agreed(other, asked) == "Allowed") == each.allowed, each
        if each.allowed and each.action not in ASKED_ALL_THE_SAME:
            assert other.ask(asked).resource is None, each


@installed
def test_each_request_of_an_abuser_is_denied_by_both(other: SecondOpinion) -> None:
    cases = abuse.test_what_an_abuser_would_do_is_denied.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert len(cases) > 40
    for role_arn, (action, resource, context) in (case.values for case in cases):
        identity = [policy(*abuse.statements(role_arn))]
        asked = Question(
            principal=role_arn,
            action=action,
            resource=resource,
            context=context,
            identity=identity,
            resource_policy=delegating(action),
        )
        assert asked.ours() != "Allowed"
        assert other.ask(asked).decision == asked.ours(), asked


@installed
def test_who_may_assume_a_role_is_decided_alike(other: SecondOpinion) -> None:
    """Each role's trust policy, asked by services, with right, foreign and missing sources."""
    roles = [each for each in abuse.TEMPLATE["Resources"].values() if each["Type"] == "AWS::IAM::Role"]
    accounts: tuple[dict[str, str], ...] = (
        {},
        {"aws:SourceAccount": ACCOUNT},
        {"aws:SourceAccount": "999999999999"},
    )
    arns = (
        {},
        *(
            {"aws:SourceArn": f"arn:aws:sagemaker:us-east-1:{each}:pipeline/a"}
            for each in (ACCOUNT, "9" * 12)
        ),
    )
    decisions = set()
    for role, principal, account, arn in itertools.product(roles, SERVICES, accounts, arns):
        asked = Question(
            principal=principal,
            action="sts:AssumeRole",
            resource=ROLE,
            context={**account, **arn},
            resource_policy=abuse.resolve(role["Properties"]["AssumeRolePolicyDocument"]),
            trust=True,
        )
        decisions.add(agreed(other, asked))
    assert decisions == {"Allowed", "ImplicitlyDenied"}


@installed
def test_what_the_bucket_denies_is_decided_alike(other: SecondOpinion) -> None:
    everything = policy({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
    actions = ("PutObject", "PutObjectTagging", "DeleteObject", "DeleteObjectVersion", "GetObjectVersion")
    people = [each for each in bucket.PEOPLE if f"::{ACCOUNT}:" in each.arn and "root" not in each.arn]
    decisions = set()
    for who, action, key in itertools.product(people, actions, bucket.KEYS):
        asked = Question(
            principal=who.arn,
            action=f"s3:{action}",
            resource=f"{BUCKET}/{key}",
            context=who.context,
            identity=[everything],
            resource_policy=policy(*bucket.OURS),
        )
        assert asked.ours() == other.ask(asked).decision, asked
        decisions.add(asked.ours())
    assert decisions == {"Allowed", "ExplicitlyDenied"}


# --- the language of policies -------------------------------------------------------------------------


@installed
@pytest.mark.parametrize("allowed", [True, False], ids=["allowed to", "not allowed to"])
def test_which_person_may_assume_a_role_is_decided_alike(allowed: bool, other: SecondOpinion) -> None:
    """The roles of people trust the account, whose policies decide, and may ask for MFA."""
    roles = [each for each in abuse.TEMPLATE["Resources"].values() if each["Type"] == "AWS::IAM::Role"]
    identity = [policy({"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"})] if allowed else []
    mfa: tuple[dict[str, str], ...] = (
        {},
        *({"aws:MultiFactorAuthPresent": each} for each in ("true", "false")),
    )
    decisions = set()
    for role, principal, context in itertools.product(roles, (USER, SESSION), mfa):
        asked = Question(
            principal=principal,
            action="sts:AssumeRole",
            resource=ROLE,
            context={**context, "aws:PrincipalArn": principal},
            identity=identity,
            resource_policy=abuse.resolve(role["Properties"]["AssumeRolePolicyDocument"]),
            trust=True,
        )
        decisions.add(agreed(other, asked))
    assert decisions == ({"Allowed", "ImplicitlyDenied"} if allowed else {"ImplicitlyDenied"})


@installed
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=questions())
def test_made_up_policies_are_judged_alike(asked: Question, other: SecondOpinion) -> None:
    agreed(other, asked)


def conditions(key: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield every operator on a key with each value of a policy, and the context of each request."""
    of_policies, of_requests = KEYS[key]
    several: list[Any] = [list(of_requests[:2]), []] if key in SEVERAL else []
    given: list[Any] = [None, *([[each] for each in of_requests] if several else of_requests), *several]
    for qualifier in ("ForAllValues:", "ForAnyValue:", *([] if several else [""])):
        for name, if_exists in itertools.product(OPERATORS.get(key, STRINGS), ("", "IfExists")):
            for wanted, have in itertools.product(of_policies, given):
                if have is None and qualifier + if_exists == "ForAnyValue:IfExists":
                    continue  # among the differences
                context = {VARIABLE: "data"} | ({} if have is None else {key: have})
                if have is None and key == VARIABLE:
                    context = {}
                yield {qualifier + name + if_exists: {key: wanted}}, context
    for wanted, have in itertools.product(("true", "false"), given):
        yield {"Null": {key: wanted}}, {} if have is None else {key: have}


@installed
@pytest.mark.parametrize("key", KEYS)
def test_every_operator_is_judged_alike(key: str, other: SecondOpinion) -> None:
    decisions = set()
    for condition, context in conditions(key):
        statement = {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition}
        asked = Question(
            principal=ROLE,
            action="s3:GetObject",
            resource=OBJECT,
            context=context,
            identity=[policy(statement)],
        )
        decisions.add(agreed(other, asked))
    assert decisions == {"Allowed", "ImplicitlyDenied"}


def asked(context: dict[str, str], **elements: Any) -> Question:
    statement = {"Effect": "Allow", "Action": "s3:GetObject", **elements}
    if "NotResource" not in elements:
        statement.setdefault("Resource", "*")
    return Question(
        principal=ROLE, action="s3:GetObject", resource=OBJECT, context=context, identity=[policy(statement)]
    )


DIFFERENCES = {
    "IfExists makes an absent key pass, says the user guide, whatever the operator; the other lets "
    "ForAnyValue have the last word": asked(
        {}, Condition={"ForAnyValue:StringEqualsIfExists": {"aws:TagKeys": "birds"}}
    ),
    "a date of a policy may be seconds since the epoch; the other takes them for milliseconds": asked(
        {"aws:CurrentTime": "2026-01-01T00:00:00Z"},
        Condition={"DateLessThan": {"aws:CurrentTime": "1780000000"}},
    ),
    "an address of IPv6 is no address of IPv4, so NotIpAddress holds; the other compares neither": (
        asked({"aws:SourceIp": "2001:db8::1"}, Condition={"NotIpAddress": {"aws:SourceIp": "192.0.2.7"}})
    ),
    "* alone is any ARN to ours; the other asks for six parts": asked(
        {"aws:SourceArn": "arn:aws:s3:::birds"}, Condition={"ArnLike": {"aws:SourceArn": "*"}}
    ),
    "a value whose variable is absent equals nothing, so the negation holds in ours; the other drops the "
    "statement": asked(
        {"aws:PrincipalTag/team": "birds"},
        Condition={"StringNotEquals": {"aws:PrincipalTag/team": "${aws:username}"}},
    ),
    "the same of a resource": asked({}, NotResource="arn:aws:s3:::birds/${aws:username}/*"),
    "policies of AWS's own documentation have a wildcard for the type of a resource (instance/*, */*): it "
    "counts in ours and not in the other": Question(
        principal=ROLE,
        action="sagemaker:StartPipelineExecution",
        resource=f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:pipeline/birds",
        identity=[
            policy(
                {
                    "Effect": "Allow",
                    "Action": "*",
                    "Resource": f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:*/birds",
                }
            )
        ],
    ),
}


@installed
@pytest.mark.parametrize("question", DIFFERENCES.values(), ids=DIFFERENCES)
def test_where_they_differ_is_known(question: Question, other: SecondOpinion) -> None:
    """Ours is right, or the documentation leaves it open; none of our policies depends on it."""
    assert (question.ours(), other.ask(question).decision) == ("Allowed", "ImplicitlyDenied")


@installed
@pytest.mark.parametrize("principal", [ROLE, SESSION, USER])
@pytest.mark.parametrize("named", [ROLE, SESSION, USER, "*", ACCOUNT])
def test_a_boundary_limits_a_grant_to_the_same_principals(
    principal: str, named: str, other: SecondOpinion
) -> None:
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": OBJECT}
    nothing = policy({**statement, "Action": "sqs:SendMessage", "Resource": "*"})
    for boundary in ([], [nothing]):
        agreed(
            other,
            Question(
                principal=principal,
                action="s3:GetObject",
                resource=OBJECT,
                boundary=boundary,
                resource_policy=policy({**statement, "Principal": {"AWS": named}}),
            ),
        )
