"""ClientRequestToken: the same request asked twice is answered once."""

from __future__ import annotations

import json
from typing import Any

from local.sagemaker.errors import ConflictError
from local.sagemaker.requests import Call

_RESOURCES = ("PipelineName", "PipelineExecutionArn", "ModelPackageGroupName", "ModelPackageName")


class Tokens:
    """The answers given so far, by operation and token; the caller holds the lock."""

    def __init__(self, parameter: str = "ClientRequestToken") -> None:
        self._parameter = parameter
        self._answers: dict[tuple[str, str, str], tuple[str, dict[str, Any]]] = {}

    def answer(self, call: Call) -> dict[str, Any] | None:
        """Return the answer to an earlier request with this token, None for a new token.

        Raises:
            ConflictError: The earlier request was another one.
        """
        known = self._answers.get(self._key(call))
        if known is None:
            return None
        if known[0] != _fingerprint(call):
            raise ConflictError(
                f"The {self._parameter} {call[self._parameter]} was already used for a {call.operation} "
                "request with other parameters. Use a new token for a new request."
            )
        return known[1]

    def keep(self, call: Call, answer: dict[str, Any]) -> dict[str, Any]:
        """Remember the answer to a request, and return it."""
        if call.get(self._parameter):
            self._answers[self._key(call)] = (_fingerprint(call), answer)
        return answer

    def _key(self, call: Call) -> tuple[str, str, str]:
        """Return what a token is kept under, the resource too: it says nothing about another pipeline."""
        resource = next((call.get(name) for name in _RESOURCES if call.get(name)), "")
        return call.operation, resource, call.get(self._parameter, "")


def _fingerprint(call: Call) -> str:
    return json.dumps(call.parameters, sort_keys=True, default=str)
