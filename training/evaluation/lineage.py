"""What a model was made from and how fast it is: facts of its evaluation beside the numbers."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from training.artifact import ModelDescription, WeightsFile
from training.augmentation import CentreCrop
from training.backbones import InputFormat
from training.checkpoint import code_version
from training.data import Channel
from training.model import choose_device
from training.paths import Paths, read_json

UNKNOWN = "unknown"
"""Where a fact is not known: a model package's properties take no empty text."""
LICENCES = {"efficientnet_lite": "Apache-2.0"}
"""Of pretrained weights, by how a backbone's name begins; of those from the channel `pretrained` only whoever
brought them knows it.
"""
WARM_UPS = 3
"""Images before those that are timed: the first ones wait for memory and for the choice of algorithms."""
MOST_TIMED, MOST_SECONDS = 40, 5.0
"""Images that are timed: two of them lie beyond the 95th percentile; fewer where that takes too long."""


@dataclass(frozen=True)
class EvaluationJob:
    """What SageMaker tells an evaluation about itself; None for what it does not, as in a run by hand."""

    arn: str | None = None
    image: str | None = None
    model_url: str | None = None

    @classmethod
    def read(cls, paths: Paths) -> EvaluationJob:
        """Read the configuration that SageMaker lays into a processing job's container."""
        if not paths.processing_job.exists():
            return cls()
        told = read_json(paths.processing_job, "the processing job's configuration")
        inputs = [_object(each) for each in told.get("ProcessingInputs") or []]
        model = next((each for each in inputs if each.get("InputName") == "model"), {})
        return cls(
            _text(told.get("ProcessingJobArn")),
            _text(_object(told.get("AppSpecification")).get("ImageUri")),
            _text(_object(model.get("S3Input")).get("S3Uri")),
        )


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def lineage(description: ModelDescription, weights: WeightsFile, job: EvaluationJob) -> dict[str, str]:
    """Return what the model comes from, every fact as text: a model package's properties are texts."""
    licences = (name for begin, name in LICENCES.items() if description.backbone.startswith(begin))
    return {
        "backbone": description.backbone,
        "pretrained_sha256": description.pretrained_digest,
        "pretrained_licence": next(licences, UNKNOWN),
        "weights_sha256": weights.sha256,
        "data_digest": description.data_digest,
        "training_code_sha256": description.code_digest,
        "evaluation_code_sha256": code_version(),
        "image": job.image or UNKNOWN,
    }


def this_job(network: nn.Module, form: InputFormat, crop: CentreCrop, test: Channel, arn: str | None) -> Any:
    """Measure how long an image takes alone, from its pixels to its logits, and say on what."""
    device = choose_device()
    taken: list[float] = []
    started = time.perf_counter()
    with torch.inference_mode():
        for number in range(WARM_UPS + MOST_TIMED):
            if number > WARM_UPS and time.perf_counter() - started > MOST_SECONDS:
                break
            pixels = test.pixels(number % len(test))
            begun = time.perf_counter()
            network(form.normalise(crop(pixels)[None].to(device))).cpu()  # which waits for a GPU
            taken.append(1000 * (time.perf_counter() - begun))
    timed = sorted(taken[WARM_UPS:])
    return {
        "arn": arn,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "latency": {
            "images": len(timed),
            "median_milliseconds": statistics.median(timed),
            "p95_milliseconds": timed[min(len(timed) - 1, round(0.95 * len(timed)))],
        },
    }
