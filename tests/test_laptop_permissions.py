"""Every statement of the function's and the jobs' role is needed: without it an upload fails and says why.

What people's roles need is in test_laptop_people.py.
"""

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from laptop import Laptop, laptop
from local.deploy import deploy
from local.run import STACK, TEMPLATE
from ops.errors import StartFailed
from toy_pipeline import SHIPPED

SEEDS = itertools.count(100)


def statements() -> Iterator[tuple[str, str]]:
    """(logical id of the role, Sid) of every Allow statement in the committed template."""
    for logical_id, resource in json.loads(TEMPLATE.read_text())["Resources"].items():
        if resource["Type"] == "AWS::IAM::Role" and not logical_id.startswith("People"):
            for policy in resource["Properties"]["Policies"]:
                for statement in policy["PolicyDocument"]["Statement"]:
                    if statement["Effect"] == "Allow":
                        yield logical_id, statement["Sid"]


# What only the failure of an upload needs, and what AWS itself goes on without.
UNTOUCHED_BY_A_GOOD_UPLOAD = {
    "ReportFailure": "sent only when an upload failed",
    "EncryptFailures": "the same",
    "OwnLogs": "without it Lambda runs and its log is lost",
    "JobMetrics": "without it a job runs and its metrics are lost",
}
NEEDED = [pair for pair in statements() if pair[1] not in UNTOUCHED_BY_A_GOOD_UPLOAD]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    with laptop(tmp_path_factory.mktemp("laptop"), interruptions=0) as started:
        yield started


def without(logical_id: str, sid: str, directory: Path) -> Path:
    """Write the committed template less one statement."""
    template: dict[str, Any] = json.loads(TEMPLATE.read_text())
    for policy in template["Resources"][logical_id]["Properties"]["Policies"]:
        document = policy["PolicyDocument"]
        document["Statement"] = [kept for kept in document["Statement"] if kept["Sid"] != sid]
    path = directory / "template.json"
    path.write_text(json.dumps(template))
    return path


def failure_of(running: Laptop) -> str:
    """Upload with a seed of its own, so that nothing comes from cache, and give what went wrong."""
    try:
        execution = running.run(SHIPPED, Seed=str(next(SEEDS)))
    except StartFailed as error:
        return error.message
    reasons = [step.get("FailureReason", "") for step in running.steps(execution).values()]
    return "\n".join(filter(None, reasons))


@pytest.mark.slow
@pytest.mark.parametrize(("logical_id", "sid"), NEEDED, ids=[sid for _, sid in NEEDED])
def test_the_run_fails_without_the_statement(
    logical_id: str, sid: str, running: Laptop, tmp_path: Path
) -> None:
    deploy(running.aws, without(logical_id, sid, tmp_path), STACK)
    failure = failure_of(running)
    deploy(running.aws, TEMPLATE, STACK)
    assert "AccessDenied" in failure
    assert "is not authorized to perform: " in failure
    actions = statement_actions(logical_id, sid)
    assert re.search(rf'perform: ({"|".join(actions)}) on resource: ("?arn:|\*)', failure), failure


@pytest.mark.slow
def test_the_run_succeeds_with_all_of_them(running: Laptop) -> None:
    assert failure_of(running) == ""


def statement_actions(logical_id: str, sid: str) -> list[str]:
    template = json.loads(TEMPLATE.read_text())
    for policy in template["Resources"][logical_id]["Properties"]["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            if statement["Sid"] == sid:
                action = statement["Action"]
                return [action] if isinstance(action, str) else list(action)
    raise AssertionError(f"no statement {sid}")
