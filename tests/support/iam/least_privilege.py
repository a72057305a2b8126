"""The rights of the roles in both profiles, and what differs between them and a role's policy."""

from __future__ import annotations

import pytest

from tests.support.iam import people_table, role_table
from tests.support.iam.judge import Policies, Question, decide_all, document, find_wrong
from tests.support.iam.policy_mutants import PolicyMutant, Statement
from tests.support.iam.rights import Request, Right
from tests.support.iam.role_table import BREAK_GLASS_ROLE, FUNCTION_ROLE, PIPELINE_ROLE, UPLOADER_ROLE
from tests.support.iam.roles import statements
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
"""The part of all changes that must be noticed: some of them change nothing that a request could show."""
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
    """Ask the judge what a role may do."""
    return Question(role_arn, request.action, request.resource, request.context)


def policies(given: list[Statement]) -> Policies:
    """Return what the judge decides a role's request by."""
    return Policies(identity=[document(*given)])


def unnoticed(role_arn: str, changed: list[PolicyMutant], asked: list[Request]) -> list[str]:
    """Return the changes with which every request is still decided as the table says."""
    expected = [(question(role_arn, each), each.allowed) for each in asked]
    noticed = find_wrong(expected, [policies(each.statements) for each in changed])
    return [each.what for each, by in zip(changed, noticed, strict=True) if by is None]


def allowed_actions(given: list[Statement]) -> set[str]:
    """Return every action that some statement allows."""
    return {
        action
        for statement in given
        if statement["Effect"] == "Allow"
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
