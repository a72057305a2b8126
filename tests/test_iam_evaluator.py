"""The IAM evaluator judges as AWS documents it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iam_cases import ACCOUNT, BUCKET, ROLE, SESSION, access, identity, resource, statement
from local.aws.iam import AccessDenied, Decision, Policy, PolicyError, Principal, decide, parse_policy

# --- statements ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("elements", "action", "on", "expected"),
    [
        ({}, "s3:GetObject", f"{BUCKET}/data/a.jpg", True),
        ({}, "S3:getobject", f"{BUCKET}/data/a.jpg", True),
        ({}, "s3:GetObject", f"{BUCKET}/DATA/a.jpg", False),
        ({}, "s3:GetObjectVersion", f"{BUCKET}/data/a.jpg", False),
        ({"Action": ["s3:Put*", "s3:Get*"]}, "s3:GetObjectVersion", f"{BUCKET}/data/a/b.jpg", True),
        ({"Action": "*"}, "sagemaker:CreateTrainingJob", f"{BUCKET}/data/x", True),
        ({"Resource": [f"{BUCKET}/?", f"{BUCKET}/other"]}, "s3:GetObject", f"{BUCKET}/k", True),
        ({"Resource": f"{BUCKET}/?"}, "s3:GetObject", f"{BUCKET}/kk", False),
        ({"Resource": f"{BUCKET}/[ab].(c)+"}, "s3:GetObject", f"{BUCKET}/[ab].(c)+", True),
        ({"Resource": f"{BUCKET}/a.b"}, "s3:GetObject", f"{BUCKET}/aXb", False),
        ({"Action": None, "NotAction": "s3:Delete*"}, "s3:GetObject", f"{BUCKET}/data/a", True),
        ({"Action": None, "NotAction": "s3:Delete*"}, "s3:DeleteObject", f"{BUCKET}/data/a", False),
        ({"Resource": None, "NotResource": f"{BUCKET}/secret/*"}, "s3:GetObject", f"{BUCKET}/data/a", True),
        (
            {"Resource": None, "NotResource": f"{BUCKET}/secret/*"},
            "s3:GetObject",
            f"{BUCKET}/secret/a",
            False,
        ),
    ],
)
def test_a_statement_covers_the_actions_and_resources_it_names(
    elements: dict[str, Any], action: str, on: str, expected: bool
) -> None:
    assert decide(access(action, on), identity=[identity(statement(**elements))]).allowed is expected


def test_what_no_policy_mentions_is_denied_and_says_so() -> None:
    decision = decide(access(), identity=[])
    assert decision == Decision(False, False, "identity-based policy")
    message = str(AccessDenied(access(), decision))
    assert message == (
        f"User: {SESSION.arn} is not authorized to perform: s3:GetObject on resource: {BUCKET}/data/a.jpg "
        "because no identity-based policy allows the s3:GetObject action"
    )


def test_an_explicit_deny_wins_and_names_its_statement() -> None:
    deny = statement("Deny", Sid="NeverTheTrigger", Action="s3:*", Resource=f"{BUCKET}/pipeline/*")
    everything = statement(Sid="All", Action="*", Resource="*")
    decision = decide(access("s3:PutObject", f"{BUCKET}/pipeline/x"), identity=[identity(everything, deny)])
    assert (decision.allowed, decision.explicit, decision.sid) == (False, True, "NeverTheTrigger")
    assert decision.describe("s3:PutObject") == "with an explicit deny in an identity-based policy"


def test_an_allowance_names_policy_and_statement() -> None:
    decision = decide(access(), identity=[identity(statement(Sid="ReadData"))])
    assert (decision.allowed, decision.policy, decision.sid) == (True, "role policy", "ReadData")


# --- resource-based policies, boundaries, trust -----------------------------------------------------------


@pytest.mark.parametrize(
    ("principal", "expected"),
    [
        ("*", True),
        ({"AWS": "*"}, True),
        ({"AWS": ROLE}, True),
        ({"AWS": [SESSION.arn]}, True),
        ({"AWS": ACCOUNT}, False),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, False),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:role/other"}, False),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:role/*"}, False),
        ({"Service": "sagemaker.amazonaws.com"}, False),
    ],
)
def test_a_resource_policy_allows_whom_it_names_but_the_account_only_delegates(
    principal: Any, expected: bool
) -> None:
    assert decide(access(), resource=[resource(statement(Principal=principal))]).allowed is expected


def test_a_resource_policy_can_deny_everybody_but_some() -> None:
    deny = statement("Deny", NotPrincipal={"AWS": [ROLE]}, Action="s3:*")
    other = Principal(arn=f"arn:aws:iam::{ACCOUNT}:user/eve", account=ACCOUNT)
    everything = [identity(statement(Action="*", Resource="*"))]
    assert decide(access(), identity=everything, resource=[resource(deny)]).allowed
    assert not decide(access(principal=other), identity=everything, resource=[resource(deny)]).allowed


def test_a_tls_only_bucket_policy_denies_plain_requests_alone() -> None:
    deny = statement(
        "Deny", Principal="*", Action="s3:*", Condition={"Bool": {"aws:SecureTransport": "false"}}
    )
    for secure, expected in (("true", True), ("false", False)):
        asked = access(context={"aws:SecureTransport": secure})
        decision = decide(asked, identity=[identity(statement())], resource=[resource(deny)])
        assert decision.allowed is expected


def test_an_anonymous_request_needs_a_resource_policy_for_everybody() -> None:
    asked = access(principal=Principal.anonymous())
    assert not decide(asked).allowed
    assert not decide(asked, resource=[resource(statement(Principal={"AWS": ROLE}))]).allowed
    assert decide(asked, resource=[resource(statement(Principal="*"))]).allowed


def test_a_permissions_boundary_limits_what_the_identity_policies_give() -> None:
    boundary = [identity(statement(Action="s3:Get*", Resource="*"))]
    mine = [identity(statement(Action="*", Resource="*"))]
    assert decide(access(), identity=mine, boundary=boundary).allowed
    decision = decide(access("s3:PutObject"), identity=mine, boundary=boundary)
    assert (
        decision.describe("s3:PutObject") == "because no permissions boundary allows the s3:PutObject action"
    )
    assert not decide(access(), identity=[], boundary=boundary).allowed


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        pytest.param({"AWS": SESSION.arn}, True, id="the session itself"),
        pytest.param("*", True, id="everybody"),
        pytest.param({"AWS": [ROLE, SESSION.arn]}, True, id="the role and the session"),
        pytest.param({"AWS": ROLE}, False, id="the role"),
        pytest.param({"AWS": ACCOUNT}, False, id="the account"),
    ],
)
def test_a_boundary_limits_what_a_resource_policy_gives_to_a_role_and_not_to_a_session(
    named: Any, expected: bool
) -> None:
    boundary = [identity(statement(Action="s3:Put*", Resource="*"))]
    given = [resource(statement(Principal=named))]
    assert decide(access(), resource=given).allowed is (named != {"AWS": ACCOUNT})
    assert decide(access(), resource=given, boundary=boundary).allowed is expected
    assert decide(access(), resource=given, session=boundary).allowed is expected


def test_a_role_that_a_resource_policy_names_may_still_have_the_right_by_its_own_policies() -> None:
    everything = [identity(statement(Action="s3:*", Resource="*"))]
    given = [resource(statement(Principal={"AWS": ROLE}))]
    assert decide(access(), identity=everything, resource=given, boundary=everything).allowed


def test_a_session_policy_limits_as_well() -> None:
    decision = decide(
        access(), identity=[identity(statement())], session=[identity(statement(Action="s3:Put*"))]
    )
    assert decision.describe("s3:GetObject") == "because no session policy allows the s3:GetObject action"


def trust(**elements: Any) -> Policy:
    item = {"Effect": "Allow", "Action": "sts:AssumeRole", **elements}
    return parse_policy({"Version": "2012-10-17", "Statement": [item]}, kind="trust", name="trust")


def test_a_trust_policy_lets_its_service_in_and_only_on_its_conditions() -> None:
    policy = trust(
        Principal={"Service": "sagemaker.amazonaws.com"},
        Condition={
            "StringEquals": {"aws:SourceAccount": ACCOUNT},
            "ArnLike": {"aws:SourceArn": f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:*"},
        },
    )

    def assumes(service: str, account: str) -> bool:
        context = {
            "aws:SourceAccount": account,
            "aws:SourceArn": f"arn:aws:sagemaker:us-east-1:{account}:pipeline/birds",
        }
        asked = access("sts:AssumeRole", ROLE, context, Principal.of_service(service))
        return decide(asked, resource=[policy], resource_must_allow=True).allowed

    assert assumes("sagemaker.amazonaws.com", ACCOUNT)
    assert not assumes("lambda.amazonaws.com", ACCOUNT)
    assert not assumes("sagemaker.amazonaws.com", "999999999999")


def test_to_assume_a_role_its_trust_policy_must_agree_whatever_the_caller_may() -> None:
    user = Principal(arn=f"arn:aws:iam::{ACCOUNT}:user/ada", account=ACCOUNT)
    everything = [identity(statement(Action="*", Resource="*"))]
    asked = access("sts:AssumeRole", ROLE, principal=user)

    def may(identities: Sequence[Policy], **principal: str) -> bool:
        policies = [trust(Principal=principal)]
        return decide(asked, identity=identities, resource=policies, resource_must_allow=True).allowed

    assert not may(everything, Service="sagemaker.amazonaws.com")
    assert may(everything, AWS=ACCOUNT)
    assert not may([], AWS=ACCOUNT)
    assert may([], AWS=user.arn)


# --- documents that are refused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("elements", "complaint"),
    [
        ({"Effect": "allow"}, "Effect must be Allow or Deny"),
        ({"Resource": None}, "needs one of Resource and NotResource"),
        ({"Action": None}, "needs one of Action and NotAction"),
        ({"NotAction": "s3:*"}, "needs one of Action and NotAction"),
        ({"Principal": "*"}, "needs none of Principal and NotPrincipal"),
        ({"Conditions": {}}, "unknown element Conditions"),
        ({"Action": []}, "Action must be a text"),
        ({"Action": [1]}, "Action must be a text"),
        ({"Condition": {"Bool": "true"}}, "Condition.Bool must be an object"),
        ({"Condition": []}, "Condition must be an object"),
        ({"Condition": {"Bool": {"a:b": []}}}, "Condition.Bool.a:b must be a text"),
    ],
)
def test_a_malformed_statement_is_refused_by_name(elements: dict[str, Any], complaint: str) -> None:
    with pytest.raises(PolicyError, match=f"policy role policy: statement Odd: {complaint}"):
        identity(statement(Sid="Odd", **elements))


def test_a_document_that_is_no_policy_is_refused() -> None:
    for text in ("{", "[]", '{"Version": "2012-10-17"}'):
        with pytest.raises(PolicyError):
            parse_policy(text, kind="identity")
    with pytest.raises(PolicyError, match="NotPrincipal"):
        resource(statement(NotPrincipal="*"))


# --- properties -----------------------------------------------------------------------------------------

ACTIONS = st.sampled_from(["s3:GetObject", "s3:PutObject", "s3:Get*", "s3:*", "*", "sqs:SendMessage"])
RESOURCES = st.sampled_from(
    [f"{BUCKET}/data/*", f"{BUCKET}/*", "*", f"{BUCKET}/data/a?jpg", "arn:aws:s3:::other/*"]
)
STATEMENTS = st.builds(statement, st.sampled_from(["Allow", "Deny"]), Action=ACTIONS, Resource=RESOURCES)


@given(st.lists(STATEMENTS, max_size=6))
def test_an_explicit_deny_wins_whatever_else_is_said(statements: list[dict[str, Any]]) -> None:
    deny = statement("Deny", Action="*", Resource="*")
    for policies in ([*statements, deny], [deny, *statements]):
        assert not decide(access(), identity=[identity(*policies)]).allowed


@given(st.lists(STATEMENTS, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_statements_and_policies_never_matters(
    statements: list[dict[str, Any]], random: Any
) -> None:
    shuffled = random.sample(statements, len(statements))
    together = decide(access(), identity=[identity(*statements)])
    apart = decide(access(), identity=[identity(item) for item in shuffled])
    assert (together.allowed, together.explicit) == (apart.allowed, apart.explicit)


@given(st.lists(STATEMENTS, max_size=6))
def test_nothing_is_allowed_without_an_allow_and_removing_one_never_allows_more(
    statements: list[dict[str, Any]],
) -> None:
    denials = [item for item in statements if item["Effect"] == "Deny"]
    allows = [item for item in statements if item["Effect"] == "Allow"]
    assert not decide(access(), identity=[identity(*denials)]).allowed
    if not decide(access(), identity=[identity(*statements)]).allowed:
        assert not decide(access(), identity=[identity(*denials, *allows[1:])]).allowed


@given(st.text(max_size=30))
def test_no_text_makes_the_parser_fail_in_another_way_than_policy_error(text: str) -> None:
    for document in (text, json.dumps({"Statement": text}), json.dumps({"Statement": [{"Effect": text}]})):
        with pytest.raises(PolicyError):
            parse_policy(document, kind="identity")
