"""Answer the question which class an image shows: SageMaker's serving contract over plain HTTP.

    python -m training.serve --host 127.0.0.1 --port 8080      (in a container: image serve)

GET /ping                    200 when the model is loaded, 503 before
POST /invocations            body: one image, or JSON with images in base64
GET /execution-parameters    how a batch transform asks

    {"predictions": [{"class": "013.Bobolink", "class_id": 13, "probability": 0.97}, ...]}

The model lies unpacked in /opt/ml/model. SIGTERM ends the server with exit code 0, when what it was asked is
answered. docs/serving.md says what is taken and how much of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Sequence

import uvicorn
from starlette.applications import Starlette

from training import job
from training.allocator import keep_memory
from training.artifact import read_artifact
from training.paths import Paths
from training.serving.app import InferenceService, Protocol
from training.serving.predictor import Predictor, Queue

EVERYWHERE = "0.0.0.0"  # noqa: S104 - a container has its own network; SageMaker calls it from outside
WAITING_CONNECTIONS = 128
"""Which the kernel keeps until they are accepted: more than SageMaker opens at once."""
GRACE_SECONDS = 20
"""For answers under way at SIGTERM; SageMaker sends SIGKILL 30 s after it."""


class InferenceServer:
    """uvicorn with the model that it loads while it answers already that it is not ready."""

    def __init__(self, paths: Paths, listening: socket.socket, stop: job.StopRequest) -> None:
        self._paths = paths
        self._socket = listening
        self._stop = stop
        self._service = InferenceService()
        self._error: Exception | None = None
        self._uvicorn = uvicorn.Server(
            uvicorn.Config(
                self._service.app(self._lifespan),
                http=Protocol,
                lifespan="on",
                ws="none",
                loop="asyncio",
                log_config=None,
                backlog=WAITING_CONNECTIONS,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )

    def run(self) -> None:
        """Serve until a signal; raise what kept the model from being loaded."""
        with contextlib.suppress(KeyboardInterrupt):
            self._uvicorn.run(sockets=[self._socket])
        if self._error:
            raise self._error

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        loading = asyncio.create_task(self._load())
        yield
        await loading

    async def _load(self) -> None:
        try:
            predictor = await asyncio.to_thread(lambda: Predictor(*read_artifact(self._paths.model)))
        except Exception as error:  # noqa: BLE001 - raised again by run, when the server has ended
            self._error = error
            self._uvicorn.should_exit = True
            return
        self._service.queue = Queue(predictor)
        host, port = self._socket.getsockname()[:2]
        print(f"serving on {host}:{port}", flush=True)
        # It came before uvicorn waited for it.
        self._uvicorn.should_exit |= self._stop.requested


class _WithoutHealthChecks(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every line but those of /ping, which comes every few seconds."""
        return '"GET /ping ' not in record.getMessage()


def serve(paths: Paths, argv: Sequence[str] | None) -> None:
    """Load the model, then answer until SIGTERM."""
    parser = job.ArgumentParser(prog="python -m training.serve", description=(__doc__ or "").splitlines()[0])
    port = os.environ.get("SAGEMAKER_BIND_TO_PORT") or "8080"
    parser.add_argument(
        "--host", default=EVERYWHERE, help="the address to listen on; 127.0.0.1 for this machine"
    )
    parser.add_argument("--port", type=int, default=port, help="the port; SAGEMAKER_BIND_TO_PORT, or 8080")
    arguments = parser.parse_args(argv)
    stop = job.StopRequest.on_sigterm()
    _log_to_stdout()
    keep_memory()
    try:
        listening = socket.create_server((arguments.host, arguments.port))
    except (OSError, OverflowError) as error:
        raise job.JobError(f"cannot listen on {arguments.host} port {arguments.port}: {error}") from error
    with listening:
        InferenceServer(paths, listening, stop).run()


def _log_to_stdout() -> None:
    logging.basicConfig(stream=sys.stdout, level=logging.WARNING, format="%(message)s")
    access = logging.getLogger("uvicorn.access")
    access.setLevel(logging.INFO)
    access.addFilter(_WithoutHealthChecks())


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a container does and return the exit code."""
    paths = Paths.from_environment()
    return job.run(lambda: serve(paths, argv), paths.failure)


if __name__ == "__main__":
    sys.exit(main())
