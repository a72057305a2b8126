"""What IAM decides about a request, asked of an evaluator that others wrote: cloud-copilot's iam-simulate.

Node runs it in one process, which the first question starts and which ends with Python. A resource counts as
one of ACCOUNT, whatever its ARN says: what ours may reach elsewhere is not to depend on what others allow.
"""

from __future__ import annotations

import atexit
import functools
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

FOLDER = Path(__file__).with_name("iam-simulate")
INSTALLED = Path(sys.prefix) / "iam-simulate"
ACCOUNT = "123456789012"
Document = Mapping[str, Any]
Context = Mapping[str, str | list[str]]
NOTHING: Context = {}


class Question(NamedTuple):
    """May `principal` do `action` on `resource`, with these condition keys in the request?"""

    principal: str
    """An ARN, or a service such as sagemaker.amazonaws.com."""
    action: str
    resource: str
    """An ARN, or `*` for an action that knows no resources."""
    context: Context = NOTHING
    invented: bool = False
    """Whether AWS may lack the action; in any other question such a name is a mistake of the test's."""


@dataclass(frozen=True, kw_only=True)
class Policies:
    """Every policy that has a say in a request."""

    identity: Sequence[Document] = ()
    boundary: Sequence[Document] = ()
    """Permissions boundaries; none of them bounds nothing."""
    resource: Document | None = None
    """That of a bucket, key or topic, or a role's trust policy. A key without one leaves it all to IAM."""


@dataclass(frozen=True)
class Decision:
    """What IAM decides, and whether the question was one that AWS can be asked."""

    word: str
    """Allowed, ExplicitlyDenied or ImplicitlyDenied."""
    denied_by: tuple[str | None, ...]
    """The Sids of the statements that deny it; where `unknown` says something, none is told."""
    ignored: tuple[str, ...]
    """Condition keys that AWS does not have for the action, so that they never are in a request."""
    unknown: str | None
    """Why AWS has no such request: no such resource for the action, or no such action."""

    @property
    def allowed(self) -> bool:
        return self.word == "Allowed"


def document(*statements: Mapping[str, Any]) -> Document:
    """Return a policy of these statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


EVERYTHING = document({"Effect": "Allow", "Action": "*", "Resource": "*"})


def decide(
    principal: str,
    action: str,
    resource: str,
    context: Context = NOTHING,
    *,
    identity: Sequence[Document] = (),
    boundary: Sequence[Document] = (),
    resource_policy: Document | None = None,
) -> Decision:
    """Return what IAM decides about one request."""
    policies = Policies(identity=identity, boundary=boundary, resource=resource_policy)
    (decision,) = decide_all([Question(principal, action, resource, context)], policies)
    return decision


def decide_all(questions: Iterable[Question], policies: Policies, *, whole: bool = False) -> list[Decision]:
    """Return what IAM decides about each request.

    It is told of the statements that may have a say in a request; `whole` tells it of all.
    """
    requests = [_request(each) for each in questions]
    answers = _ask({"requests": requests, "variants": [_variant(policies)], "whole": whole})
    return [
        Decision(each["decision"], tuple(each["denied_by"]), tuple(each["ignored"]), each["unknown"])
        for each in answers
    ]


def find_wrong(
    expected: Sequence[tuple[Question, bool]], variants: Iterable[Policies]
) -> list[Question | None]:
    """Return for each variant of the policies a question that it answers otherwise than expected, if any."""
    answers = _ask(
        {
            "requests": [_request(question) for question, _ in expected],
            "expected": [allowed for _, allowed in expected],
            "variants": [_variant(each) for each in variants],
        }
    )
    return [None if found is None else expected[found][0] for found in answers]


def _request(question: Question) -> dict[str, Any]:
    return {**question._asdict(), "account": ACCOUNT}


def _variant(policies: Policies) -> dict[str, Any]:
    return {
        "identity": list(policies.identity),
        "boundary": list(policies.boundary),
        "resource": policies.resource,
    }


def _ask(asked: Mapping[str, Any]) -> Any:
    process = _judge()
    assert process.stdin
    assert process.stdout
    print(json.dumps(asked), file=process.stdin, flush=True)
    answer = json.loads(process.stdout.readline() or '{"error": "the judge has ended"}')
    # A policy that it cannot read is the template's mistake, an action that there is not is the test's.
    assert "error" not in answer, answer["error"]
    return answer


@functools.cache
def _judge() -> subprocess.Popen[str]:
    process = start()
    atexit.register(_end, process)
    return process


def _end(process: subprocess.Popen[str]) -> None:
    with process:  # It ends when nothing more can be asked.
        pass


def start() -> subprocess.Popen[str]:
    """Start iam-simulate in the version that the lock pins; the test fails where that is not installed."""
    installed, wanted = INSTALLED / "node_modules" / ".installed", FOLDER / "package-lock.json"
    if not installed.is_file() or installed.read_bytes() != wanted.read_bytes():
        pytest.fail(
            f"iam-simulate, which judges the policies, is not in {INSTALLED} as {wanted.name} pins it: "
            "run `make test`, which installs it from npm's registry.",
            pytrace=False,
        )
    command = [str(Path(sys.executable).parent / "node"), str(FOLDER / "decide.cjs"), str(INSTALLED)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
