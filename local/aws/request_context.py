"""Read an HTTP request as the AWS call it is: service, operation and parameters, whatever the protocol."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from botocore.exceptions import UnknownServiceError
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request
from moto.core.routing import get_service_router
from werkzeug.exceptions import HTTPException

_MODELS = {"monitoring": "cloudwatch", "tagging": "resourcegroupstaggingapi", "email": "ses"}
"""Services whose requests are signed under another name than their model's."""
_PREFIXES = {"monitoring": "cloudwatch", "tagging": "tag", "email": "ses"}
"""Services whose IAM actions start with another name than their requests are signed under."""


class UnknownOperationError(Exception):
    """The request is none that the service's model knows."""


@dataclass(frozen=True)
class Call:
    """An AWS call as a client sent it."""

    service: str
    """The prefix of the service's IAM actions, for example sagemaker."""
    operation: str
    parameters: Mapping[str, Any]
    region: str
    account: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """Header names in lower case."""

    def arn(self, resource: str, *, service: str | None = None) -> str:
        """Make the ARN of one of the service's resources in this account and region."""
        return f"arn:aws:{service or self.service}:{self.region}:{self.account}:{resource}"


@dataclass(frozen=True)
class Requirement:
    """What a principal needs to be allowed for a call; a call may have several."""

    action: str
    resource: str
    context: Mapping[str, str | list[str]] = field(default_factory=dict)


def protocol(environ: Mapping[str, Any], service: str) -> str:
    """Tell which of AWS's protocols a request speaks: rest-xml, json, query or rest-json."""
    if service == "s3":
        return "rest-xml"
    if environ.get("HTTP_X_AMZ_TARGET"):
        return "json"
    form = str(environ.get("CONTENT_TYPE", "")).startswith("application/x-www-form-urlencoded")
    return "query" if form or "Action=" in environ.get("QUERY_STRING", "") else "rest-json"


def read_call(environ: dict[str, Any], body: bytes, *, service: str, region: str, account: str) -> Call:
    """Read the call of a request signed for `service`; raises UnknownOperationError."""
    spoken = protocol(environ, service)
    if spoken == "json":
        operation = str(environ["HTTP_X_AMZ_TARGET"]).rpartition(".")[2]
        parameters = _json(body)
    else:
        operation, parameters = _routed(environ, body, service, spoken)
    return Call(
        service=_PREFIXES.get(service, service),
        operation=operation,
        parameters=parameters,
        region=region,
        account=account,
        query=dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)),
        headers=_headers(environ),
    )


def _json(body: bytes) -> Mapping[str, Any]:
    try:
        parameters = json.loads(body or b"{}")
    except ValueError:
        return {}
    return parameters if isinstance(parameters, dict) else {}


def _headers(environ: Mapping[str, Any]) -> dict[str, str]:
    names = {key: key[5:].replace("_", "-").lower() for key in environ if key.startswith("HTTP_")}
    return {name: str(environ[key]) for key, name in names.items()}


def _routed(environ: dict[str, Any], body: bytes, service: str, spoken: str) -> tuple[str, Mapping[str, Any]]:
    request = Request({**environ, "wsgi.input": io.BytesIO(body)})
    try:
        operation, labels = get_service_router(_model(service, request.path)).match(request)
    except (HTTPException, UnknownServiceError, NotImplementedError) as error:
        raise UnknownOperationError(
            f"{request.method} {request.path} is no operation of {service}"
        ) from error
    if spoken == "rest-json":
        return operation.name, {**request.args.to_dict(), **_json(body), **labels}
    if spoken == "query" or operation.name == "DeleteObjects":
        return operation.name, {**_parsed(operation, request, spoken, labels), **labels}
    return operation.name, labels


def _model(service: str, path: str) -> str:
    if service == "sagemaker":
        return "sagemaker-runtime" if path.startswith("/endpoints/") else "sagemaker-metrics"
    if service == "s3" and path.startswith("/v20180820/"):
        return "s3control"
    return _MODELS.get(service, service)


def _parsed(operation: Any, request: Request, spoken: str, labels: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the parameters as the service's model lays them out."""
    document = {
        "method": request.method,
        "values": request.values,
        "headers": request.headers,
        "body": request.get_data(),
        "url_path": request.path,
        "url_params": labels,
    }
    return dict(PROTOCOL_PARSERS[spoken](operation).parse(document))
