"""The steps EvaluateSpot and EvaluateOnDemand: measure a model on images nothing else has seen.

    python -m training.evaluate --training-type Spot

Reads model/model.tar.gz, test and manifest below /opt/ml/processing/input and writes to output evaluation:

    predictions.csv     the answer for each test image
    mistakes/000.jpg    and so on: the images of the surest wrong answers, small; 000-grad-cam.jpg beside it
                        shows where a convolutional network looked
    model-card.json     what is known of the model, as SageMaker's model cards have it
    evaluation.json     written last; multiclass_classification_metrics.accuracy.value decides registration
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from training import job
from training.allocator import keep_memory
from training.artifact import ModelDescription, read_archive
from training.augmentation import CentreCrop
from training.data import Channel, Loader, batches_of
from training.evaluation.gradcam import heat, last_feature_map, overlay
from training.evaluation.lineage import EvaluationJob, lineage, this_job
from training.evaluation.metrics import (
    brier_score,
    calibration,
    class_report,
    classification_metrics,
    confused_pairs,
    confusion_matrix,
    log_loss,
)
from training.evaluation.model_card import CARD_NAME, model_card
from training.evaluation.predictions import CSV_NAME, Explain, Predictions, write_csv, write_mistakes
from training.evaluation.slices import slices
from training.job import JobError
from training.model import Classifier, choose_device, folded
from training.paths import Paths, read_json, write_json
from training.shards import short_side

VERSION = 1
"""Of the members of evaluation.json and what they mean."""
TRAINING_TYPES = ("Spot", "OnDemand")
BATCH = 16
"""Images at a time: enough for a machine's cores, little of its memory."""
BOOTSTRAP_SEED = 7
"""Any number would do: the same answers have the same intervals."""


def predict(classifier: Classifier, description: ModelDescription, test: Channel) -> torch.Tensor:
    """Return the logits (images, classes) of every test image, without augmentation."""
    return _predict(_network(classifier), description, test)


def _network(classifier: Classifier) -> nn.Module:
    """Return what answers: as serving has it, on the device."""
    return folded(classifier.to(choose_device())).requires_grad_(requires_grad=False)


def _predict(network: nn.Module, description: ModelDescription, test: Channel) -> torch.Tensor:
    device, normalise = choose_device(), description.input_format.normalise
    loader = Loader()
    try:
        with torch.inference_mode():
            batches = loader.load(test, _crop(description), batches_of(range(len(test)), BATCH))
            return torch.cat([network(normalise(pixels.to(device))).cpu() for pixels, _ in batches])
    finally:
        loader.close()


def _crop(description: ModelDescription) -> CentreCrop:
    return CentreCrop(description.image_size, description.crop_fraction)


def _explainer(
    network: nn.Module, description: ModelDescription, test: Channel
) -> tuple[Explain | None, dict[str, Any]]:
    """Return what draws Grad-CAM over an image, and which layer's features it shows, or why there is none."""
    device, crop, normalise = choose_device(), _crop(description), description.input_format.normalise
    found = last_feature_map(network, normalise(crop(test.pixels(0))[None].to(device)))
    if found is None:
        return None, {
            "layer": None,
            "reason": f"{description.backbone} ends in tokens, not in a map of features over the image",
        }

    def explain(position: int, label: int) -> torch.Tensor:
        pixels = crop(test.pixels(position))
        return overlay(pixels, heat(network, found, normalise(pixels[None].to(device)), label))

    return explain, {"layer": found.name, "reason": None}


def check_same_classes(description: ModelDescription, manifest: dict[str, Any], test: Channel) -> None:
    """Refuse to measure a model by images of other classes or of another Preprocess step."""
    model, data = _names(description.classes), _names(manifest["classes"])
    if model != data or model != _names(test.classes):
        odd = sorted(set(model) ^ set(data)) or model
        raise JobError(
            f"the model knows {len(model)} classes and the manifest {len(data)}; they differ in "
            f"{', '.join(odd[:5])}: evaluate with the test and manifest of the data that trained the model"
        )
    seen = short_side(description.image_size, description.crop_fraction)
    if test.short_side != seen:
        raise JobError(
            f"the test images are stored with a short side of {test.short_side} pixels, but a model of "
            f"ImageSize {description.image_size} sees {seen}: run Preprocess with this ImageSize"
        )
    if manifest["digest"] != test.digest:
        raise JobError(
            f"the test channel ({test.digest[:12]}) and the manifest ({manifest['digest'][:12]}) "
            "come from different Preprocess steps"
        )


def _names(classes: list[dict[str, Any]]) -> list[str]:
    return [str(entry["name"]) for entry in sorted(classes, key=lambda entry: int(entry["label"]))]


def evaluate(paths: Paths, argv: Sequence[str] | None) -> None:
    """Run the step."""
    started = time.perf_counter()
    job.check_writable(paths.message.parent, paths.processing_output("evaluation"))
    parser = job.ArgumentParser(
        prog="python -m training.evaluate", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--training-type", choices=TRAINING_TYPES, required=True, help="which model this is")
    training_type = parser.parse_args(argv).training_type
    keep_memory()
    classifier, description, weights = read_archive(paths.processing_input("model") / "model.tar.gz")
    manifest = read_json(paths.processing_input("manifest") / "manifest.json", "the manifest")
    test = Channel(paths.processing_input("test"))
    check_same_classes(description, manifest, test)
    folder, told = paths.processing_output("evaluation"), EvaluationJob.read(paths)
    network = _network(classifier)
    explain, grad_cam = _explainer(network, description, test)
    document = {
        "version": VERSION,
        "training_type": training_type,
        **report(
            folder,
            _predict(network, description, test),
            test,
            _names(description.classes),
            temperature=description.temperature,
            explain=explain,
        ),
        "grad_cam": grad_cam,
        "size": {
            "parameters": sum(map(torch.numel, classifier.parameters())),
            "weights_bytes": weights.bytes,
        },
        "lineage": lineage(description, weights, told),
        "model_card": CARD_NAME,
        "this_job": this_job(network, description.input_format, _crop(description), test, told.arn),
    }
    document["dataset"]["input_digest"] = manifest.get("input_digest")
    if description.data_digest != test.digest:
        print("warning: the model was trained on data with another digest than the test's", file=sys.stderr)
    write_json(folder / CARD_NAME, model_card(document, description, told))
    write_json(folder / "evaluation.json", document)
    _say(paths, training_type, document, time.perf_counter() - started)


def report(
    folder: Path,
    logits: torch.Tensor,
    test: Channel,
    names: list[str],
    *,
    temperature: float = 1.0,
    explain: Explain | None = None,
) -> dict[str, Any]:
    """Return what logits (images, classes) are worth, and write the files that it names into `folder`."""
    answers = Predictions.of(logits, test, temperature)
    truth, predicted = answers.truth.tolist(), answers.predicted
    counts = confusion_matrix(truth, predicted.tolist(), len(names))
    metrics = classification_metrics(counts, names, seed=BOOTSTRAP_SEED)
    top = logits.topk(min(5, len(names)), dim=1).indices
    metrics["top_5_accuracy"] = {"value": (top == answers.truth[:, None]).any(1).float().mean().item()}
    right = (predicted == answers.truth).numpy()
    after, before = (_probabilities(each, right) for each in (answers, Predictions.of(logits, test)))
    metrics |= {name: {"value": after[name]} for name in ("log_loss", "brier_score")}
    write_csv(folder / CSV_NAME, answers, test, names)
    return {
        "dataset": {"item_count": len(test), "digest": test.digest},
        "multiclass_classification_metrics": metrics,
        "classes": class_report(counts, names),
        "confused_pairs": confused_pairs(counts, names),
        "slices": slices(test.entries, right),
        "calibration": {"temperature": temperature, **after, "before": before},
        "predictions": CSV_NAME,
        "mistakes": write_mistakes(folder, answers, test, names, explain),
    }


def _probabilities(answers: Predictions, right: NDArray[np.bool_]) -> dict[str, Any]:
    """Return what the probabilities are worth."""
    logarithms, truth = answers.log_probabilities.numpy(), answers.truth.tolist()
    return {
        "log_loss": log_loss(logarithms, truth),
        "brier_score": brier_score(np.exp(logarithms), truth),
        **calibration(answers.confidence.numpy(), right),
    }


def _say(paths: Paths, training_type: str, document: dict[str, Any], seconds: float) -> None:
    metrics = document["multiclass_classification_metrics"]
    bounds = metrics["accuracy"]["confidence_interval"]
    line = (
        f"{training_type}: accuracy {metrics['accuracy']['value']:.4f} "
        f"(95 % interval {bounds['lower']:.4f} to {bounds['upper']:.4f}), "
        f"macro F1 {metrics['macro_f1']['value']:.4f}, {document['dataset']['item_count']} test images"
    )
    print(f"{line}; {seconds:.1f} s", flush=True)
    job.write_reason(paths.message, line)


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a container does and return the exit code."""
    paths = Paths.from_environment()
    job.stop_at_sigterm()
    return job.run(lambda: evaluate(paths, argv), paths.message)


if __name__ == "__main__":
    sys.exit(main())
