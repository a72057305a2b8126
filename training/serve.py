"""Answer the question which class an image shows: SageMaker's serving contract over plain HTTP.

    python -m training.serve --host 127.0.0.1 --port 8080      (in a container: image serve)

GET /ping            200 when the model is loaded
POST /invocations    body: one image, Content-Type application/x-image (or image/jpeg, image/png)
                     {"predictions": [{"class": "013.Bobolink", "class_id": 13, "probability": 0.97}, ...]}

The model lies unpacked in /opt/ml/model. SIGTERM ends the server with exit code 0.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType
from typing import Any

import numpy as np
import torch

from image_data import decoding
from image_data.errors import UnreadableImageError
from training import job
from training.artifact import ModelDescription, read_artifact
from training.data import CentreCrop
from training.model import Classifier, choose_device
from training.paths import Paths

CONTENT_TYPES = ("application/x-image", "image/jpeg", "image/png")
MAX_BODY = 25 << 20
"""The largest payload that a real-time endpoint takes, in bytes."""

LENGTH_DIGITS = 19  # of a Content-Length that is a number at all; Python refuses to read thousands of digits
TOP = 5
"""The classes of an answer, as many as top-5 accuracy counts."""
EVERYWHERE = "0.0.0.0"  # noqa: S104 - a container has its own network; SageMaker calls it from outside


class RequestError(Exception):
    """A request that is answered with this status and message."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Predictor:
    """The model with its input's preparation."""

    def __init__(self, classifier: Classifier, description: ModelDescription) -> None:
        self._device = choose_device()
        self._classifier = classifier.to(self._device)
        self._crop = CentreCrop(description.image_size, description.crop_fraction)
        self._classes = sorted(description.classes, key=lambda entry: int(entry["label"]))
        self._one_at_a_time = threading.Lock()  # torch already uses every core for one image

    def predict(self, body: bytes) -> list[dict[str, Any]]:
        """Return the most probable classes of one encoded image, best first."""
        try:
            image = decoding.decode(body)
        except UnreadableImageError as error:
            raise RequestError(HTTPStatus.BAD_REQUEST, f"the body is not a usable image: {error}") from error
        # As in Preprocess, so that serving sees what training saw.
        small = decoding.shrink(image, round(self._crop.size / self._crop.crop_fraction))
        pixels = self._crop(torch.from_numpy(np.array(small)).permute(2, 0, 1), 0)[None].to(self._device)
        with self._one_at_a_time, torch.inference_mode():
            logits = self._classifier(self._classifier.input_format.normalise(pixels))[0]
            best = logits.softmax(0).topk(min(TOP, len(self._classes)))
        return [
            {
                "class": self._classes[label]["name"],
                "class_id": self._classes[label]["class_id"],
                "probability": round(probability, 6),
            }
            for probability, label in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]


class Handler(BaseHTTPRequestHandler):
    """One connection; the server holds the predictor."""

    protocol_version = "HTTP/1.1"
    server: InferenceServer
    timeout = 60  # seconds that a silent client may keep a thread

    def do_GET(self) -> None:
        """Answer the health check."""
        if self.path == "/ping":
            self._answer(HTTPStatus.OK, {"status": "ready"})
        else:
            self._refuse(
                RequestError(HTTPStatus.NOT_FOUND, f"no {self.path} here: GET /ping, POST /invocations")
            )

    def do_POST(self) -> None:
        """Answer with predictions, or say what is wrong with the request."""
        try:
            if self.path != "/invocations":
                raise RequestError(HTTPStatus.NOT_FOUND, f"no {self.path} here: GET /ping, POST /invocations")
            self._answer(HTTPStatus.OK, {"predictions": self.server.predictor.predict(self._body())})
        except RequestError as error:
            self._refuse(error)

    def _body(self) -> bytes:
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind not in CONTENT_TYPES:
            message = f"Content-Type {kind or 'missing'}: send one image as {', '.join(CONTENT_TYPES)}"
            raise RequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message)
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or len(length) > LENGTH_DIGITS:
            raise RequestError(HTTPStatus.LENGTH_REQUIRED, "send the image's size as Content-Length")
        if int(length) > MAX_BODY:
            message = f"{int(length):,} bytes are more than the {MAX_BODY:,} allowed"
            raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
        if int(length) == 0:
            raise RequestError(HTTPStatus.BAD_REQUEST, "the body is empty: send one JPEG or PNG image")
        return self.rfile.read(int(length))

    def _refuse(self, error: RequestError) -> None:
        self.close_connection = True  # an unread body must not be taken for the next request
        self._answer(error.status, {"error": error.message})

    def _answer(self, status: HTTPStatus, document: dict[str, Any]) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        """Log every request but the health checks."""
        if getattr(self, "path", "") != "/ping":  # a request that cannot be parsed has no path
            print(f"{self.address_string()} {format % args}", flush=True)


class InferenceServer(ThreadingHTTPServer):
    """The HTTP server with the predictor that its handlers ask."""

    daemon_threads = True
    request_queue_size = 128  # connections that may wait for a thread; socketserver's 5 drops bursts

    def __init__(self, address: tuple[str, int], predictor: Predictor) -> None:
        super().__init__(address, Handler)
        self.predictor = predictor


def serve(paths: Paths, argv: Sequence[str] | None) -> None:
    """Load the model, then answer until SIGTERM."""
    parser = job.ArgumentParser(prog="python -m training.serve", description=(__doc__ or "").splitlines()[0])
    port = os.environ.get("SAGEMAKER_BIND_TO_PORT") or "8080"
    parser.add_argument(
        "--host", default=EVERYWHERE, help="the address to listen on; 127.0.0.1 for this machine"
    )
    parser.add_argument("--port", type=int, default=port, help="the port; SAGEMAKER_BIND_TO_PORT, or 8080")
    arguments = parser.parse_args(argv)
    predictor = Predictor(*read_artifact(paths.model))
    try:
        server = InferenceServer((arguments.host, arguments.port), predictor)
    except (OSError, OverflowError) as error:
        raise job.JobError(f"cannot listen on {arguments.host} port {arguments.port}: {error}") from error

    def stop(_signal: int, _frame: FrameType | None) -> None:
        threading.Thread(target=server.shutdown).start()  # shutdown waits for the loop, which is this thread

    signal.signal(signal.SIGTERM, stop)
    print(f"serving on {arguments.host}:{server.server_port}", flush=True)
    with server:
        server.serve_forever()


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a container does and return the exit code."""
    paths = Paths.from_environment()
    job.stop_at_sigterm()  # until the model is loaded
    return job.run(lambda: serve(paths, argv), paths.failure)


if __name__ == "__main__":
    sys.exit(main())
