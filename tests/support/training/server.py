"""A server of a model as SageMaker starts it: `image serve`, and what a client asks it over HTTP."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
SERVE = ("-m", "training", "serve", "--host", "127.0.0.1")


class ModelServer:
    """A running `image serve`."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port = process, port

    def ask(
        self, method: str, path: str, body: Any = None, *, chunked: bool = False, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """Ask once, on a connection of its own: the status and the JSON of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named, encode_chunked=chunked)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def classes(self, body: bytes, kind: str = "application/x-image") -> list[dict[str, Any]]:
        """Return the classes of an image."""
        status, answer = self.ask("POST", "/invocations", body, Content_Type=kind)
        assert status == 200, answer
        predictions: list[dict[str, Any]] = answer["predictions"]
        return predictions

    def together(self, bodies: list[bytes]) -> list[tuple[int, dict[str, Any]]]:
        """Ask for all at once: the answers in the order of the bodies."""
        answers: dict[int, tuple[int, dict[str, Any]]] = {}

        def ask(place: int, body: bytes) -> None:
            answers[place] = self.ask("POST", "/invocations", body, Content_Type="application/x-image")

        threads = [threading.Thread(target=ask, args=each) for each in enumerate(bodies)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [answers[place] for place in range(len(bodies))]

    def peak_memory(self) -> int:
        """Return the most that was resident at once, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1]) * 1024

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextmanager
def serving(base: Path, command: tuple[str, ...] = SERVE, port: int = 0) -> Iterator[ModelServer]:
    """Serve the model in `base`/model until the end of the block."""
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(base), "SAGEMAKER_BIND_TO_PORT": str(port)}
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        log = threading.Thread(target=process.stdout.read)  # a full pipe would hold it up
        try:
            line = process.stdout.readline()
            assert line.startswith("serving on 127.0.0.1:"), line + process.stdout.read()
            log.start()
            yield ModelServer(process, int(line.strip().rpartition(":")[2]))
        finally:
            process.kill()
            if log.is_alive():
                log.join()
