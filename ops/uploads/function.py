"""The deployed function, asked directly: redrive and reconcile invoke it, and wait for what it answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

from ops.errors import FunctionFailedError
from ops.uploads import failure_queue
from ops.uploads.outcome import Verdict

Invoke = Callable[[Mapping[str, Any]], list[Verdict]]
"""Hands an event to the function and gives the verdicts it made."""


def invocation(client: Any, name: str) -> Invoke:
    """Make the `Invoke` of the Lambda function `name`."""

    def invoke(event: Mapping[str, Any]) -> list[Verdict]:
        answer = client.invoke(FunctionName=name, Payload=json.dumps(event).encode())
        with closing(answer["Payload"]) as body:
            payload = json.loads(body.read() or b"null")
        if "FunctionError" in answer:
            error = failure_queue.function_error(payload if isinstance(payload, dict) else {})
            raise FunctionFailedError(f"{error}\nThe whole story is in the log group /aws/lambda/{name}")
        return [each for each in payload or [] if isinstance(each, dict) and "verdict" in each]

    return invoke


def environment(client: Any, name: str) -> dict[str, str]:
    """Read the environment of the Lambda function `name`: the deployment's settings and its policy."""
    configuration = client.get_function_configuration(FunctionName=name)
    return dict(configuration.get("Environment", {}).get("Variables", {}))
