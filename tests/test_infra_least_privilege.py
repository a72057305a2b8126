"""The roles hold exactly the rights in role_table.py, and a change to their policies is noticed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import people_table
import role_table
from local.aws.iam import Access, Policy, Principal, decide
from policy_mutants import Statement, mutants
from rights import Request, Right
from role_table import BREAK_GLASS_ROLE, FUNCTION_ROLE, PIPELINE_ROLE, UPLOADER_ROLE
from test_infra_abuse import policy, statements

RIGHTS: dict[str, tuple[Right, ...]] = {
    FUNCTION_ROLE: role_table.FUNCTION,
    PIPELINE_ROLE: role_table.PIPELINE,
    UPLOADER_ROLE: people_table.UPLOADER,
    BREAK_GLASS_ROLE: people_table.BREAK_GLASS,
}
ROLES = pytest.mark.parametrize("role_arn", RIGHTS, ids=lambda arn: arn.rpartition("/")[2])
SCORE = 0.95


def requests(role_arn: str) -> list[Request]:
    """Give the requests of every right of a role."""
    return decided(RIGHTS[role_arn])


def decided(rights: tuple[Right, ...]) -> list[Request]:
    """Give the requests of some rights; one right's forbidden request may be another's business."""
    every = [request for right in rights for request in right.requests()]
    wanted = [request for request in every if request.allowed]
    return [request for request in every if request.allowed or not _is_wanted(request, wanted)]


def _is_wanted(request: Request, wanted: list[Request]) -> bool:
    return any(
        (each.action, each.resource, each.context) == (request.action, request.resource, request.context)
        for each in wanted
    )


def wrong(role_arn: str, given: Policy, asked: list[Request]) -> Iterator[Request]:
    """Yield the requests that a policy decides otherwise than the table."""
    principal = Principal(arn=role_arn, account=role_table.ACCOUNT, role_arn=role_arn)
    for request in asked:
        access = Access(principal, request.action, request.resource, request.context)
        if decide(access, identity=[given]).allowed != request.allowed:
            yield request


def allowed_actions(given: list[Statement]) -> set[str]:
    return {
        action
        for statement in given
        if statement["Effect"] == "Allow"
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }


@ROLES
def test_every_request_of_the_table_is_decided_as_it_says(role_arn: str) -> None:
    assert list(wrong(role_arn, policy(statements(role_arn)), requests(role_arn))) == []


@ROLES
def test_the_role_has_no_action_that_the_table_does_not_name(role_arn: str) -> None:
    named = {action for right in RIGHTS[role_arn] for action in right.actions}
    assert allowed_actions(statements(role_arn)) == named


@ROLES
def test_a_change_in_one_place_of_a_policy_is_noticed(role_arn: str) -> None:
    given, asked = statements(role_arn), requests(role_arn)
    golden = allowed_actions(given)
    survivors, count = [], 0
    for mutant in mutants(given):
        count += 1
        noticed = allowed_actions(mutant.statements) != golden
        if not noticed and not any(wrong(role_arn, policy(mutant.statements), asked)):
            survivors.append(mutant.what)
    score = 1 - len(survivors) / count
    assert score >= SCORE, f"{len(survivors)} of {count} changes went unnoticed:\n" + "\n".join(survivors)


@ROLES
def test_the_requests_alone_notice_nearly_every_change(role_arn: str) -> None:
    """Without the golden set of actions: a wider action is caught where the table asks for its neighbours."""
    given, asked = statements(role_arn), requests(role_arn)
    narrower = [each for each in mutants(given) if " becomes " not in each.what or "Resource" in each.what]
    survivors = [each.what for each in narrower if not any(wrong(role_arn, policy(each.statements), asked))]
    assert 1 - len(survivors) / len(narrower) >= SCORE, "\n".join(survivors)
