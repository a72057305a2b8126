"""Every statement of the function's and the jobs' role is needed: without it a run fails and says why.

What people's roles need is in tests/end_to_end/test_people.py.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.run import STACK, TEMPLATE
from ops.errors import FunctionFailedError, StartFailedError
from ops.uploads import redrive
from tests.support.local_aws.deployed import DeployedStack, deployed_stack
from tests.support.local_aws.functions import eventually
from tests.support.local_aws.toy_pipeline import SHIPPED
from tests.support.soak import sample

pytestmark = pytest.mark.slow

SEEDS = itertools.count(100)
EXEMPT = {
    ("FunctionRole", "OwnLogs"): "without it Lambda runs all the same, here and on AWS, and its log is lost",
}
"""What a run does without on local AWS, and why; docs/local.md has what comes with a key, too."""
ONLY_WHEN_IT_FAILS = ("FunctionRole", "ReportFailure")


@dataclass(frozen=True)
class Statement:
    """An Allow statement of a role in the committed template."""

    logical_id: str
    sid: str
    actions: tuple[str, ...]

    @property
    def place(self) -> tuple[str, str]:
        """The role, without the hash that CDK appends to its name, and the Sid."""
        return self.logical_id[:-8], self.sid


def statements() -> Iterator[Statement]:
    for logical_id, resource in json.loads(TEMPLATE.read_text(encoding="utf-8"))["Resources"].items():
        if resource["Type"] == "AWS::IAM::Role" and not logical_id.startswith("People"):
            for policy in resource["Properties"]["Policies"]:
                for each in policy["PolicyDocument"]["Statement"]:
                    action = each["Action"]
                    actions = (action,) if isinstance(action, str) else tuple(action)
                    if each["Effect"] == "Allow":
                        yield Statement(logical_id, each["Sid"], actions)


STATEMENTS = list(statements())
NEEDED = [each for each in STATEMENTS if each.place not in {*EXEMPT, ONLY_WHEN_IT_FAILS}]


class Roles:
    """The deployed roles, and what the server says while they lack something."""

    def __init__(self, running: DeployedStack, log: Path) -> None:
        self._running = running
        self._iam = running.aws.client("iam")
        self._log = log

    @contextmanager
    def without(self, taken: Collection[Statement]) -> Iterator[None]:
        """Take statements out of their roles' policies for a while."""
        kept: list[dict[str, Any]] = []
        try:
            for logical_id in {each.logical_id for each in taken}:
                role = self._name(logical_id)
                for name in self._iam.list_role_policies(RoleName=role)["PolicyNames"]:
                    policy = self._iam.get_role_policy(RoleName=role, PolicyName=name)
                    kept.append({each: policy[each] for each in ("RoleName", "PolicyName", "PolicyDocument")})
                    sids = {each.sid for each in taken if each.logical_id == logical_id}
                    document = policy["PolicyDocument"]
                    left = [each for each in document["Statement"] if each["Sid"] not in sids]
                    assert len(left) == len(document["Statement"]) - len(sids)
                    self._put({**kept[-1], "PolicyDocument": {**document, "Statement": left}})
            yield
        finally:
            for policy in kept:
                self._put(policy)

    def failure(self) -> str:
        """Return what goes wrong from an upload to the models, and in the schedule's look after it."""
        try:
            # With a seed of its own, so that nothing comes from cache.
            execution = self._running.run(SHIPPED, Seed=str(next(SEEDS)))
        except StartFailedError as error:
            return error.message
        reasons = [step.get("FailureReason") for step in self._running.steps(execution).values()]
        invoke = redrive.invocation(self._running.aws.client("lambda"), f"{STACK}-start-execution")
        try:
            invoke({"reconcile": {"minimumAgeSeconds": 900}})
        except FunctionFailedError as error:
            reasons.append(str(error))
        return "\n".join(filter(None, reasons))

    def lost(self) -> str:
        """Upload something that the function fails on, and return what the server said of its event."""
        before = self._log.stat().st_size
        self._running.upload(SHIPPED)

        def said() -> str:
            text = self._log.read_bytes()[before:].decode()
            return text if "is lost" in text else ""

        return str(eventually(said, 60))

    def _name(self, logical_id: str) -> str:
        resource = self._running.aws.client("cloudformation").describe_stack_resource(
            StackName=STACK, LogicalResourceId=logical_id
        )
        return str(resource["StackResourceDetail"]["PhysicalResourceId"])

    def _put(self, policy: dict[str, Any]) -> None:
        self._iam.put_role_policy(**{**policy, "PolicyDocument": json.dumps(policy["PolicyDocument"])})


@pytest.fixture(scope="module")
def roles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roles]:
    folder = tmp_path_factory.mktemp("aws")
    with ExitStack() as stack:
        with standard_error_in(folder / "log"):
            running = stack.enter_context(deployed_stack(folder / "aws", interruptions=0))
        yield Roles(running, folder / "log")


@contextmanager
def standard_error_in(log: Path) -> Iterator[None]:
    """Let a process that is started here write its standard error into a file."""
    before = os.dup(2)
    with log.open("wb") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


@pytest.mark.soak
@pytest.mark.parametrize("statement", sample(NEEDED, 3), ids=lambda each: "/".join(each.place))
def test_the_run_fails_without_the_statement(statement: Statement, roles: Roles) -> None:
    with roles.without([statement]):
        failure = roles.failure()
    assert "AccessDenied" in failure
    assert names_action_and_resource(failure, statement), failure


def test_without_it_what_the_function_fails_on_is_lost(roles: Roles) -> None:
    by_place = {each.place: each for each in STATEMENTS}
    report = by_place[ONLY_WHEN_IT_FAILS]
    with roles.without([report, by_place["FunctionRole", "LeaveVerdict"]]):
        lost = roles.lost()
    assert names_action_and_resource(lost, report), lost


def test_the_run_succeeds_without_what_is_exempt_and_with_all_of_them(roles: Roles) -> None:
    exempt = [each for each in STATEMENTS if each.place in EXEMPT]
    assert len(exempt) == len(EXEMPT)
    with roles.without(exempt):
        assert roles.failure() == ""
    assert roles.failure() == ""


def names_action_and_resource(text: str, statement: Statement) -> bool:
    actions = "|".join(statement.actions)
    asked = rf'is not authorized to perform: ({actions}) on resource: ("?arn:|\*)'
    return re.search(asked, text) is not None
