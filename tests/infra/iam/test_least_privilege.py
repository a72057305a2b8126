"""The roles hold exactly the rights in role_table.py, and a change to their policies is noticed."""

from __future__ import annotations

from tests.support.iam.least_privilege import (
    RIGHTS,
    RIGHTS_BY_DEFAULT,
    ROLES,
    SCORE,
    allowed_actions,
    decided,
    unnoticed,
    wrong,
)
from tests.support.iam.policy_mutants import Statement, mutants
from tests.support.iam.rights import Right
from tests.support.infra.profiles import DEFAULT, HARDENED


@ROLES
def test_every_request_of_the_table_is_decided_as_it_says(
    role_arn: str, rights: tuple[Right, ...], given: list[Statement]
) -> None:
    assert wrong(role_arn, given, decided(rights)) == []


@ROLES
def test_the_role_has_no_action_that_the_table_does_not_name(
    role_arn: str, rights: tuple[Right, ...], given: list[Statement]
) -> None:
    assert allowed_actions(given) == {action for right in rights for action in right.actions}


@ROLES
def test_a_change_in_one_place_of_a_policy_is_noticed(
    role_arn: str, rights: tuple[Right, ...], given: list[Statement]
) -> None:
    changed, golden = list(mutants(given)), allowed_actions(given)
    same_actions = [each for each in changed if allowed_actions(each.statements) == golden]
    survivors = unnoticed(role_arn, same_actions, decided(rights))
    score = 1 - len(survivors) / len(changed)
    assert score >= SCORE, f"{len(survivors)} of {len(changed)} went unnoticed:\n" + "\n".join(survivors)


@ROLES
def test_the_requests_alone_notice_nearly_every_change(
    role_arn: str, rights: tuple[Right, ...], given: list[Statement]
) -> None:
    """Without the golden set of actions: a wider action is caught where the table asks for its neighbours."""
    narrower = [each for each in mutants(given) if " becomes " not in each.what or "Resource" in each.what]
    survivors = unnoticed(role_arn, narrower, decided(rights))
    assert 1 - len(survivors) / len(narrower) >= SCORE, "\n".join(survivors)


def test_the_two_profiles_have_the_roles_that_the_tables_name() -> None:
    for template, table in ((DEFAULT, RIGHTS_BY_DEFAULT), (HARDENED, RIGHTS)):
        roles = [each for each in template["Resources"].values() if each["Type"] == "AWS::IAM::Role"]
        assert len(roles) == len(table)
