"""Serving: /ping, /invocations and plain answers to wrong requests."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.training.cub_layout import picture
from tests.support.training.trained_model import preprocessed, run, training_folder
from training import serve
from training.artifact import read_artifact
from training.paths import Paths

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outputs = preprocessed(tmp_path_factory.mktemp("preprocess"))
    paths = training_folder(tmp_path_factory.mktemp("train"), outputs, learning_rate="0.01", epochs="10")
    run(paths)
    return paths.model


@pytest.fixture(scope="module")
def port(model: Path) -> Iterator[int]:
    server = serve.InferenceServer(("127.0.0.1", 0), serve.Predictor(*read_artifact(model)))
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def ask(
    port: int, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(
            method, path, body, {name.replace("_", "-"): value for name, value in headers.items()}
        )
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_ping_answers_when_the_model_is_loaded(port: int) -> None:
    assert ask(port, "GET", "/ping")[0] == 200


@pytest.mark.parametrize("label", [0, 1, 2])
def test_an_image_is_answered_with_its_class_first(port: int, label: int) -> None:
    status, answer = ask(port, "POST", "/invocations", picture(label, 99), Content_Type="application/x-image")
    assert status == 200
    first = answer["predictions"][0]
    assert first["class_id"] == label + 1
    assert first["class"].startswith(f"00{label + 1}.")
    probabilities = [prediction["probability"] for prediction in answer["predictions"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("body", "kind", "status", "message"),
    [
        (picture(0, 0), "application/json", 415, "application/x-image"),
        (b"not an image", "application/x-image", 400, "not a JPEG, PNG, WebP, GIF or BMP image"),
        (picture(0, 0)[:-200], "application/x-image", 400, "truncated"),
        (b"", "application/x-image", 400, "empty"),
        (picture(0, 0, (4000, 2)), "application/x-image", 400, "4000 x 2 pixels: one side is over 20 times"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(
    port: int, body: bytes, kind: str, status: int, message: str
) -> None:
    found, answer = ask(port, "POST", "/invocations", body, Content_Type=kind)
    assert found == status
    assert message in answer["error"]


def test_too_big_a_body_is_refused_before_it_is_read(port: int) -> None:
    headers = {"Content_Type": "application/x-image", "Content_Length": str(serve.MAX_BODY + 1)}
    assert ask(port, "POST", "/invocations", b"", **headers)[0] == 413


def test_a_length_of_thousands_of_digits_is_answered(port: int) -> None:
    headers = {"Content_Type": "application/x-image", "Content_Length": "9" * 5000}
    assert ask(port, "POST", "/invocations", b"", **headers)[0] == 411


@pytest.mark.parametrize(
    ("sent", "status"), [(b"NONSENSE", b"400"), (b"GET /" + b"a" * 70_000 + b" HTTP/1.1", b"414")]
)
def test_what_is_not_http_is_answered_all_the_same(port: int, sent: bytes, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(sent + b"\r\n\r\n")
        assert status in connection.recv(4096)


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("POST", "/invoke")])
def test_an_unknown_path_is_answered_with_the_known_ones(port: int, method: str, path: str) -> None:
    status, answer = ask(port, method, path, b"x" if method == "POST" else None)
    assert status == 404
    assert "/invocations" in answer["error"]


def test_image_serve_listens_on_the_port_sagemaker_names_and_stops_at_sigterm(
    model: Path, tmp_path: Path
) -> None:
    shutil.copytree(model, Paths(tmp_path).model)
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(tmp_path), "SAGEMAKER_BIND_TO_PORT": "0"}
    command = [sys.executable, "-m", "training", "serve", "--host", "127.0.0.1"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        assert line.startswith("serving on 127.0.0.1:")
        assert ask(int(line.strip().rpartition(":")[2]), "GET", "/ping")[0] == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
