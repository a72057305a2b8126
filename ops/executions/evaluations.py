"""evaluation.json of an execution's evaluate steps, read as what it is: somebody else's document."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from ops.errors import error_code, error_message
from ops.executions.jobs import property_file_urls
from ops.executions.snapshot import Snapshot

PREDICTIONS = "predictions.csv"
COUNTS = ("images", "first_called_second", "second_called_first")
BIN = ("lower", "upper", "images", "confidence", "accuracy")
SIZE_LIMIT = 32 << 20  # bytes; 200 classes take about 0.2 MB


MISTAKES = 24  # that a page shows
PICTURE_LIMIT = 64 << 10  # bytes of one of their JPEGs
PICTURES_LIMIT = 512 << 10  # of all of them, so that a page of two models stays below 2 MB
PAIRS = 5  # of classes, that a page names
SLICES = 8  # that a page shows, each of so many groups
PICTURE_NAME = re.compile(r"mistakes/[A-Za-z0-9_-]{1,64}\.jpg")
"""What a picture is called beside evaluation.json: nothing that leads elsewhere."""
JPEG = b"\xff\xd8\xff"
READERS = 8  # of pictures at once


@dataclass(frozen=True)
class CalibrationBin:
    """The images to which the model gave a probability from `lower` to `upper`."""

    lower: float
    upper: float
    images: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Mistake:
    """A test image that the model called by a wrong name; `picture` is a JPEG, None where there is none."""

    image: str
    true: str
    predicted: str
    probability: float | None
    file: str
    picture: bytes | None = None
    looked: bytes | None = None
    """A JPEG of where the network looked (Grad-CAM)."""


@dataclass(frozen=True)
class ConfusedPair:
    """Two classes that the model takes for each other."""

    first: str
    second: str
    images: int
    first_called_second: int
    second_called_first: int
    rate: float | None
    """The share of the two classes' images that it happened to."""


@dataclass(frozen=True)
class SliceGroup:
    """The images whose measure is from `lower` to `upper`."""

    lower: float
    upper: float
    images: int
    accuracy: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Slice:
    """The accuracy by one measure of the images, such as `box_area_share`."""

    by: str
    groups: tuple[SliceGroup, ...]


@dataclass(frozen=True)
class Latency:
    """How long one image takes alone, in milliseconds, on what."""

    median: float
    p95: float
    images: int
    device: str
    threads: int


@dataclass(frozen=True)
class Evaluation:
    """What evaluation.json says of one model; None or empty for what it does not say."""

    training_type: str
    document: Mapping[str, Any]
    body: bytes
    url: str = ""
    """Where evaluation.json is."""
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    """The JPEGs of its mistakes, by the names that the document has for them, once they were asked for."""

    def metric(self, name: str) -> float | None:
        """Return a metric's value, such as `accuracy` or `macro_f1`."""
        return _number(self._metric(name).get("value"))

    @property
    def metric_names(self) -> list[str]:
        """Name the metrics that have a value, as the document orders them."""
        return [name for name in self._metrics if self.metric(name) is not None]

    def interval(self, name: str) -> tuple[float, float] | None:
        """Return the bounds of a metric's confidence interval."""
        interval = _mapping(self._metric(name).get("confidence_interval"))
        lower, upper = _number(interval.get("lower")), _number(interval.get("upper"))
        return None if lower is None or upper is None else (lower, upper)

    @property
    def images(self) -> int | None:
        """Return how many images the model was tested on."""
        count = _number(_mapping(self.document.get("dataset")).get("item_count"))
        return None if count is None else int(count)

    @property
    def confusion(self) -> dict[str, dict[str, int]]:
        """Return the confusion matrix: {true class: {predicted class: images}}."""
        rows = _mapping(self._metrics.get("confusion_matrix"))
        return {
            true: {name: int(n) for name, count in _mapping(row).items() if (n := _number(count))}
            for true, row in rows.items()
        }

    @property
    def classes(self) -> dict[str, Mapping[str, Any]]:
        """Return precision, recall, f1 and support by class name."""
        return {name: _mapping(row) for name, row in _mapping(self.document.get("classes")).items()}

    @property
    def data_digest(self) -> str | None:
        """Return the digest of the data set that the test images are of."""
        digest = _mapping(self.document.get("dataset")).get("digest")
        return digest if isinstance(digest, str) else None

    @property
    def calibration_error(self) -> float | None:
        """Return the expected calibration error: how far probabilities are off on average, 0 to 1."""
        return _number(_mapping(self.document.get("calibration")).get("expected_calibration_error"))

    @property
    def calibration_bins(self) -> list[CalibrationBin]:
        """Return how often the model was right where it was about as sure."""
        listed = _list(_mapping(self.document.get("calibration")).get("bins"))
        rows = [[_number(_mapping(row).get(name)) for name in BIN] for row in listed[:100]]
        return [
            CalibrationBin(lower, upper, int(images), confidence, accuracy)
            for lower, upper, images, confidence, accuracy in (
                [value for value in row if value is not None] for row in rows if None not in row
            )
            if images > 0 and all(0 <= value <= 1 for value in (lower, upper, confidence, accuracy))
        ]

    @property
    def mistakes(self) -> list[Mistake]:
        """Return the surest mistakes, as the document lists them, 24 at most."""
        found = [_mapping(row) for row in _list(self.document.get("mistakes"))[:MISTAKES]]
        return [
            Mistake(
                image=str(row.get("image", "")),
                true=str(row.get("true", "")),
                predicted=str(row.get("predicted", "")),
                probability=_number(row.get("probability")),
                file=str(row.get("file", "")),
                picture=self.pictures.get(str(row.get("file", ""))),
                looked=self.pictures.get(str(row.get("grad_cam"))),
            )
            for row in found
        ]

    @property
    def confused_pairs(self) -> list[ConfusedPair]:
        """Return the pairs of classes most often taken for each other, 5 at most."""
        pairs = []
        for each in _list(self.document.get("confused_pairs"))[:PAIRS]:
            row = _mapping(each)
            names = _list(row.get("classes"))
            counts = [_number(row.get(name)) for name in COUNTS]
            if len(names) == 2 and None not in counts:
                images, there, back = (int(count or 0) for count in counts)
                pairs.append(
                    ConfusedPair(str(names[0]), str(names[1]), images, there, back, _number(row.get("rate")))
                )
        return pairs

    @property
    def slices(self) -> list[Slice]:
        """Return the accuracy by box size and shape, as far as the document tells it."""
        found = []
        for each in _list(self.document.get("slices"))[:SLICES]:
            row = _mapping(each)
            groups = tuple(_groups(_list(row.get("groups"))[:SLICES]))
            if isinstance(row.get("by"), str) and groups:
                found.append(Slice(str(row["by"]), groups))
        return found

    @property
    def temperature(self) -> float | None:
        """Return the temperature that the probabilities were made with."""
        return _number(_mapping(self.document.get("calibration")).get("temperature"))

    def before_calibration(self, name: str) -> float | None:
        """Return `expected_calibration_error`, `log_loss` or `brier_score` without the temperature."""
        calibration = _mapping(self.document.get("calibration"))
        return _number(_mapping(calibration.get("before")).get(name))

    @property
    def parameters(self) -> int | None:
        """Return how many parameters the network has."""
        return _whole(_mapping(self.document.get("size")).get("parameters"))

    @property
    def weights_bytes(self) -> int | None:
        """Return how large the file of weights is."""
        return _whole(_mapping(self.document.get("size")).get("weights_bytes"))

    @property
    def latency(self) -> Latency | None:
        """Return how long an image took in the evaluation's job."""
        job = _mapping(self.document.get("this_job"))
        told = _mapping(job.get("latency"))
        median, p95 = _number(told.get("median_milliseconds")), _number(told.get("p95_milliseconds"))
        images, threads = _whole(told.get("images")), _whole(job.get("threads"))
        if median is None or p95 is None or not images or threads is None:
            return None
        return Latency(median, p95, images, str(job.get("device", "")), threads)

    @property
    def lineage(self) -> Mapping[str, str]:
        """Return what the model comes from: digests, backbone and licence by name."""
        told = _mapping(self.document.get("lineage"))
        return {str(name): value for name, value in told.items() if isinstance(value, str)}

    @property
    def no_grad_cam(self) -> str | None:
        """Say why there are no pictures of where the network looked."""
        reason = _mapping(self.document.get("grad_cam")).get("reason")
        return reason if isinstance(reason, str) else None

    @property
    def predictions_file(self) -> str | None:
        """Name the file beside evaluation.json that has a row for each test image."""
        return PREDICTIONS if self.document.get("predictions") == PREDICTIONS else None

    @property
    def _metrics(self) -> Mapping[str, Any]:
        return _mapping(self.document.get("multiclass_classification_metrics"))

    def _metric(self, name: str) -> Mapping[str, Any]:
        return _mapping(self._metrics.get(name))


def read(sagemaker: Any, s3: Any, snapshot: Snapshot) -> tuple[dict[str, Evaluation], list[str]]:
    """Read the evaluations by training type, and say of each that is not there why."""
    found, missing = {}, []
    for planned in snapshot.execution.plan:
        if not planned.property_files:
            continue
        step = snapshot.execution.step(planned.name)
        if step is None or step.status != "Succeeded":
            state = f"is {step.status}" if step else "has not run"
            missing.append(f"no evaluation of {planned.training_type}: step {planned.name} {state}")
            continue
        for url in property_file_urls(sagemaker, snapshot.execution, step):
            try:
                found[planned.training_type] = fetch(s3, url, planned.training_type)
            except (ClientError, ValueError) as error:
                missing.append(f"no evaluation of {planned.training_type}: {url}: {_said(error)}")
    return found, missing


def fetch(s3: Any, url: str, training_type: str) -> Evaluation:
    """Read one evaluation.json; ValueError when it is no JSON object or larger than 32 MB."""
    answer = open_object(s3, url)
    if answer["ContentLength"] > SIZE_LIMIT:
        raise ValueError(f"{answer['ContentLength']} bytes are more than an evaluation can have")
    body: bytes = answer["Body"].read()
    try:
        document = json.loads(body)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    return Evaluation(training_type, document, body, url)


def with_pictures(s3: Any, evaluation: Evaluation) -> Evaluation:
    """Read the JPEGs of an evaluation's mistakes from beside it, leaving out what is none or too large."""
    rows = [_mapping(row) for row in _list(evaluation.document.get("mistakes"))[:MISTAKES]]
    said = [str(row.get(kind)) for row in rows for kind in ("file", "grad_cam")]
    names = list(dict.fromkeys(name for name in said if PICTURE_NAME.fullmatch(name)))
    with ThreadPoolExecutor(READERS) as pool:
        bodies = list(pool.map(lambda name: _picture(s3, beside(evaluation.url, name)), names))
    kept: dict[str, bytes] = {}
    for name, body in zip(names, bodies, strict=True):
        if body and sum(map(len, kept.values())) + len(body) <= PICTURES_LIMIT:
            kept[name] = body
    return replace(evaluation, pictures=kept)


def open_object(s3: Any, url: str) -> dict[str, Any]:
    """Ask for an object by its s3:// URL, and return the answer with its body unread."""
    parts = urlsplit(url, allow_fragments=False)
    answer: dict[str, Any] = s3.get_object(Bucket=parts.netloc, Key=parts.path.lstrip("/"))
    return answer


def beside(url: str, name: str) -> str:
    """Return the URL of a file in the folder of evaluation.json."""
    return f"{url.rpartition('/')[0]}/{name}"


def _picture(s3: Any, url: str) -> bytes | None:
    try:
        answer = open_object(s3, url)
    except ClientError:
        return None  # the mistake is listed without a picture
    if answer["ContentLength"] > PICTURE_LIMIT:
        return None
    body: bytes = answer["Body"].read()
    return body if body.startswith(JPEG) else None


def _said(error: ClientError | ValueError) -> str:
    return f"{error_code(error)}: {error_message(error)}" if isinstance(error, ClientError) else str(error)


def _groups(rows: list[Any]) -> Iterator[SliceGroup]:
    for row in map(_mapping, rows):
        lower, upper, accuracy = (_number(row.get(name)) for name in ("lower", "upper", "accuracy"))
        images, interval = _whole(row.get("images")), _mapping(row.get("confidence_interval"))
        bounds = _number(interval.get("lower")), _number(interval.get("upper"))
        shares = [each for each in (accuracy, *bounds) if each is not None]
        if lower is None or upper is None or accuracy is None or not images:
            continue
        if all(0 <= each <= 1 for each in shares):
            whole = (bounds[0], bounds[1]) if bounds[0] is not None and bounds[1] is not None else None
            yield SliceGroup(lower, upper, images, accuracy, whole)


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # JSON's whole numbers have no largest
        return None
    return number if math.isfinite(number) else None
