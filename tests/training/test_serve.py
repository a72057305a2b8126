"""Serving, started as SageMaker starts it and asked over HTTP: the contract, the limits, the end."""

import base64
import contextlib
import http.client
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.training.cub_layout import picture
from tests.support.training.server import ROOT, SERVE, ModelServer, serving
from tests.support.training.trained_model import preprocessed, run, training_folder
from training import artifact, evaluate
from training.calibration import tempered
from training.data import Channel
from training.paths import Paths
from training.serving import bodies
from training.serving.predictor import DECODING_BYTES, WEBP_PIXEL_BYTES

pytestmark = pytest.mark.slow

IMAGE = "application/x-image"
JSON = "application/json"
PIPELINE = json.loads((ROOT / "pipeline_definition/pipeline.json").read_text())


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return preprocessed(tmp_path_factory.mktemp("preprocess"))


@pytest.fixture(scope="module")
def base(outputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a serving container finds below /opt/ml: the model alone, which it may not change."""
    trained = training_folder(
        tmp_path_factory.mktemp("train"), outputs, learning_rate="0.01", epochs="20", fine_tune_epochs="0"
    )
    run(trained)
    base = tmp_path_factory.mktemp("serve")
    shutil.copytree(trained.model, Paths(base).model)
    for path in (*Paths(base).model.iterdir(), Paths(base).model, base):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return base


@pytest.fixture(scope="module")
def server(base: Path) -> Iterator[ModelServer]:
    with serving(base) as server:
        yield server


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    output = io.BytesIO()
    image.save(output, kind, **options)
    return output.getvalue()


def in_base64(image: bytes) -> str:
    return base64.b64encode(image).decode()


PICTURE = picture(0, 0)
OPENED = Image.open(io.BytesIO(PICTURE))
BODIES = {
    "image/jpeg": PICTURE,
    "image/png": encoded(OPENED, "PNG"),
    "image/webp": encoded(OPENED, "WEBP", lossless=True),
    "image/gif": encoded(OPENED, "GIF"),
    "image/bmp": encoded(OPENED, "BMP"),
    "application/x-image": PICTURE,
    "application/octet-stream": PICTURE,
    "application/json": json.dumps({"image": in_base64(PICTURE)}).encode(),
}


def test_ping_answers_when_the_model_is_loaded(server: ModelServer) -> None:
    assert server.ask("GET", "/ping") == (200, {"status": "ready"})


def test_a_batch_transform_is_told_how_to_ask(server: ModelServer) -> None:
    status, answer = server.ask("GET", "/execution-parameters")
    assert (status, answer["BatchStrategy"], answer["MaxPayloadInMB"]) == (200, "SINGLE_RECORD", 25)
    # SageMaker refuses a job where the product is above 100 MB.
    assert answer["MaxConcurrentTransforms"] * answer["MaxPayloadInMB"] <= 100


@pytest.mark.parametrize("label", [0, 1, 2])
def test_an_image_is_answered_with_its_class_first(server: ModelServer, label: int) -> None:
    predictions = server.classes(picture(label, 99))
    first = predictions[0]
    assert first["class_id"] == label + 1
    assert first["class"].startswith(f"00{label + 1}.")
    probabilities = [prediction["probability"] for prediction in predictions]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("register", ["RegisterSpot", "RegisterOnDemand"])
def test_the_package_says_what_is_taken_and_all_of_it_is(server: ModelServer, register: str) -> None:
    (step,) = [each for each in steps(PIPELINE["Steps"]) if each["Name"] == register]
    specification = step["Arguments"]["InferenceSpecification"]
    assert specification["SupportedContentTypes"] == list(bodies.CONTENT_TYPES) == list(BODIES)
    for kind, body in BODIES.items():
        assert server.classes(body, kind)[0]["class_id"] == 1, kind


def steps(found: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for step in found:
        yield step
        for branch in ("IfSteps", "ElseSteps"):
            yield from steps(step.get("Arguments", {}).get(branch, []))


def test_it_answers_what_evaluation_measured_of_the_trained_model(
    base: Path, outputs: Path, server: ModelServer
) -> None:
    classifier, description = artifact.read_artifact(Paths(base).model)
    test = Channel(outputs / "test")
    logits = evaluate.predict(classifier, description, test)
    assert description.temperature != 1.0
    measured = tempered(logits, description.temperature).softmax(1)
    data = Paths(outputs.parents[1]).processing_input("data")
    originals = {path.name: path for path in data.rglob("*.jpg")}
    assert len(test) > 10
    for entry, expected in zip(test.entries, measured.tolist(), strict=True):
        for each in server.classes(originals[Path(entry.name).name].read_bytes()):
            assert each["probability"] == pytest.approx(expected[each["class_id"] - 1], abs=1e-3)


def test_a_type_may_have_parameters_and_capital_letters(server: ModelServer) -> None:
    assert server.classes(PICTURE, "Image/JPEG; charset=binary")[0]["class_id"] == 1


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("*/*", 200),
        ("application/json; charset=utf-8", 200),
        ("text/html, application/*;q=0.1", 200),
        ("text/csv", 406),
    ],
)
def test_who_takes_no_json_is_told_that_there_is_nothing_else(
    server: ModelServer, accept: str, status: int
) -> None:
    found, answer = server.ask("POST", "/invocations", PICTURE, Content_Type="image/jpeg", Accept=accept)
    assert found == status, answer
    assert status == 200 or answer["error"] == "Accept text/csv: the answer is application/json"


def test_several_images_of_one_body_are_answered_in_their_order(server: ModelServer) -> None:
    labels = [2, 0, 1, 0]
    body = json.dumps({"images": [in_base64(picture(label, 50)) for label in labels]})
    status, answer = server.ask("POST", "/invocations", body, Content_Type="application/json")
    assert status == 200, answer
    assert [predictions[0]["class_id"] - 1 for predictions in answer["predictions"]] == labels


def test_a_body_may_come_in_chunks_without_its_length(server: ModelServer) -> None:
    pieces = (PICTURE[start : start + 100] for start in range(0, len(PICTURE), 100))
    status, answer = server.ask(
        "POST", "/invocations", pieces, chunked=True, Content_Type=IMAGE, Transfer_Encoding="chunked"
    )
    assert (status, answer["predictions"]) == (200, server.classes(PICTURE))


def test_requests_that_meet_in_one_batch_are_answered_as_alone(server: ModelServer) -> None:
    images = [picture(number % 3, number) for number in range(24)]
    alone = [server.classes(image) for image in images]
    for (status, answer), expected in zip(server.together(images), alone, strict=True):
        assert status == 200
        for found, wanted in zip(answer["predictions"], expected, strict=True):
            assert found == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize(
    ("body", "kind", "status", "message"),
    [
        (PICTURE, "text/csv", 415, "Content-Type text/csv: send image/jpeg, image/png"),
        (PICTURE, "", 415, "Content-Type missing: send"),
        (b"not an image", IMAGE, 400, "not a JPEG, PNG, WebP, GIF or BMP image"),
        (PICTURE[:-200], IMAGE, 400, "truncated"),
        (b"", IMAGE, 400, "empty"),
        (picture(0, 0, (4000, 2)), IMAGE, 400, "4000 x 2 pixels: one side is over 20 times"),
        (PICTURE, JSON, 400, "the body is not JSON"),
        (b"[" * 100_000, JSON, 400, "the body is not JSON"),
        (b'{"instances": []}', JSON, 400, 'must be {"image": "<base64>"} or {"images"'),
        (b"3", JSON, 400, 'must be {"image": "<base64>"} or {"images"'),
        (b'{"image": 3}', JSON, 400, "image must be text in base64, not int"),
        (b'{"image": "%%%%"}', JSON, 400, "image is not base64"),
        (b'{"images": []}', JSON, 400, "from 1 to 32 images, not 0"),
        (json.dumps({"images": ["aaaa"] * 33}).encode(), JSON, 400, "from 1 to 32 images, not 33"),
        (
            json.dumps({"images": [in_base64(PICTURE), "aaaa"]}).encode(),
            JSON,
            400,
            "images[1]: not a usable image",
        ),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(
    server: ModelServer, body: bytes, kind: str, status: int, message: str
) -> None:
    content_type: dict[str, Any] = {"Content_Type": kind} if kind else {}
    found, answer = server.ask("POST", "/invocations", body, **content_type)
    assert found == status
    assert message in answer["error"]


def test_too_big_a_body_is_refused_before_it_is_read(server: ModelServer) -> None:
    length = str(bodies.MAX_BODY + 1)
    status, answer = server.ask("POST", "/invocations", b"", Content_Type=IMAGE, Content_Length=length)
    assert (status, answer) == (413, {"error": "26,214,401 bytes are more than the 26,214,400 allowed"})


def test_a_body_in_chunks_is_refused_as_soon_as_it_is_too_big(server: ModelServer) -> None:
    pieces = (b"x" * (1 << 20) for _ in range(27))
    status, _ = server.ask(
        "POST", "/invocations", pieces, chunked=True, Content_Type=IMAGE, Transfer_Encoding="chunked"
    )
    assert status == 413


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (encoded(Image.new("L", (8100, 8100)), "PNG"), "an image may have at most 64,000,000 pixels"),
        (
            encoded(Image.new("RGB", (7000, 7000)), "WEBP", lossless=True, method=0, quality=0),
            f"a WebP image may have at most {DECODING_BYTES // WEBP_PIXEL_BYTES:,} pixels",
        ),
    ],
)
def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(
    server: ModelServer, image: bytes, message: str
) -> None:
    assert server.ask("POST", "/invocations", image, Content_Type=IMAGE) == (413, {"error": message})


@pytest.mark.parametrize(
    "head",
    [
        b"NONSENSE",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1",
        b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5000,
        b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: -1",
        b"POST /invocations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnot a chunk",
    ],
)
def test_what_is_not_http_is_answered_all_the_same(server: ModelServer, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(head + b"\r\n\r\n")
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert (response.status, response.will_close) == (400, True)
        assert json.loads(response.read()) == {"error": "Invalid HTTP request received."}
    assert server.ask("GET", "/ping")[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("POST", "/invoke", 404), ("GET", "/ping/", 404), ("GET", "/invocations", 405)],
)
def test_an_unknown_path_or_method_is_answered_with_the_known_ones(
    server: ModelServer, method: str, path: str, status: int
) -> None:
    found, answer = server.ask(method, path, b"x" if method == "POST" else None)
    assert found == status
    assert "POST /invocations" in answer["error"]


def test_a_connection_goes_on_after_what_it_asked_wrong(server: ModelServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    statuses = []
    for kind in ("text/csv", IMAGE, IMAGE):
        connection.request("POST", "/invocations", PICTURE, {"Content-Type": kind})
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
    connection.close()
    assert statuses == [415, 200, 200]


def request(body: bytes, length: int | None = None) -> bytes:
    head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: {IMAGE}\r\nContent-Length: "
    return f"{head}{len(body) if length is None else length}\r\n\r\n".encode() + body


def test_requests_that_come_without_waiting_are_answered_and_rubbish_after_them_ends_it(
    server: ModelServer,
) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(request(PICTURE) * 2 + b"\x00\xff rubbish\r\n\r\n")
        with connection.makefile("rb") as file:
            answers = file.read()
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert answers.rpartition(b"HTTP/1.1 ")[2].startswith(b"400")


def test_a_client_that_goes_in_the_middle_of_its_body_does_no_harm(server: ModelServer) -> None:
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(request(PICTURE[:500], len(PICTURE)))
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(request(PICTURE))  # and one that waits for no answer
    assert server.classes(PICTURE)[0]["class_id"] == 1


def photograph(width: int, height: int) -> bytes:
    """Draw a JPEG that a camera held upright took: smooth, and to be turned by its EXIF orientation."""
    coarse = np.random.default_rng(7).integers(0, 256, (40, 60, 3), np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6
    return encoded(Image.fromarray(coarse).resize((width, height)), "JPEG", quality=95, exif=turned)


# --- memory ------------------------------------------------------------------------------------------------


def test_many_large_images_at_once_stay_below_a_gigabyte_and_a_half(base: Path) -> None:
    sheet = encoded(Image.new("RGB", (7900, 7850)), "PNG", compress_level=1)
    with serving(base) as server:
        for images in ([photograph(6000, 4000)] * 16, [sheet] * 8):
            assert {status for status, _ in server.together(images)} == {200}
            assert server.peak_memory() < 1_500_000_000


# --- the beginning and the end -----------------------------------------------------------------------------


def test_at_sigterm_what_is_under_way_is_answered_and_the_exit_code_is_0(base: Path) -> None:
    slow = photograph(4000, 3000)
    with serving(base) as server, contextlib.ExitStack() as stack:

        def connect() -> socket.socket:
            return stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60))

        idle = connect()
        idle.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(4096).startswith(b"HTTP/1.1 200 ")  # and its connection stays open
        asking = [connect() for _ in range(8)]
        for connection in asking:
            connection.sendall(request(slow))
        time.sleep(0.3)  # until they are read
        os.kill(server.process.pid, signal.SIGTERM)
        responses = [http.client.HTTPResponse(connection) for connection in asking]
        for response in responses:
            response.begin()
            assert len(json.loads(response.read())["predictions"]) == 3
        assert server.process.wait(30) == 0
        with pytest.raises(ConnectionRefusedError):
            server.ask("GET", "/ping")
    assert [response.status for response in responses] == [200] * 8


def test_at_sigterm_a_body_that_never_ends_is_not_waited_for(base: Path) -> None:
    code = (
        "import sys; from training import serve; serve.GRACE_SECONDS = 1; sys.exit(serve.main(sys.argv[1:]))"
    )
    with (
        serving(base, ("-c", code, "--host", "127.0.0.1")) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection,
    ):
        connection.sendall(request(PICTURE[:500], len(PICTURE)))
        time.sleep(0.3)  # until it is read
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 15


def test_who_says_nothing_or_stops_in_its_body_is_let_go(base: Path) -> None:
    code = (
        "import sys; from training import serve; from training.serving import bodies; "
        "bodies.BODY_SECONDS = 1; sys.exit(serve.main(sys.argv[1:]))"
    )
    with serving(base, ("-c", code, "--host", "127.0.0.1")) as server, contextlib.ExitStack() as stack:
        silent, half_a_head, half_a_body = (
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
            for _ in range(3)
        )
        half_a_head.sendall(b"GET /ping HTTP/1.1\r\nHost")
        half_a_body.sendall(request(PICTURE[:500], len(PICTURE)))
        assert silent.recv(4096) == half_a_head.recv(4096) == b""
        response = http.client.HTTPResponse(half_a_body)
        response.begin()
        assert (response.status, response.will_close) == (408, True)
        assert json.loads(response.read()) == {"error": "the body did not come within 1 s"}
        assert half_a_body.recv(4096) == b""
        assert server.ask("GET", "/ping")[0] == 200


def test_image_serve_listens_on_the_port_sagemaker_names_and_writes_nothing(base: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    before = sorted(base.rglob("*"))
    with serving(base, port=port) as server:
        assert server.port == port
        assert server.classes(PICTURE)[0]["class_id"] == 1
        assert server.stop() == 0
    assert sorted(base.rglob("*")) == before


def failed(base: Path, *arguments: str) -> str:
    """Serve what cannot be served: exit code 1, and one line that says why."""
    done = subprocess.run(
        [sys.executable, *SERVE, *arguments],
        cwd=ROOT,
        env={**os.environ, "SAGEMAKER_BASE_DIR": str(base), "SAGEMAKER_BIND_TO_PORT": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    (line,) = done.stderr.splitlines()
    return line


def test_a_model_that_cannot_be_read_ends_it_with_one_reason(base: Path, tmp_path: Path) -> None:
    assert (
        failed(tmp_path) == f"error: the model is incomplete: {tmp_path}/model/model.safetensors is missing"
    )
    model = Paths(tmp_path).model
    shutil.copytree(Paths(base).model, model)
    model.chmod(0o755)
    description = json.loads((model / "model.json").read_text())
    (model / "model.json").chmod(0o644)
    (model / "model.json").write_text(json.dumps(description | {"image_size": "224"}))
    assert failed(tmp_path) == (
        f"error: model.json of {model} is not a model's description: "
        "image_size is '224'; it must be a whole number from 32 to 1024"
    )
    assert (tmp_path / "output/failure").read_text().startswith("model.json of")


def test_a_port_that_is_taken_ends_it_before_the_model_is_read(base: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert failed(base / "nowhere", "--port", port).startswith(
            f"error: cannot listen on 127.0.0.1 port {port}: "
        )
