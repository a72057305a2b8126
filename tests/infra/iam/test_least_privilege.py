"""The roles hold exactly the rights in role_table.py, and a change to their policies is noticed."""

from __future__ import annotations

import pytest

from tests.infra.iam.test_abuse import statements
from tests.support.iam import people_table, role_table
from tests.support.iam.judge import Policies, Question, decide_all, document, find_wrong
from tests.support.iam.policy_mutants import PolicyMutant, Statement, mutants
from tests.support.iam.rights import Request, Right
from tests.support.iam.role_table import BREAK_GLASS_ROLE, FUNCTION_ROLE, PIPELINE_ROLE, UPLOADER_ROLE
from tests.support.infra.profiles import DEFAULT, HARDENED

RIGHTS: dict[str, tuple[Right, ...]] = {
    FUNCTION_ROLE: role_table.FUNCTION_WITH_KEY,
    PIPELINE_ROLE: role_table.PIPELINE_WITH_KEY,
    UPLOADER_ROLE: people_table.UPLOADER,
    BREAK_GLASS_ROLE: people_table.BREAK_GLASS,
}
"""What the roles of the hardened profile are for."""
RIGHTS_BY_DEFAULT: dict[str, tuple[Right, ...]] = {
    FUNCTION_ROLE: role_table.FUNCTION,
    PIPELINE_ROLE: role_table.PIPELINE,
}
ROLES = pytest.mark.parametrize(
    ("role_arn", "rights", "given"),
    [
        pytest.param(arn, rights, statements(arn, template), id=f"{arn.rpartition('/')[2]}, {profile}")
        for profile, template, table in (
            ("default", DEFAULT, RIGHTS_BY_DEFAULT),
            ("hardened", HARDENED, RIGHTS),
        )
        for arn, rights in table.items()
    ],
)
SCORE = 0.95
ASKED_ALL_THE_SAME = {
    "sagemaker:DescribePipelineDefinitionForExecution",
    "sagemaker:DescribePipelineExecution",
    "sagemaker:ListPipelineExecutionSteps",
    "sagemaker:ListPipelineParametersForExecution",
    "sagemaker:CreateModelPackage",
}
"""AWS's reference names no such resource for these: registering asks for the group as well, and requests
about an execution ask for its pipeline."""


def requests(role_arn: str) -> list[Request]:
    """Return the requests of every right of a role."""
    return decided(RIGHTS[role_arn])


def decided(rights: tuple[Right, ...]) -> list[Request]:
    """Return the requests of some rights; one right's forbidden request may be another's business."""
    every = [request for right in rights for request in right.requests()]
    wanted = [request for request in every if request.allowed]
    return [request for request in every if request.allowed or not _is_wanted(request, wanted)]


def _is_wanted(request: Request, wanted: list[Request]) -> bool:
    return any(
        (each.action, each.resource, each.context) == (request.action, request.resource, request.context)
        for each in wanted
    )


def wrong(role_arn: str, given: list[Statement], asked: list[Request]) -> list[Request]:
    """Return the requests that are decided otherwise than the table says, or that AWS could not be asked."""
    decisions = decide_all([question(role_arn, each) for each in asked], policies(given))
    return [
        request
        for request, decision in zip(asked, decisions, strict=True)
        if decision.allowed != request.allowed
        or decision.ignored
        or (request.allowed and decision.unknown and request.action not in ASKED_ALL_THE_SAME)
    ]


def question(role_arn: str, request: Request) -> Question:
    return Question(role_arn, request.action, request.resource, request.context)


def policies(given: list[Statement]) -> Policies:
    return Policies(identity=[document(*given)])


def unnoticed(role_arn: str, changed: list[PolicyMutant], asked: list[Request]) -> list[str]:
    """Return the changes with which every request is still decided as the table says."""
    expected = [(question(role_arn, each), each.allowed) for each in asked]
    noticed = find_wrong(expected, [policies(each.statements) for each in changed])
    return [each.what for each, by in zip(changed, noticed, strict=True) if by is None]


def allowed_actions(given: list[Statement]) -> set[str]:
    return {
        action
        for statement in given
        if statement["Effect"] == "Allow"
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }


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
