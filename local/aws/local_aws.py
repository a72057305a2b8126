"""Start and stop local AWS, and make clients for it; what it holds is in memory and gone afterwards.

MiniStack keeps its state and its settings in module globals, so every LocalAWS is a process of its own
(`local.aws.server`). It ends when its standard input does: nothing stays behind when this process is killed.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
import botocore.session
from botocore.config import Config

from local.engine.host import AccessDeniedError
from local.engine.jobs.session import JobSettings

ADDRESS = "127.0.0.1"
_CLOSE_SECONDS = 90.0
"""More than the server gives its jobs, executions and functions to end."""
_REPOSITORY = Path(__file__).absolute().parents[2]
_TRUSTS_NOBODY = Path(__file__).absolute().with_name("trusts_nobody.pem")


class PortTakenError(Exception):
    """The port asked for belongs to another program."""


class ServerEndedError(Exception):
    """The server of local AWS ended although nobody asked it to."""


class LocalAWS:
    """A small AWS on loopback; a context manager."""

    def __init__(
        self,
        *,
        work_dir: Path,
        port: int = 0,
        iam: bool = True,
        jobs: JobSettings | None = None,
        faults: int | None = None,
        schedule_speed: float | None = None,
        region: str = "us-east-1",
        account: str = "123456789012",
        notes: Iterable[str] = (),
        without: Iterable[str] = (),
    ) -> None:
        """Prepare local AWS; entering the context starts it.

        `faults` is the seed of what goes wrong, `schedule_speed` how many times faster than on AWS time
        passes for schedules, `notes` what the page for a browser says of each execution, and `without` names
        adapters to leave out: so the tests see whether MiniStack still needs them.
        """
        self.work_dir = work_dir.absolute()
        self.region = region
        self.account = account
        self.endpoint_url = ""
        """http://localhost:<port>, known once the server is entered."""
        self.page_url = ""
        """What a browser opens; whoever knows it may do everything, in this run."""
        self._port = port
        self._settings = {
            "region": region,
            "account": account,
            "work_dir": str(self.work_dir),
            "iam": iam,
            "faults": faults,
            "schedule_speed": schedule_speed,
            "notes": list(notes),
            "without": sorted(without),
            "jobs": asdict(jobs or JobSettings()),
        }
        self._keys = ("", "")
        self._session = _session()
        self._clients: dict[str, Any] = {}
        """The administrator's, by service: to make one takes a tenth of a second. Threads may share them."""
        self._lock = threading.Lock()
        self._undo = ExitStack()
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Start the server on fresh state; raises PortTakenError, with what to do about it."""
        self.work_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._clients.clear()
        with ExitStack() as undo:
            listener = undo.enter_context(_listen(self._port))
            port = listener.getsockname()[1]
            self.endpoint_url = f"http://localhost:{port}"
            self._process = _start(self._environment_of_server(port), listener.fileno())
            undo.callback(self._stop)
            started = self._ask(self._settings | {"descriptor": listener.fileno()})
            self._keys, self.page_url = tuple(started["keys"]), started["page_url"]
            listener.close()
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the jobs, the functions and the server; harmless when it was done already."""
        self._undo.close()

    def wait(self) -> None:
        """Wait for the server's end, which comes when it is killed; raises ServerEndedError then."""
        if self._process is not None:
            code = self._process.wait()
            raise ServerEndedError(
                f"local AWS ended by itself with exit code {code}; what it said, if anything, stands above"
            )

    @property
    def process_id(self) -> int | None:
        """The server's process, None while there is none."""
        return self._process.pid if self._process else None

    def environment(self) -> dict[str, str]:
        """Return the environment of an AWS client that works as the administrator, and asks nobody else."""
        return client_environment(self.endpoint_url, self.region, *self._keys) | at_home()

    def client(
        self,
        service: str,
        role_arn: str | None = None,
        *,
        trusted: str | None = None,
        source_arn: str | None = None,
    ) -> Any:
        """Return a boto3 client that calls as `role_arn`, or the administrator's, made once, when None.

        With `trusted`, the role must trust that service (such as sagemaker, acting for `source_arn`); else
        raises AccessDenied.
        """
        if role_arn is not None:
            variables = self.role_environment(role_arn, "local", trusted=trusted, source_arn=source_arn)
            with self._lock:
                return make_client(self._session, service, variables)
        with self._lock:
            if service not in self._clients:
                self._clients[service] = make_client(self._session, service, self.environment())
            return self._clients[service]

    def role_environment(
        self, role_arn: str, session_name: str, *, trusted: str | None = None, source_arn: str | None = None
    ) -> dict[str, str]:
        """Return the AWS_* environment of a process that runs with temporary credentials of `role_arn`.

        Raises AccessDenied unless the role's trust policy lets the service assume it, as for `client`.
        """
        answer = self._ask(
            {"ask": "role", "role": role_arn, "name": session_name, "trusted": trusted, "source": source_arn}
        )
        if "denied" in answer:
            raise AccessDeniedError(answer["denied"])
        return dict(answer["environment"])

    def cease_faults(self) -> None:
        """Let nothing go wrong any more; what is late already still comes late."""
        self._ask({"ask": "cease"})

    def is_idle(self) -> bool:
        """Return whether no function runs and no event is on its way to one; told with `faults` alone."""
        return bool(self._ask({"ask": "idle"})["idle"])

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Send the server a line, and return the line that it answers."""
        with self._lock:
            process = self._process
            if process is None or process.stdin is None or process.stdout is None:
                raise RuntimeError("local AWS is not running: enter its context first")
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(json.dumps(question) + "\n")
                process.stdin.flush()
            line = process.stdout.readline()
        if not line:
            code = process.wait()
            raise ServerEndedError(
                f"local AWS ended by itself with exit code {code}; what it said, if anything, stands above"
            )
        answer: dict[str, Any] = json.loads(line)
        if "refused" in answer:
            raise RuntimeError(answer["refused"])
        return answer

    def _environment_of_server(self, port: int) -> dict[str, str]:
        """Return the server's environment, which functions inherit: nothing of this process's but PATH.

        MiniStack reads its settings from here, once, when it is imported.
        """
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.work_dir),
            "TMPDIR": str(self.work_dir),
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            # No profile of whoever sits here, for clients that functions make.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AUTH": "true",
            "BIND_HOST": ADDRESS,
            "GATEWAY_PORT": str(port),
            "MINISTACK_HOST": "localhost",
            "MINISTACK_ACCOUNT_ID": self.account,
            "MINISTACK_REGION": self.region,
            "LAMBDA_EXECUTOR": "local",
            "LOG_LEVEL": "ERROR",
            # Both would listen on every interface.
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            # The first of two waits of a failed event, the second is twice as long; AWS: 1 and 2 minutes.
            "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "0.3",
        }

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        try:
            process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise RuntimeError(
                f"local AWS did not end within {_CLOSE_SECONDS:.0f} s and was killed"
            ) from None
        finally:
            if process.stdout:
                process.stdout.close()


def client_environment(
    endpoint_url: str, region: str, access_key_id: str, secret_access_key: str, token: str = ""
) -> dict[str, str]:
    """Return the AWS_* variables of a client of local AWS with these keys."""
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": access_key_id,
        "AWS_SECRET_ACCESS_KEY": secret_access_key,
        # Empty rather than absent: a token left over in somebody's shell would not fit these keys.
        "AWS_SESSION_TOKEN": token,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def at_home() -> dict[str, str]:
    """Return the variables that keep a person's AWS clients on this machine, whatever a profile says."""
    return {
        # A profile that says "true" would lead every request to AWS itself.
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
        # Some operations put a word before the host's name: sync-localhost may be a machine of somebody's.
        "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
        # Local AWS speaks no TLS. What asks AWS itself in spite of AWS_ENDPOINT_URL fails before it has sent
        # a request, and the local keys with it.
        "AWS_CA_BUNDLE": str(_TRUSTS_NOBODY),
    }


def make_client(session: Any, service: str, environment: dict[str, str]) -> Any:
    """Return a boto3 client of local AWS with the endpoint and keys of `environment`."""
    # Nothing is lost on the way to this machine; waiting and asking again would only hide a defect.
    settings = Config(
        retries={"total_max_attempts": 1},
        max_pool_connections=32,
        proxies={},
        s3={"addressing_style": "path"},
        signature_version="s3v4" if service == "s3" else None,
        inject_host_prefix=False,
    )
    return session.client(
        service,
        region_name=environment["AWS_REGION"],
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        config=settings,
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=environment["AWS_SESSION_TOKEN"] or None,
    )


def _session() -> Any:
    """Return a boto3 session that reads no profile; one for all, because the models take time to read."""
    nothing = dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None))
    return boto3.session.Session(
        botocore_session=botocore.session.Session({**nothing, "profile": (None, None, None, None)})
    )


def _listen(port: int) -> socket.socket:
    """Return a socket that holds the port; the server goes on listening on it, so nobody takes it between."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ADDRESS, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
            raise
        raise PortTakenError(
            f"port {port} of {ADDRESS} cannot be used ({error.strerror}): stop the program that listens "
            "there, or choose another port; port 0 takes any that is free"
        ) from error
    return listener


def _start(environment: dict[str, str], descriptor: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "local.aws.server"],
        cwd=_REPOSITORY,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        pass_fds=[descriptor],
        # A terminal's Ctrl-C is for this process alone, which then ends the server in order.
        start_new_session=True,
    )
