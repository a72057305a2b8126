"""A model that answers on this machine: the container's own code, started as a process."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ops.errors import OpsError

SOURCE = Path(__file__).resolve().parents[2]
"""Where the container's code lies, beside this package."""
NEEDED = ("training", "torch", "uvicorn")
POLL_SECONDS = 0.1
ANSWER_SECONDS = 60  # as SageMaker waits
READY = re.compile(r"^serving on 127\.0\.0\.1:(\d+)$", re.MULTILINE)


def check_installed() -> None:
    """Raise an OpsError where the container's code cannot run here."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise OpsError(
            f"{missing[0]} is not installed, which the model needs to answer: "
            "pip install 'cv-training-pipeline[training]'"
        )


@contextmanager
def serving(base: Path) -> Iterator[int]:
    """Serve the model in `base`/model until the end of the block; yield the port on this machine."""
    log = base / "serve.log"
    command = [sys.executable, "-m", "training", "serve", "--host", "127.0.0.1", "--port", "0"]
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(base)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=SOURCE,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a terminal's Ctrl-C is ours; we end it
        )
    try:
        yield _port(process, log)
    finally:
        process.terminate()
        process.wait()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    """Wait until the model is loaded."""
    while process.poll() is None:
        if found := READY.search(log.read_text(errors="replace")):
            return int(found[1])
        time.sleep(POLL_SECONDS)
    said = log.read_text(errors="replace").strip() or f"exit code {process.returncode}"
    raise OpsError(f"the model cannot be served: {said.splitlines()[-1].removeprefix('error: ')}")


def ask(port: int, name: str, image: bytes) -> list[dict[str, Any]]:
    """Return the most probable classes of an image, best first; a refusal calls it by its name."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        connection.request("POST", "/invocations", image, {"Content-Type": "application/x-image"})
        response = connection.getresponse()
        answer = json.loads(response.read())
    except (OSError, http.client.HTTPException) as error:
        raise OpsError(f"{name}: the model does not answer: {error!r}") from error
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise OpsError(f"{name}: {answer['error']}")
    predictions: list[dict[str, Any]] = answer["predictions"]
    return predictions
