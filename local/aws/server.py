"""The laptop's AWS: moto behind a gate on loopback, with the parts that moto lacks put in.

    with LocalAWS(work_dir=Path("work")) as aws:
        aws.client("s3").create_bucket(Bucket="example")

Everything is in memory and gone afterwards. moto's state belongs to the process, so only one LocalAWS can be
open at a time; opening another one later starts afresh.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import string
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
import botocore.session
from botocore.config import Config
from moto.core.base_backend import BackendDict
from moto.core.model_instances import reset_model_data
from moto.iam.models import iam_backends
from moto.moto_server import werkzeug_app
from moto.sqs import models as sqs_models

from local.aws import (
    authorization,
    cloudformation,
    dashboard_repairs,
    event_rules,
    events,
    functions,
    iam_repairs,
    kms_repairs,
    logs_repairs,
    s3_encryption,
    s3_repairs,
    sagemaker,
    sqs_repairs,
)
from local.aws.authorization import Authorizer
from local.aws.faults import SPEED, Faults
from local.aws.gate import Gate
from local.aws.http_server import LoopbackServer
from local.aws.identities import ADMINISTRATOR, Identities
from local.aws.request_context import Requirement
from local.engine.jobs.container import REPOSITORY
from local.engine.jobs.session import JobSettings

_EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
_SESSION_SECONDS = 12 * 60 * 60
_ONE_AT_A_TIME = threading.Lock()
"""Held by the LocalAWS that is open, because moto's backends are the process's."""


class LocalAWS:
    """A small AWS on loopback; a context manager, and the `Host` of its own services."""

    def __init__(
        self,
        *,
        work_dir: Path,
        port: int = 0,
        iam: bool = True,
        interruptions: int = 1,
        source: Path = REPOSITORY,
        faults: int | None = None,
        region: str = "us-east-1",
        account: str = "123456789012",
    ) -> None:
        self.work_dir = work_dir
        self.region = region
        self.account = account
        self.endpoint_url = ""
        """http://localhost:<port>, known once the server is entered."""
        self.faults = None if faults is None else Faults(faults)
        """What goes wrong, if anything is to."""
        self._port = port
        self._iam = iam
        self._jobs = JobSettings(interruptions=interruptions, source=source)
        self._identities = Identities(account, region)
        self._authorizer = Authorizer(self._identities, account=account, region=region)
        self._keys = ("", "")
        self._session = _session()
        self._session_lock = threading.Lock()
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        """Start the server on fresh state; raises PortTakenError, with what to do about it."""
        if not _ONE_AT_A_TIME.acquire(blocking=False):
            raise RuntimeError("another LocalAWS is open in this process: close it first, moto has one state")
        with ExitStack() as undo:
            undo.callback(_ONE_AT_A_TIME.release)
            self._start(undo)
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the services and the server; harmless when it was done already."""
        self._undo.close()

    def environment(self) -> dict[str, str]:
        """Give the environment of an AWS client that works as the administrator."""
        return self._environment(*self._keys)

    def write_env_file(self, path: Path) -> None:
        """Write `environment()` to a file for `set -a; . FILE` and for dotenv readers, with mode 0600."""
        lines = [f'{name}="{value}"\n' for name, value in self.environment().items()]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.touch(mode=0o600, exist_ok=False)
        path.write_text("".join(lines), encoding="utf-8")

    def client(
        self,
        service: str,
        role_arn: str | None = None,
        *,
        trusted: str | None = None,
        source_arn: str | None = None,
    ) -> Any:
        """Make a boto3 client that calls as `role_arn`, or as the administrator when None.

        The role must trust the service `trusted` (such as sagemaker, acting for `source_arn`), or any service
        of the laptop when that is None; else raises AccessDenied.
        """
        given = self.environment()
        if role_arn is not None:
            given = self.role_environment(role_arn, "local", trusted=trusted, source_arn=source_arn)
        # Nothing is lost on the way to this machine; waiting and asking again would only hide a defect.
        settings = Config(
            retries={"total_max_attempts": 1},
            max_pool_connections=32,
            proxies={},
            signature_version="s3v4" if service == "s3" else None,
        )
        with self._session_lock:
            return self._session.client(
                service,
                region_name=self.region,
                endpoint_url=self.endpoint_url,
                config=settings,
                aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
                aws_session_token=given["AWS_SESSION_TOKEN"] or None,
            )

    def role_environment(
        self, role_arn: str, session_name: str, *, trusted: str | None = None, source_arn: str | None = None
    ) -> dict[str, str]:
        """Give the AWS_* environment of a process that runs with temporary credentials of `role_arn`.

        Raises AccessDenied unless the role's trust policy lets the service assume it, as for `client`.
        """
        if self._iam:
            self._authorizer.check_trust(role_arn, service=trusted, source_arn=source_arn)
        session = self._identities.open_session(role_arn, session_name[:64], _SESSION_SECONDS)
        return self._environment(session.access_key_id, session.secret_access_key, session.session_token)

    def authorize(
        self, role_arn: str, action: str, resource: str, context: Mapping[str, str | list[str]] | None = None
    ) -> None:
        """Raise AccessDenied unless `role_arn` may do `action` on `resource`; nothing when IAM is off."""
        if self._iam:
            self._authorizer.check_role(role_arn, Requirement(action, resource, context or {}))

    def _environment(self, access_key_id: str, secret_access_key: str, token: str = "") -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": access_key_id,
            "AWS_SECRET_ACCESS_KEY": secret_access_key,
            # Empty rather than absent: a token left over in somebody's shell would not fit these keys.
            "AWS_SESSION_TOKEN": token,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def _start(self, undo: ExitStack) -> None:
        """Bring everything up, and note in `undo` how to take it down again."""
        self.work_dir.mkdir(parents=True, exist_ok=True)
        _reset()
        undo.callback(_reset)
        authorizer = self._authorizer if self._iam else None
        more = {"interfere": self.faults.call} if self.faults else {}
        gate = Gate(_moto(), self._identities, authorizer, account=self.account, **more)
        server = LoopbackServer(self._port, gate)
        undo.callback(_close, server)
        self.endpoint_url = f"http://localhost:{server.port}"
        server.start()
        self._install(undo)
        self._keys = self._make_administrator()

    def _install(self, undo: ExitStack) -> None:
        """Put in what moto lacks, before anything uses the backends that are replaced."""
        # First: the events of uploads are sent around it.
        s3_encryption.install()
        services: list[Any] = [
            cloudformation.install(self),
            events.install(self, self.faults),
            functions.install(self),
            event_rules.install(self, speed=SPEED if self.faults else 1.0),
            sagemaker.install(self, settings=self._jobs),
        ]
        for service in services:
            undo.callback(service.close)
        authorization.install()
        iam_repairs.install()
        s3_repairs.install()
        dashboard_repairs.install()
        kms_repairs.install()
        logs_repairs.install()
        sqs_repairs.install()

    def _make_administrator(self) -> tuple[str, str]:
        """Make a user that may do everything, with keys that no other run has."""
        iam = iam_backends[self.account]["aws"]
        iam.create_user(self.region, ADMINISTRATOR)
        iam.put_user_policy(ADMINISTRATOR, "everything", json.dumps(_EVERYTHING))
        key = iam.create_access_key(ADMINISTRATOR)
        # moto's random numbers are made for tests and can be seeded.
        key.secret_access_key = "".join(
            secrets.choice(string.ascii_letters + string.digits) for _ in range(40)
        )
        return key.access_key_id, key.secret_access_key


def _moto() -> Any:
    """Make moto's WSGI application, without its answers to other origins."""
    werkzeug_app.DISABLE_GLOBAL_CORS = True
    return werkzeug_app.DomainDispatcherApplication(werkzeug_app.create_backend_app)


def _close(server: LoopbackServer) -> None:
    """Close the server; whoever waits for messages of a queue is let go now, not after up to 20 s."""
    clock = sqs_models.unix_time
    sqs_models.unix_time = lambda *_: math.inf
    try:
        server.close()
    finally:
        sqs_models.unix_time = clock


def _session() -> Any:
    """Make a boto3 session that reads no profile; one for all, because the models take time to read."""
    nothing = dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None))
    return boto3.session.Session(
        botocore_session=botocore.session.Session({**nothing, "profile": (None, None, None, None)})
    )


def _reset() -> None:
    """Forget everything that moto holds."""
    BackendDict.reset()
    reset_model_data()
