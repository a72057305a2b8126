"""Runs functions: pools of execution environments, within each function's concurrency."""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import threading
import time
import uuid
import zipfile
from pathlib import Path
from typing import Any

from moto.awslambda.exceptions import LambdaClientError

from local.aws.function_api import RuntimeApi
from local.aws.function_delivery import Deliveries
from local.aws.function_environment import Environment, Result
from local.aws.function_log import FunctionLog
from local.aws.host import Host
from local.aws.iam import AccessDenied

UNRESERVED_CONCURRENCY = max(2, min(8, os.cpu_count() or 2))
"""How many processes a function without reserved concurrency may have; AWS gives it 1000."""
ENVIRONMENT_SECONDS = 30 * 60
"""An environment is replaced long before temporary credentials end after an hour."""


class Throttled(LambdaClientError):  # type: ignore[misc]  # noqa: N818 - AWS's name is TooManyRequestsException
    """All of a function's reserved concurrency is in use."""

    code = 429

    def __init__(self) -> None:
        super().__init__("TooManyRequestsException", "Rate Exceeded.")


class Pool:
    """The environments of one function: the idle ones, and how many work."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._idle: list[tuple[object, Environment, FunctionLog]] = []
        self._busy = 0

    def enter(self, limit: int, *, wait: bool) -> None:
        """Take one of the `limit` places; raise `Throttled` when there is none and `wait` is False."""
        with self._changed:
            while self._busy >= limit:
                if not wait:
                    raise Throttled
                self._changed.wait()
            self._busy += 1

    def leave(self) -> None:
        """Give the place back."""
        with self._changed:
            self._busy -= 1
            self._changed.notify()

    def take(self, key: object) -> tuple[Environment, FunctionLog] | None:
        """Give a warm environment of exactly this code and configuration; end the outdated ones."""
        with self._changed:
            fresh = [item for item in self._idle if item[0] == key and _usable(item[1])]
            stale = [item for item in self._idle if item not in fresh]
            chosen = fresh.pop() if fresh else None
            self._idle = fresh
        for _, environment, _log in stale:
            environment.close()
        return chosen[1:] if chosen else None

    def keep(self, key: object, environment: Environment, log: FunctionLog) -> None:
        """Keep a warm environment for the next invocation."""
        with self._changed:
            self._idle.append((key, environment, log))


def _usable(environment: Environment) -> bool:
    return environment.alive and environment.age_seconds < ENVIRONMENT_SECONDS


class FunctionService:
    """Runs functions for one host; `close` ends every process and thread."""

    current: FunctionService | None = None

    def __init__(self, host: Host, *, retry_speed: float) -> None:
        """`retry_speed` = how many times faster than on AWS a failed asynchronous invocation is retried."""
        self.host = host
        self.deliveries = Deliveries(host, self.run, speed=retry_speed)
        self._api = RuntimeApi()
        self._folder = host.work_dir / "functions" / uuid.uuid4().hex[:8]
        self._lock = threading.Lock()
        self._pools: dict[str, Pool] = {}
        self._environments: set[Environment] = set()
        self._by_key: dict[str, tuple[str, Environment]] = {}
        """By access key, which function has it, and in which environment."""
        self._log_clients: dict[str, tuple[float, Any]] = {}
        self._closed = False

    def run(self, function: Any, event: bytes, request_id: str, *, wait: bool) -> Result:
        """Invoke the function and write its log; `wait` for a free place instead of being throttled."""
        with self._lock:
            pool = self._pools.setdefault(function.function_arn, Pool())
        reserved = function.reserved_concurrency
        pool.enter(UNRESERVED_CONCURRENCY if reserved is None else int(reserved), wait=wait)
        try:
            key = _identity(function)
            environment, log = pool.take(key) or self._start(function)
            result = environment.invoke(event, request_id)
            log.write(request_id, result)
            if environment.alive:
                pool.keep(key, environment, log)
            else:
                self._end(environment)
            return result
        finally:
            pool.leave()

    def function_of(self, access_key_id: str) -> str | None:
        """Name the function that calls with an access key, None when it is somebody else's."""
        held = self._by_key.get(access_key_id)
        return held[0] if held else None

    def end(self, access_key_id: str) -> None:
        """End the process that calls with an access key, as a crash would."""
        self._by_key[access_key_id][1].crash()

    def close(self) -> None:
        """End every process of every function, and the threads that deliver to them."""
        self._closed = True
        self.deliveries.stop()
        with self._lock:
            environments, self._environments = self._environments, set()
        for environment in environments:
            environment.close()
        self.deliveries.join()
        self._api.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        if FunctionService.current is self:
            FunctionService.current = None

    def _start(self, function: Any) -> tuple[Environment, FunctionLog]:
        try:
            credentials = self.host.role_environment(function.role, function.function_name)
            log = FunctionLog(self._logs(function.role), function)
        except AccessDenied as error:
            message = f"The role defined for the function cannot be assumed by Lambda. {error}"
            raise LambdaClientError("AccessDeniedException", message) from error
        root = self._unpack(function)
        with self._lock:
            if self._closed:
                raise LambdaClientError("ServiceException", "the laptop's Lambda is being stopped")
            environment = Environment(
                self._api,
                arn=function.function_arn,
                task_root=root,
                scratch=self._folder / "tmp" / uuid.uuid4().hex,
                variables=_variables(function, log.stream) | credentials,
                timeout=float(function.timeout),
            )
            self._environments.add(environment)
            self._by_key[credentials["AWS_ACCESS_KEY_ID"]] = (function.function_name, environment)
        return environment, log

    def _logs(self, role_arn: str) -> Any:
        """Give a logs client of a role; making one takes longer than a warm invocation."""
        made, client = self._log_clients.get(role_arn, (-math.inf, None))
        if time.monotonic() - made > ENVIRONMENT_SECONDS / 2:
            client = self.host.client("logs", role_arn)
            self._log_clients[role_arn] = (time.monotonic(), client)
        return client

    def _end(self, environment: Environment) -> None:
        environment.close()
        with self._lock:
            self._environments.discard(environment)
            self._by_key = {key: held for key, held in self._by_key.items() if held[1] is not environment}

    def _unpack(self, function: Any) -> Path:
        """Unpack the code once; functions read it where it is, as in /var/task."""
        root = self._folder / "task" / f"{function.function_name}-{function.code_digest[:16]}"
        with self._lock:
            if not root.exists():
                partial = root.with_suffix(".partial")
                with zipfile.ZipFile(io.BytesIO(function.code_bytes)) as archive:
                    archive.extractall(partial)
                partial.rename(root)
        return root


def _identity(function: Any) -> object:
    """What an environment was started with: another code or configuration needs another process."""
    return (
        function.code_sha_256,
        function.handler,
        function.role,
        function.timeout,
        function.memory_size,
        json.dumps([function.environment_vars, function.logging_config], sort_keys=True),
    )


def _variables(function: Any, stream: str) -> dict[str, str]:
    """Give the environment variables that Lambda sets, after the function's own."""
    variables = {key: str(value) for key, value in function.environment_vars.items()}
    variables |= {
        "_HANDLER": function.handler,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.run_time}",
        "AWS_LAMBDA_FUNCTION_NAME": function.function_name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
        "AWS_LAMBDA_FUNCTION_VERSION": str(function.version),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": function.logs_group_name,
        "AWS_LAMBDA_LOG_STREAM_NAME": stream,
        "AWS_LAMBDA_LOG_FORMAT": function.logging_config["LogFormat"],
    }
    if level := function.logging_config.get("ApplicationLogLevel"):
        variables["AWS_LAMBDA_LOG_LEVEL"] = level
    return variables
