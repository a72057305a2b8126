"""Our SageMaker as a service of MiniStack: who calls, what IAM says, and the answer in AWS's shape."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import datetime
from typing import Any

import ministack.app
from ministack.core import iam_evaluator, router
from ministack.core.router import extract_access_key_id

from local.aws.host import ServerHost
from local.engine.host import AccessDeniedError
from local.sagemaker.errors import ServiceError
from local.sagemaker.required_permissions import requirements
from local.sagemaker.service import SageMaker

_LOG = logging.getLogger(__name__)
_TARGET = "SageMaker."
Answer = tuple[int, dict[str, str], bytes]


class SageMakerDoor:
    """The handler of every request that is signed for SageMaker."""

    def __init__(self, host: ServerHost, sagemaker: SageMaker) -> None:
        self._host = host
        self._sagemaker = sagemaker

    def open(self) -> None:
        """Register the service with MiniStack, which has authenticated whoever calls when it asks us."""
        ministack.app.SERVICE_HANDLERS["sagemaker"] = self
        router.SERVICE_PATTERNS["sagemaker"] = {"target_prefixes": [_TARGET]}

    async def __call__(
        self, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> Answer:
        """Answer one request; it runs in a thread, for a handler may call this very server."""
        target = headers.get("x-amz-target", "")
        if not target.startswith(_TARGET):
            # sagemaker-runtime, -metrics, -featurestore-runtime and their like, which sign as sagemaker.
            return _error("NotImplemented", f"{method} {path} of SageMaker is not implemented on local AWS.")
        key = extract_access_key_id(headers, query)
        return await asyncio.to_thread(self._answer, target.removeprefix(_TARGET), body, key)

    def _answer(self, operation: str, body: bytes, key: str) -> Answer:
        try:
            parameters = json.loads(body or b"{}")
            if not isinstance(parameters, dict):
                return _error("SerializationException", "The body of a request must be a JSON object.")
        except (ValueError, RecursionError) as error:
            return _error("SerializationException", f"The body of a request must be JSON: {error}")
        try:
            request = self._sagemaker.read(operation, parameters)
            self._authorize(operation, request, key)
            return _success(self._sagemaker.answer(operation, request, key))
        except AccessDeniedError as error:
            return _error("AccessDeniedException", str(error))
        except ServiceError as error:
            return _error(error.code, error.message, error.status)
        except Exception as error:  # noqa: BLE001 - a defect is answered like AWS's, and logged
            _LOG.exception("%s failed", operation)
            message = f"Local AWS has a defect here: {type(error).__name__}: {error}"
            return _error("InternalFailure", message, 500)

    def _authorize(self, operation: str, parameters: dict[str, Any], key: str) -> None:
        principal = iam_evaluator.resolve_principal(key, self._host.account)
        if isinstance(principal, iam_evaluator.AuthError):
            raise ServiceError(principal.code, principal.message, 403)
        for need in requirements(operation, parameters, region=self._host.region, account=self._host.account):
            self._host.authorize_principal(principal, need.action, need.resource, need.context)


def _success(answer: dict[str, Any]) -> Answer:
    return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(answer, default=_moment).encode()


def _error(code: str, message: str, status: int = 400) -> Answer:
    headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-errortype": code}
    return status, headers, json.dumps({"__type": code, "message": message}).encode()


def _moment(value: object) -> float:
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(f"{value!r} cannot be part of an answer")
