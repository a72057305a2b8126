"""Lambda on the laptop: functions run as processes, with their role's credentials, and log as on AWS.

moto keeps the functions and answers the API; what it does with Docker at an invocation is done here instead:
the seam is `LambdaFunction` in moto's Lambda backend, of which `LocalFunction` takes the place.
"""

from __future__ import annotations

import base64
import io
import json
import uuid
import zipfile
from pathlib import PurePosixPath
from typing import Any

from moto.awslambda import models as moto_models
from moto.awslambda.exceptions import InvalidParameterValueException, LambdaClientError
from moto.iam.models import iam_backends

from local.aws.function_delivery import set_event_invoke_config
from local.aws.function_service import FunctionService
from local.aws.host import Host


class LocalFunction(moto_models.LambdaFunction):  # type: ignore[misc]
    """moto's function, run as a process instead of in Docker."""

    def __init__(self, account_id: str, spec: dict[str, Any], region: str, version: str | int = 1) -> None:
        """Check what AWS checks: the zip, the runtime, and that Lambda may assume the role."""
        _check_role(spec["Role"])
        super().__init__(account_id=account_id, spec=spec, region=region, version=version)
        self.timeout = int(spec.get("Timeout", 3))
        self.memory_size = int(spec.get("MemorySize", 128))
        self._set_logging(spec.get("LoggingConfig"))

    def get_configuration(self, on_create: bool = False) -> dict[str, Any]:
        """Give the configuration with the logging that moto forgets."""
        return {**super().get_configuration(on_create), "LoggingConfig": self.logging_config}

    def get_code(self) -> dict[str, Any]:
        """Give the function with its reserved concurrency, 0 included."""
        answer: dict[str, Any] = super().get_code()
        if self.reserved_concurrency is not None:
            answer["Concurrency"] = {"ReservedConcurrentExecutions": self.reserved_concurrency}
        return answer

    def update_configuration(self, config_updates: dict[str, Any]) -> dict[str, Any]:
        """Change the configuration, also the parts that moto ignores."""
        if role := config_updates.get("Role"):
            _check_role(role)
        super().update_configuration(config_updates)
        if "TracingConfig" in config_updates:
            self.tracing_config = config_updates["TracingConfig"]
        if "EphemeralStorage" in config_updates:
            self.ephemeral_storage = config_updates["EphemeralStorage"]["Size"]
        if "LoggingConfig" in config_updates:
            self._set_logging(config_updates["LoggingConfig"])
        return self.get_configuration()

    def invoke(self, body: str | bytes, request_headers: Any, response_headers: Any) -> bytes:
        """Answer Invoke: RequestResponse runs, Event queues, DryRun does neither."""
        service = _service()
        kind = request_headers.get("x-amz-invocation-type", "RequestResponse")
        event = body if isinstance(body, bytes) else (body or "").encode()
        _check_event(event or b"{}", 1_000_000 if kind == "Event" else 6_291_556)
        request_id = str(uuid.uuid4())
        response_headers["x-amzn-requestid"] = request_id
        if kind == "DryRun":
            return b""
        if kind == "Event":
            service.deliveries.accept(self, event or b"{}", request_id)
            return b""
        result = service.run(self, event or b"{}", request_id, wait=self.reserved_concurrency is None)
        response_headers["x-amz-executed-version"] = str(self.version)
        if result.errored:
            response_headers["x-amz-function-error"] = "Unhandled"
        tail = "\n".join(result.lines).encode()[-4096:]
        response_headers["x-amz-log-result"] = base64.b64encode(tail).decode()
        return result.payload

    def _invoke_lambda(self, event: Any = None) -> tuple[str, bool, str]:
        """Invoke for moto's own services."""
        result = _service().run(self, json.dumps(event).encode(), str(uuid.uuid4()), wait=True)
        return result.payload.decode("utf-8", "replace"), result.errored, "\n".join(result.lines)

    def _set_logging(self, config: dict[str, Any] | None) -> None:
        group = f"/aws/lambda/{self.function_name}"
        config = {"LogFormat": "Text", "LogGroup": group, **(config or {})}
        if config["LogFormat"] == "JSON":
            config = {"ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO", **config}
        self.logging_config, self.logs_group_name = config, config["LogGroup"]

    def _set_function_code(self, updated_spec: dict[str, Any]) -> None:
        try:
            super()._set_function_code(updated_spec)
        except ValueError as error:  # moto's way to say that bucket or key are not there
            raise LambdaClientError(*error.args) from error
        if architectures := updated_spec.get("Architectures"):
            self.architectures = architectures
        _check_zip(self.code_bytes)


def _service() -> FunctionService:
    if FunctionService.current is None:
        raise LambdaClientError("ServiceException", "the laptop's Lambda is not running: it was closed")
    return FunctionService.current


def _check_event(event: bytes, limit: int) -> None:
    if len(event) > limit:
        message = f"{len(event)} byte payload is too large for the invocation type (limit {limit} bytes)"
        raise LambdaClientError("RequestTooLargeException", message)
    try:
        json.loads(event)
    except ValueError as error:
        message = f"Could not parse request body into json: {error}"
        raise LambdaClientError("InvalidRequestContentException", message) from error


def _check_zip(code: bytes) -> None:
    """Refuse what is no zip, and members that would be unpacked outside of the function's folder."""
    try:
        with zipfile.ZipFile(io.BytesIO(code)) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        message = "Could not unzip uploaded file. Please check your file, then try to upload again."
        raise InvalidParameterValueException(message) from error
    for name in names:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[:1]:
            raise InvalidParameterValueException(
                f"Could not unzip uploaded file: {name!r} leads out of the folder"
            )


def _check_role(role_arn: str) -> None:
    """Refuse a role that is not there or does not trust Lambda."""
    account, _, name = role_arn.split(":")[4], "", role_arn.rpartition("/")[2]
    roles = [role for role in iam_backends[account]["aws"].roles.values() if role.name == name]
    trusted = [
        service
        for role in roles
        for statement in json.loads(role.assume_role_policy_document)["Statement"]
        if statement["Effect"] == "Allow" and isinstance(statement.get("Principal"), dict)
        for service in _as_list(statement["Principal"].get("Service", []))
    ]
    if "lambda.amazonaws.com" not in trusted:
        raise InvalidParameterValueException("The role defined for the function cannot be assumed by Lambda.")


def _as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def install(host: Host, *, retry_speed: float = 60.0) -> FunctionService:
    """Run moto's Lambda functions on `host`.

    A failed asynchronous invocation is retried after 1 and 2 minutes on AWS; here `retry_speed` times faster.
    """
    service = FunctionService(host, retry_speed=retry_speed)
    FunctionService.current = service
    moto_models.LambdaFunction = LocalFunction
    set_event_invoke_config(host)
    return service
