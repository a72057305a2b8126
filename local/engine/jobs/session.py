"""What one job has while it runs: clients of its role, its folders, its image, its containers."""

from __future__ import annotations

import logging
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.engine.host import AccessDeniedError, Host
from local.engine.jobs.container import (
    POLL_SECONDS,
    REPOSITORY,
    Container,
    ContainerRequest,
    is_own_image,
    kill_containers,
    repository_arn,
    start_container,
    stop_containers,
)
from local.engine.jobs.folder import JobFolder
from local.engine.jobs.log import LogFollower, LogStream, log_refused
from local.engine.jobs.metrics import JobMetrics
from local.engine.jobs.records import JobFailedError, JobRecord, JobStoppedError
from local.engine.jobs.transfer import Transfer

_LOG = logging.getLogger(__name__)
_PULL_ACTIONS = ("ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage")


@dataclass(frozen=True)
class JobSettings:
    """How local AWS runs jobs, where that differs from SageMaker; times in seconds. All of it is JSON."""

    interruptions: int = 1
    """How often each managed spot training job loses its instance; 0 for never."""
    own_images: Sequence[str] = ()
    """Images that a process of this machine stands for, beside those CDK built."""
    source: str = str(REPOSITORY)
    """The folder with the modules that our own image's process runs."""
    stop_grace: float = 10.0
    """Between SIGTERM and SIGKILL; SageMaker waits 120 s."""
    close_grace: float = 2.0
    """The same when the whole service ends."""
    checkpoint_interval: float = 1.0
    log_interval: float = 0.5
    keep_folders: bool = False
    """Leave the jobs' folders for a look."""


class Ending(Enum):
    """Why the containers of a job are no longer running."""

    EXITED = "exited"
    STOPPED = "stopped"
    OUT_OF_TIME = "out of time"
    INTERRUPTED = "interrupted"


class JobSession:
    """One job's means; `closing` is set when the service ends."""

    def __init__(
        self, host: Host, settings: JobSettings, job: JobRecord, log_group: str, closing: threading.Event
    ) -> None:
        self.host = host
        self.settings = settings
        self.job = job
        self.role_arn: str = job.request["RoleArn"]
        self.closing = closing
        # A name may come again: as a job of the other kind, or after the job was deleted.
        self.root = host.work_dir / "jobs" / f"{job.name}-{secrets.token_hex(4)}"
        self._log_group = log_group
        self._clients: list[Any] = []
        self._folders: list[JobFolder] = []
        self._logs = self.client("logs")
        self.transfer = Transfer(self.client("s3"), self.role_arn, host.region, self.stopped)

    def client(self, service: str) -> Any:
        """Return a client that calls as the job's role; raise JobFailedError if nobody may assume it."""
        try:
            client = self.host.client(service, self.role_arn)
        except (ClientError, BotoCoreError, AccessDeniedError) as error:
            raise JobFailedError(
                f"ClientError: Cannot assume the job's role {self.role_arn}:{error}"
            ) from error
        self._clients.append(client)
        return client

    def stopped(self) -> bool:
        """Whether the job is to stop, by request or because the service ends."""
        return self.job.stop_requested.is_set() or self.closing.is_set()

    def raise_if_stopped(self) -> None:
        """Raise JobStopped when the job is to stop."""
        if self.stopped():
            raise JobStoppedError

    def authorize_pull(self, image: str) -> None:
        """Raise JobFailed unless the job's role may pull the image from its ECR repository."""
        arn = repository_arn(image)
        if arn is None:
            return
        try:
            self.host.authorize(self.role_arn, "ecr:GetAuthorizationToken", "*")
            for action in _PULL_ACTIONS:
                self.host.authorize(self.role_arn, action, arn)
        except AccessDeniedError as error:
            raise JobFailedError(
                f"ClientError: The job's image {image} cannot be pulled: AccessDenied: {error}"
            ) from error

    def folder(self, *parts: str) -> JobFolder:
        """Make the folder of one container."""
        folder = JobFolder(self.root.joinpath(*parts))
        folder.create()
        self._folders.append(folder)
        return folder

    def as_in_container(self, text: str) -> str:
        """Return a text with the paths that the job's containers would have for those of its folders."""
        for folder in self._folders:
            text = folder.as_in_container(text)
        return text

    def close(self) -> None:
        """Close the connections and remove the folders."""
        for client in self._clients:
            client.close()
        self.remove_folders()

    def remove_folders(self) -> None:
        """Remove everything the job left on this machine's disk."""
        if self.settings.keep_folders or not self.root.exists():
            return
        try:
            shutil.rmtree(self.root)
        except OSError as error:
            _LOG.warning("%s stays on the disk: %s", self.root, error)

    def environment(self, variables: Mapping[str, str], *, network: bool) -> dict[str, str]:
        """Return a container's variables: the request's, `variables`, and credentials unless isolated."""
        region = {"AWS_REGION": self.host.region, "AWS_DEFAULT_REGION": self.host.region}
        credentials = self.host.role_environment(self.role_arn, self.job.name[:64]) if network else {}
        return {**region, **credentials, **(self.job.request.get("Environment") or {}), **variables}

    def start(
        self, requests: Sequence[ContainerRequest], metrics: JobMetrics | None = None
    ) -> RunningContainers:
        """Start the job's containers, one for each host, with their logs."""
        containers: list[Container] = []
        followers: list[LogFollower] = []
        try:
            for number, request in enumerate(requests, 1):
                stream = self._log_stream(number)
                containers.append(start_container(request, self.settings.own_images, self.settings.source))
                interval, folder = self.settings.log_interval, request.folder
                # A container of Docker's knows no other paths.
                own = is_own_image(request.image, self.settings.own_images)
                told = folder.as_in_container if own else str
                followers.append(LogFollower(folder.log, stream, interval, metrics, told))
        except BaseException:
            kill_containers(containers)
            raise
        return RunningContainers(self, containers, followers)

    def _log_stream(self, number: int) -> LogStream:
        stream = LogStream(self._logs, self._log_group, f"{self.job.name}/algo-{number}-{int(time.time())}")
        try:
            stream.open()
        except (ClientError, BotoCoreError) as error:
            raise log_refused(error) from error
        return stream


class RunningContainers:
    """The containers of one attempt of a job; leaving the context ends whatever still runs."""

    def __init__(
        self, session: JobSession, containers: Sequence[Container], followers: Sequence[LogFollower]
    ) -> None:
        self._session = session
        self._containers = containers
        self._followers = followers

    def __enter__(self) -> RunningContainers:
        return self

    def __exit__(self, *_: object) -> None:
        kill_containers(self._containers)

    def wait(
        self, deadline: float, ticks: Sequence[Callable[[], None]], interrupted: Callable[[], bool] | None
    ) -> tuple[Ending, Container | None]:
        """Wait until all have ended, by themselves or not; return why, and the container that failed first.

        `deadline` is a time.monotonic(); one container that fails ends the others.
        """
        ending, failed = self._watch(deadline, ticks, interrupted)
        if ending is not Ending.EXITED:
            settings = self._session.settings
            closing = self._session.closing.is_set()
            grace = settings.close_grace if closing else settings.stop_grace
            # Nothing hurries the end of a service that is closing already.
            hurry = threading.Event() if closing else self._session.closing
            stop_containers(self._containers, grace, hurry)
        kill_containers(self._containers)
        for follower in self._followers:
            follower.finish()
        return ending, failed

    def _watch(
        self, deadline: float, ticks: Sequence[Callable[[], None]], interrupted: Callable[[], bool] | None
    ) -> tuple[Ending, Container | None]:
        while True:
            # Noted now: the others are killed for it, or fail because it is gone.
            failed = next((container for container in self._containers if container.poll()), None)
            if failed or all(container.poll() is not None for container in self._containers):
                return Ending.EXITED, failed
            if self._session.stopped():
                return Ending.STOPPED, None
            if time.monotonic() >= deadline:
                return Ending.OUT_OF_TIME, None
            if interrupted and interrupted():
                return Ending.INTERRUPTED, None
            for follower in self._followers:
                follower.tick()
            for tick in ticks:
                tick()
            time.sleep(POLL_SECONDS)
