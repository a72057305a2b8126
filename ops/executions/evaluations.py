"""evaluation.json of an execution's evaluate steps, read as what it is: somebody else's document."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from ops.errors import error_code, error_message
from ops.executions.jobs import property_file_urls
from ops.executions.snapshot import Snapshot

SIZE_LIMIT = 32 << 20  # bytes; 200 classes take about 0.2 MB


@dataclass(frozen=True)
class Evaluation:
    """What evaluation.json says of one model; None or empty for what it does not say."""

    training_type: str
    document: Mapping[str, Any]
    body: bytes

    def metric(self, name: str) -> float | None:
        """Return a metric's value, such as `accuracy` or `macro_f1`."""
        return _number(self._metric(name).get("value"))

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
    parts = urlsplit(url, allow_fragments=False)
    answer = s3.get_object(Bucket=parts.netloc, Key=parts.path.lstrip("/"))
    if answer["ContentLength"] > SIZE_LIMIT:
        raise ValueError(f"{answer['ContentLength']} bytes are more than an evaluation can have")
    body: bytes = answer["Body"].read()
    try:
        document = json.loads(body)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    return Evaluation(training_type, document, body)


def _said(error: ClientError | ValueError) -> str:
    return f"{error_code(error)}: {error_message(error)}" if isinstance(error, ClientError) else str(error)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None
