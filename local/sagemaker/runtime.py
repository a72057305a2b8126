"""What the service runs with: its host, the threads of executions and jobs, the step cache."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from local.engine.cache import StepCache
from local.engine.host import AccessDeniedError, Host
from local.engine.jobs.runner import JobRunner
from local.engine.jobs.session import JobSettings
from local.engine.signals import Signal
from local.sagemaker.errors import LimitExceededError, ValidationError

_JOIN_SECONDS = 60.0
"""Far longer than jobs and executions take to end when they are told to: what is left then is a fault."""


class ServiceRuntime:
    """The moving part of SageMaker; `close` ends everything that moves."""

    def __init__(self, host: Host, settings: JobSettings) -> None:
        self.host = host
        self.jobs = JobRunner(host, settings)
        self.cache = StepCache()
        self.job_ends: dict[str, Signal] = {}
        """By ARN: what the engine waits for."""
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._on_close: list[Callable[[], None]] = []
        self._closed = False

    def arn(self, resource: str) -> str:
        """Return the ARN of a resource such as pipeline/name; SageMaker writes them in lower case."""
        return f"arn:aws:sagemaker:{self.host.region}:{self.host.account}:{resource.lower()}"

    def check_role(self, role_arn: str, source_arn: str) -> None:
        """Raise ValidationError unless SageMaker may assume the role for `source_arn`."""
        try:
            self.host.check_trust(role_arn, "sagemaker", source_arn)
        except AccessDeniedError as error:
            raise ValidationError(
                f"Could not assume role {role_arn}. Please ensure that the role exists and allows principal "
                f"'sagemaker.amazonaws.com' to assume the role."
            ) from error

    def ended(self, arn: str) -> Signal:
        """Return the signal of a job's end; for a job that is not known any more it is set."""
        if known := self.job_ends.get(arn):
            return known
        gone = Signal()
        gone.set()
        return gone

    def spawn(self, name: str, work: Callable[..., None], *arguments: Any) -> None:
        """Run `work` in a thread of its own; refuse when the service ends."""
        thread = threading.Thread(target=work, args=arguments, name=name, daemon=True)
        with self._lock:
            if self._closed:
                raise LimitExceededError("Local AWS is about to end.")
            self._threads = [t for t in self._threads if t.is_alive()]
            thread.start()
            self._threads.append(thread)

    def before_close(self, stop: Callable[[], None]) -> None:
        """Have `stop` called when the service ends, before the jobs are ended."""
        with self._lock:
            self._on_close.append(stop)

    def close(self) -> None:
        """Stop every execution and job, SIGTERM then SIGKILL to their processes, and join the threads.

        Raises:
            RuntimeError: A thread did not end.
        """
        with self._lock:
            self._closed = True
            threads, stops = list(self._threads), list(self._on_close)
        for stop in stops:
            stop()
        self.jobs.close()
        for thread in threads:
            thread.join(_JOIN_SECONDS)
        if stuck := [thread.name for thread in threads if thread.is_alive()]:
            raise RuntimeError(f"These parts of SageMaker did not end: {', '.join(stuck)}")
