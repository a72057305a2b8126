"""A second opinion on IAM: cloud-copilot's iam-simulate, which Node runs, asked what `local.aws.iam` is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local.aws.iam import Access, Decision, Policy, Principal, decide, parse_policy

FOLDER = Path(__file__).parent / "iam-simulate"
INSTALLED = Path(sys.prefix) / "iam-simulate"
ACCOUNT = "123456789012"
Document = Mapping[str, Any]

installed = pytest.mark.skipif(
    not (INSTALLED / "node_modules").is_dir(),
    reason=f"{INSTALLED} is not there: `make test` installs it when npm's registry can be reached",
)


@dataclass(frozen=True, kw_only=True)
class Question:
    """A request with every policy that has a say in it."""

    principal: str
    action: str
    resource: str
    context: Mapping[str, str | list[str]] = field(default_factory=dict)
    identity: Sequence[Document] = ()
    boundary: Sequence[Document] = ()
    resource_policy: Document | None = None
    trust: bool = False
    """Whether the resource policy is a role's trust policy."""

    def ours(self) -> str:
        """Give the decision of the laptop's evaluator, in the words of the other."""
        return _word(
            decide(
                Access(_principal(self.principal), self.action, self.resource, self.context),
                identity=_policies(self.identity, "identity"),
                boundary=_policies(self.boundary, "identity"),
                resource=_policies(
                    [self.resource_policy] if self.resource_policy else [],
                    "trust" if self.trust else "resource",
                ),
                resource_must_allow=self.trust or self.action.startswith("kms:"),
            )
        )

    def simulation(self) -> dict[str, Any]:
        """Give the question as iam-simulate takes it."""
        named = [{"name": f"p{n}", "policy": policy} for n, policy in enumerate(self.identity)]
        bounds = [{"name": f"b{n}", "policy": policy} for n, policy in enumerate(self.boundary)]
        return {
            "request": {
                "principal": self.principal,
                "action": self.action,
                "resource": {"resource": self.resource, "accountId": ACCOUNT},
                "contextVariables": self.context,
            },
            "identityPolicies": named,
            "serviceControlPolicies": [],
            "resourceControlPolicies": [],
            **({"permissionBoundaryPolicies": bounds} if bounds else {}),
            **({"resourcePolicy": self.resource_policy} if self.resource_policy else {}),
        }


@dataclass(frozen=True)
class Opinion:
    """What iam-simulate says."""

    decision: str
    ignored: tuple[str, ...]
    """Condition keys that AWS does not have for the action, so that they are never in a request."""
    resource: str | None
    """Why AWS has no such resource for the action, if that is so."""


class SecondOpinion:
    """iam-simulate in a process that answers line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, question: Question) -> Opinion:
        """Give the decision; what it cannot read is a mistake of the test's."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(question.simulation()), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        assert "error" not in answer, (answer, question)
        return Opinion(answer["decision"], tuple(answer["ignored"]), answer.get("resource"))


@contextmanager
def second_opinion() -> Iterator[SecondOpinion]:
    """Start iam-simulate, and end it."""
    node = Path(sys.executable).parent / "node"
    command = [str(node), str(FOLDER / "decide.cjs"), str(INSTALLED)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        yield SecondOpinion(process)


def _word(decision: Decision) -> str:
    if decision.allowed:
        return "Allowed"
    return "ExplicitlyDenied" if decision.explicit else "ImplicitlyDenied"


def _policies(documents: Sequence[Document], kind: Any) -> list[Policy]:
    return [parse_policy(document, kind=kind) for document in documents]


def _principal(name: str) -> Principal:
    if name.endswith(".amazonaws.com"):
        return Principal.of_service(name)
    account, resource = name.split(":", 5)[4:]
    kind, _, path = resource.partition("/")
    if kind != "assumed-role":
        return Principal(arn=name, account=account, role_arn=name if kind == "role" else None)
    role = f"arn:aws:iam::{account}:role/{path.partition('/')[0]}"
    return Principal(arn=name, account=account, role_arn=role)
