"""A client with boto3's methods that calls an in-memory service without HTTP, fast for thousands of runs.

It raises what boto3 raises, and checks requests (and answers) against botocore's own model when `strict`.
"""

import functools
import uuid
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, Protocol

import botocore.session
from botocore import xform_name
from botocore.exceptions import ClientError, ParamValidationError
from botocore.handlers import validate_bucket_name
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from tests.support.services.service_answers import FakeServiceError

Answer = dict[str, Any]
PAGES = {
    "list_objects_v2": {"ContinuationToken": "NextContinuationToken"},
    "list_object_versions": {"KeyMarker": "NextKeyMarker", "VersionIdMarker": "NextVersionIdMarker"},
    "list_pipeline_executions": {"NextToken": "NextToken"},
    "list_pipeline_parameters_for_execution": {"NextToken": "NextToken"},
    "list_pipeline_versions": {"NextToken": "NextToken"},
}


class InMemoryService(Protocol):
    """An in-memory service."""

    def call(self, operation: str, given: dict[str, Any]) -> Answer:
        """Answer one request or raise a `FakeServiceError`."""
        ...


Gate = Callable[[str, dict[str, Any], Callable[[], Answer]], Answer]
"""Stands before each call: is given the operation, the request and what makes it happen."""


def open_gate(operation: str, given: dict[str, Any], effect: Callable[[], Answer]) -> Answer:
    """Let every call through."""
    return effect()


@functools.cache
def service_model(name: str) -> ServiceModel:
    """Load botocore's model of a service once."""
    return botocore.session.Session().get_service_model(name)


@functools.cache
def _operations(name: str) -> dict[str, str]:
    return {xform_name(each): each for each in service_model(name).operation_names}


class DirectClient:
    """boto3's client of one service, without boto3."""

    def __init__(
        self,
        name: str,
        service: InMemoryService,
        gate: Gate = open_gate,
        *,
        strict: bool = False,
        new_token: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self.meta = SimpleNamespace(service_model=service_model(name))
        self._operations = _operations(name)
        self._service, self._gate, self._strict = service, gate, strict
        self._new_token = new_token

    def __getattr__(self, method: str) -> Any:
        if method not in self._operations:
            raise AttributeError(method)
        return functools.partial(self._call, self._operations[method])

    def get_paginator(self, method: str) -> SimpleNamespace:
        """Return what pages through a list, with boto3's `paginate`."""
        return SimpleNamespace(paginate=functools.partial(self._pages, method))

    def _pages(self, method: str, PaginationConfig: Any = None, **given: Any) -> Iterator[Answer]:  # noqa: N803
        given |= {"MaxResults": PaginationConfig["PageSize"]} if PaginationConfig else {}
        while True:
            page = getattr(self, method)(**given)
            yield page
            following = {to: page[of] for to, of in PAGES[method].items() if of in page}
            if not following:
                return
            given |= following

    def _call(self, operation: str, **given: Any) -> Answer:
        # As boto3 does: a token of its own for each request that wants one and has none.
        for name in self.meta.service_model.operation_model(operation).idempotent_members:
            given.setdefault(name, self._new_token())
        if self._strict:
            self._refuse(operation, given)
        answer = self._gate(operation, given, functools.partial(self._effect, operation, given))
        if self._strict:
            self._check(operation, answer)
        return answer

    def _refuse(self, operation: str, given: dict[str, Any]) -> None:
        """Refuse what boto3 would not send."""
        shape = self.meta.service_model.operation_model(operation).input_shape
        report = ParamValidator().validate(given, shape)
        if report.has_errors():
            raise ParamValidationError(report=f"{operation}: {report.generate_report()}")
        if self.meta.service_model.service_name == "s3":
            validate_bucket_name(given)
            # These go into the address of the request, where lone surrogates raise UnicodeEncodeError.
            "".join(value for value in given.values() if isinstance(value, str)).encode()

    def _effect(self, operation: str, given: dict[str, Any]) -> Answer:
        try:
            return self._service.call(operation, given)
        except FakeServiceError as error:
            raise client_error(error, operation) from None

    def _check(self, operation: str, answer: Answer) -> None:
        """Hold an answer against the model, so that no test rests on what the service never says."""
        shape = self.meta.service_model.operation_model(operation).output_shape
        plain = {name: value for name, value in answer.items() if name != "Body"}
        report = ParamValidator().validate(plain, shape)
        if report.has_errors():
            raise AssertionError(f"the answer of {operation}: {report.generate_report()}")


def client_error(error: FakeServiceError, operation: str) -> ClientError:
    """Make of a service's answer what boto3 raises."""
    answer = {
        "Error": {"Code": error.code, "Message": error.message},
        "ResponseMetadata": {"HTTPStatusCode": error.status},
    }
    return ClientError(answer, operation)
