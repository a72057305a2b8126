"""The judge of the policies: there or the tests fail, asked in part as if whole, and where it is not AWS."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.iam import judge
from tests.support.iam.bucket_requests import OURS, REQUESTS, STATEMENTS
from tests.support.iam.bucket_requests import policies as of_bucket
from tests.support.iam.bucket_requests import question as of_bucket_question
from tests.support.iam.judge import ACCOUNT, FOLDER, Policies, decide, decide_all, document, find_wrong
from tests.support.iam.least_privilege import ROLES, decided, policies, question
from tests.support.iam.policy_mutants import mutants
from tests.support.iam.rights import Right
from tests.support.infra.stack_options import OPTIONS, template
from tests.support.infra.studio_offers import project
from tests.support.soak import sized

ROLE = f"arn:aws:iam::{ACCOUNT}:role/trainer"
OBJECT = "arn:aws:s3:::birds/data/a.jpg"


def test_the_judge_is_pinned_by_hash_and_names_no_registry() -> None:
    wanted = json.loads((FOLDER / "package.json").read_text())["devDependencies"]
    packages = json.loads((FOLDER / "package-lock.json").read_text())["packages"]
    assert packages.pop("")["devDependencies"] == wanted
    for package in packages.values():
        assert package["integrity"].startswith("sha512-")
        assert "resolved" not in package


@pytest.mark.parametrize("lock", [None, "{}"], ids=["not there", "of another version"])
def test_without_the_judge_a_test_fails_and_says_what_to_do(
    lock: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if lock is not None:
        (tmp_path / "node_modules").mkdir()
        (tmp_path / "node_modules" / ".installed").write_text(lock)
    monkeypatch.setattr(judge, "INSTALLED", tmp_path)
    with pytest.raises(pytest.fail.Exception, match="run `make test`, which installs it"):
        judge.start()


# --- what it is asked -----------------------------------------------------------------------------------


@pytest.mark.soak
@ROLES
def test_what_is_left_out_of_a_role_s_policy_has_no_say(
    role_arn: str, rights: tuple[Right, ...], given: list[dict[str, Any]]
) -> None:
    asked = [question(role_arn, each) for each in decided(rights)]
    changed = [each.statements for each in mutants(given) if " becomes " in each.what]
    for each in (given, *changed[:: sized(120, 40)]):
        assert decide_all(asked, policies(each)) == decide_all(asked, policies(each), whole=True)


@pytest.mark.soak
def test_what_is_left_out_of_the_bucket_s_policy_has_no_say() -> None:
    asked = [of_bucket_question(*each) for each in REQUESTS[::41]]
    ours = OURS["hardened"]
    rest = [each for each in STATEMENTS["hardened"] if each not in ours]
    for each in (ours, *[each.statements for each in mutants(ours)][:: sized(48, 16)]):
        given = of_bucket([*rest, *each])
        assert decide_all(asked, given) == decide_all(asked, given, whole=True)


def test_a_boundary_that_says_nothing_of_an_action_still_bounds() -> None:
    other = document({"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"})
    for whole in (True, False):
        given = Policies(identity=[judge.EVERYTHING], boundary=[other])
        (decision,) = decide_all([judge.Question(ROLE, "s3:GetObject", OBJECT)], given, whole=whole)
        assert decision.word == "ImplicitlyDenied"


def test_a_question_that_is_decided_otherwise_is_found_and_one_that_is_not_is_none() -> None:
    reads = document({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"})
    read, write = (judge.Question(ROLE, f"s3:{each}Object", OBJECT) for each in ("Get", "Put"))
    variants = [Policies(identity=[each]) for each in (reads, judge.EVERYTHING)]
    assert find_wrong([(read, True), (write, False)], variants) == [None, write]


@pytest.mark.parametrize(
    ("action", "statement", "said"),
    [
        ("s3:GetObjekt", {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}, "invalid.action"),
        ("s3:GetObject", {"Effect": "Allow", "Action": "sqs:*"}, "Resource"),
        ("s3:GetObject", {"Effect": "allow", "Action": "sqs:*", "Resource": "*"}, "Effect"),
    ],
    ids=["action", "no resource", "effect"],
)
def test_a_misspelt_action_and_a_malformed_policy_are_no_answer(
    action: str, statement: dict[str, Any], said: str
) -> None:
    with pytest.raises(AssertionError, match=said):
        decide(ROLE, action, OBJECT, identity=[document(statement)])


def test_a_key_that_the_action_does_not_have_is_told() -> None:
    asked = {"s3:prefix": "data/", "aws:SecureTransport": "true"}
    decision = decide(ROLE, "s3:GetObject", OBJECT, asked, identity=[judge.EVERYTHING])
    assert (decision.allowed, decision.ignored) == (True, ("s3:prefix",))


# --- what it reads otherwise than AWS ---------------------------------------------------------------------


def judged(context: dict[str, str], action: str = "s3:GetObject", on: str = OBJECT, **elements: Any) -> str:
    statement = {"Effect": "Allow", "Action": action, **elements}
    if "NotResource" not in elements:
        statement.setdefault("Resource", "*")
    return decide(ROLE, action, on, context, identity=[document(statement)]).word


DIFFERENCES: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "IfExists makes an absent key pass, says the user guide, with any operator; here not with ForAnyValue": (
        {},
        {"Condition": {"ForAnyValue:StringEqualsIfExists": {"aws:TagKeys": "birds"}}},
    ),
    "a date of a policy may be seconds since the epoch; here they are milliseconds": (
        {"aws:CurrentTime": "2026-01-01T00:00:00Z"},
        {"Condition": {"DateLessThan": {"aws:CurrentTime": "1780000000"}}},
    ),
    "an address of IPv6 is no address of IPv4, so NotIpAddress holds; here it is not compared": (
        {"aws:SourceIp": "2001:db8::1"},
        {"Condition": {"NotIpAddress": {"aws:SourceIp": "192.0.2.7"}}},
    ),
    "* alone is any ARN; here an ARN has six parts": (
        {"aws:SourceArn": "arn:aws:s3:::birds"},
        {"Condition": {"ArnLike": {"aws:SourceArn": "*"}}},
    ),
    "a value whose variable is absent equals nothing, so the negation holds; here the statement is dropped": (
        {"aws:PrincipalTag/team": "birds"},
        {"Condition": {"StringNotEquals": {"aws:PrincipalTag/team": "${aws:username}"}}},
    ),
    "the same of a resource": ({}, {"NotResource": "arn:aws:s3:::birds/${aws:username}/*"}),
    "policies of AWS's own documentation have a wildcard for a resource's type; here it does not count": (
        {},
        {
            "action": "sagemaker:StartPipelineExecution",
            "on": f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:pipeline/birds",
            "Resource": f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:*/birds",
        },
    ),
}


@pytest.mark.parametrize(("context", "elements"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_what_it_reads_otherwise_than_aws_is_known(context: dict[str, str], elements: dict[str, Any]) -> None:
    # AWS allows each, or its documentation leaves it open. Where a new version agrees, the entry goes.
    assert judged(context, **elements) == "ImplicitlyDenied"


WILD_KIND = re.compile(r"arn:[^:]*:(?!s3:)[^:]*:[^:]*:[^:]*:[^:/]*\*[^:/]*[:/]")


def every_statement(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the statements of all policies in a template."""
    if isinstance(value, dict):
        if "Effect" in value:
            yield value
        value = list(value.values())
    for each in value if isinstance(value, list) else ():
        yield from every_statement(each)


@pytest.mark.parametrize("name", [*OPTIONS, "a project of Studio's"])
def test_no_policy_of_ours_has_what_it_reads_otherwise(name: str, synthesis: ModuleType) -> None:
    made = template(name) if name in OPTIONS else project(synthesis)
    found = list(every_statement(made["Resources"]))
    assert len(found) > 30
    for statement in found:
        for operator, keys in statement.get("Condition", {}).items():
            assert not re.match("Date|IpAddress|NotIpAddress|ForAnyValue:.*IfExists", operator), statement
            for value in (one for given in keys.values() for one in as_list(given)):
                assert "${aws:" not in json.dumps(value), statement
                assert not operator.startswith("Arn") or value != "*", statement
        for resource in as_list(statement.get("Resource", statement.get("NotResource", []))):
            text = json.dumps(resource)
            assert "${aws:" not in text, statement
            assert not WILD_KIND.search(re.sub(r"\$\{[^}]+\}", "x", text)), statement


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
