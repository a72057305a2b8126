"""Start, watch and end the container of a job: a process here for our image, `docker run` for others."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.engine.jobs.folder import JobFolder
from local.engine.jobs.records import JobFailedError

REPOSITORY = Path(__file__).resolve().parents[3]
DEFAULT_ENTRYPOINT = ("python", "-m", "training")
"""Our image's own entry point, for a request that names none."""
POLL_SECONDS = 0.01
"""Between two looks at running containers: a look costs little, and a job that ends is noticed at once."""
SIDE_BY_SIDE = {"OMP_WAIT_POLICY": "PASSIVE"}
"""What lets jobs share the cores: a thread of PyTorch without work leaves its core to the others."""
_DOCKER_SECONDS = 30.0
"""A daemon that has not said its version by then does not answer."""
_DOCKER_FAILED = 125
"""The exit code of `docker run` when docker itself failed; a container's own is passed on."""
_GUARD = 'read -r _; kill -s KILL -- "-$1"; shift; "$@"'
"""Waits for the end of its input, which is the end of this process even by SIGKILL, and kills a container."""

_ECR = re.compile(r"([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/(.+)")
_CDK_ASSETS = "container-assets"


@dataclass(frozen=True)
class ContainerRequest:
    """What a container is started from."""

    name: str
    image: str
    entrypoint: Sequence[str]
    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: JobFolder
    network: bool


class Container:
    """A running container: the process, all that it started, and the way to end it."""

    def __init__(
        self, process: subprocess.Popen[bytes], folder: JobFolder, docker_name: str | None = None
    ) -> None:
        self._process = process
        self.folder = folder
        self._in_docker = docker_name is not None
        self._kill_docker = [_docker(), "kill", docker_name] if docker_name else []
        try:
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "sh", str(process.pid), *self._kill_docker],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # a terminal's Ctrl-C is not meant for it
            )
        except OSError:
            self._signal(signal.SIGKILL)
            raise

    def poll(self) -> int | None:
        """Return the exit code as a shell would (128 + signal), None while it runs."""
        code = self._process.poll()
        return 128 - code if code is not None and code < 0 else code

    def failure(self, reason: str) -> JobFailedError:
        """Make the failure of the job whose container this is; `reason` is what the container said."""
        code = self.poll()
        if self._in_docker and code == _DOCKER_FAILED:
            return JobFailedError(
                f"ClientError: docker could not run the job's image: see job logs, exit code: {code}"
            )
        return JobFailedError(f"AlgorithmError: {reason}, exit code: {code}")

    def terminate(self) -> None:
        """Ask it to end, as SageMaker does before it takes the instance away."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and everything it started; leaves nothing behind when it has ended by itself."""
        if self._kill_docker and self._process.poll() is None:
            subprocess.run(self._kill_docker, capture_output=True, check=False)
        self._signal(signal.SIGKILL)
        self._process.wait()
        for pid in _strays(self.folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # Not by the end of its input: the group's number may be another's by then.
        self._guard.kill()
        self._guard.communicate()

    def _signal(self, number: signal.Signals) -> None:
        # The process leads its group: its workers get the signal even when it is gone.
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            return  # nothing is left of the group (macOS answers EPERM for one of zombies)


def is_own_image(image: str, own_images: Sequence[str]) -> bool:
    """Return whether `image` is the repository's own, which a process of this machine can stand for."""
    repository = repository_name(image)
    return _CDK_ASSETS in repository or image in own_images or repository in map(repository_name, own_images)


def repository_name(image: str) -> str:
    """Return the repository part of an image URI: no registry, tag or digest."""
    match = _ECR.fullmatch(image)
    name = match.group(3) if match else image
    return re.sub(r"(:[\w.-]+)?(@sha256:[0-9a-f]+)?$", "", name)


def repository_arn(image: str) -> str | None:
    """Return the ARN of an image's ECR repository, None for another registry."""
    if not (match := _ECR.fullmatch(image)):
        return None
    return f"arn:aws:ecr:{match.group(2)}:{match.group(1)}:repository/{repository_name(image)}"


def start_container(
    request: ContainerRequest, own_images: Sequence[str], source: str = str(REPOSITORY)
) -> Container:
    """Start a job's container, its output going to the folder's log; raise JobFailedError where it cannot.

    A process that stands for our own image runs the modules below `source`.
    """
    own = is_own_image(request.image, own_images)
    if not own:
        _raise_without_docker()
    command = _process_command(request) if own else _docker_command(request)
    environment = _process_environment(request, source) if own else dict(os.environ)
    try:
        with request.folder.log.open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=request.folder.ml,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Container(process, request.folder, None if own else request.name)
    except OSError as error:
        raise JobFailedError(f"ClientError: The container cannot be started:{command[0]}: {error}") from error


def stop_containers(containers: Sequence[Container], grace: float, hurry: threading.Event) -> None:
    """End all containers: SIGTERM, `grace` seconds (cut short by `hurry`), SIGKILL."""
    for container in containers:
        if container.poll() is None:
            container.terminate()
    end = time.monotonic() + grace
    while time.monotonic() < end and not hurry.is_set() and any(c.poll() is None for c in containers):
        time.sleep(POLL_SECONDS)
    kill_containers(containers)


def kill_containers(containers: Sequence[Container]) -> None:
    """End whatever is left of the containers, workers of ended ones included."""
    for container in containers:
        container.kill()


def _strays(folder: JobFolder) -> list[int]:
    """Return the processes of the folder's container that left its group; Linux alone can tell."""
    mark = f"SAGEMAKER_BASE_DIR={folder.ml}".encode()
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        # Gone meanwhile, or somebody else's.
        with contextlib.suppress(OSError):
            if mark in (place / "environ").read_bytes().split(b"\0"):
                found.append(int(place.name))
    return found


def _process_command(request: ContainerRequest) -> list[str]:
    entrypoint = [*request.entrypoint] or [*DEFAULT_ENTRYPOINT]
    if entrypoint[0] in ("python", "python3"):
        entrypoint[0] = sys.executable
    return [request.folder.translate(word) for word in (*entrypoint, *request.arguments)]


def _process_environment(request: ContainerRequest, source: str) -> dict[str, str]:
    """Return what the image would set: nothing of this machine's environment but PATH."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(request.folder.home),
        "LANG": "C.UTF-8",
        "TMPDIR": str(request.folder.temporary),
        "PYTHONPATH": source,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        **SIDE_BY_SIDE,
        **{name: request.folder.translate(value) for name, value in request.environment.items()},
        "SAGEMAKER_BASE_DIR": str(request.folder.ml),
    }


def _docker_command(request: ContainerRequest) -> list[str]:
    entrypoint = [*request.entrypoint]
    variables = [f"--env={name}={value}" for name, value in request.environment.items()]
    return [
        _docker(),
        "run",
        "--rm",
        f"--name={request.name}",
        f"--user={os.getuid()}:{os.getgid()}",  # so that what it writes can be removed
        f"--network={'host' if request.network else 'none'}",
        f"--volume={request.folder.ml}:/opt/ml",
        *variables,
        *([f"--entrypoint={entrypoint[0]}"] if entrypoint else []),
        request.image,
        *entrypoint[1:],
        *request.arguments,
    ]


def _raise_without_docker() -> None:
    """Raise JobFailedError unless Docker answers: `docker run` would end as if the job had failed."""
    asked = [_docker(), "version", "--format", "{{.Server.Version}}"]
    try:
        answer = subprocess.run(
            asked,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_DOCKER_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        said = f"nothing in {_DOCKER_SECONDS:.0f} seconds"
    else:
        if answer.returncode == 0:
            return
        said = " ".join(answer.stderr.split()) or f"exit code {answer.returncode}"
    raise JobFailedError(
        "ClientError: The job's image is not this repository's own, and Docker, which would run it, does not "
        f"answer ({said}). Start Docker, or set the deployed stack's image as TrainingImageUri."
    )


def _docker() -> str:
    path = shutil.which("docker")
    if path is None:
        raise JobFailedError(
            "ClientError: The job's image is not this repository's own, and there is no docker command "
            "here to run it with. Install Docker, or set the deployed stack's image as TrainingImageUri."
        )
    return path
