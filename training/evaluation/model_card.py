"""The model card of an evaluated model: what is known of it, in the schema that SageMaker's model cards have.

What only people know is left out: who owns the model, what business it serves, how risky its use is. Somebody
adds it where the card is used (docs/evaluation.md says how).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from training.artifact import ModelDescription
from training.evaluation.lineage import EvaluationJob

CARD_NAME = "model-card.json"
LONG, SHORT = 1024, 255
"""Characters that the schema has for most texts, and for the values of hyper-parameters and details."""
NUMBERS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "top_5_accuracy": "Top-5 accuracy",
    "log_loss": "Log loss",
    "brier_score": "Brier score",
}
SLICES = {"box_area_share": "Accuracy by box area share", "box_aspect_ratio": "Accuracy by box aspect ratio"}


def model_card(document: dict[str, Any], description: ModelDescription, job: EvaluationJob) -> dict[str, Any]:
    """Return the card of the model that an evaluation.json is of."""
    names = [str(entry["name"]) for entry in description.classes]
    made_of: dict[str, str] = document["lineage"]
    return {
        "model_overview": {
            "model_description": _cut(
                f"Says which of {len(names)} classes a photograph shows: {', '.join(names)}", LONG
            ),
            "problem_type": "Image classification",
            "algorithm_type": description.backbone,
            **({"model_artifact": [job.model_url]} if job.model_url else {}),
            "inference_environment": {"container_image": [made_of["image"]]},
        },
        "intended_uses": {
            "intended_uses": "Photographs in which one of the classes can be seen. Of any other image "
            "the model names the most similar class; the probability alone does not tell that it is none.",
            "factors_affecting_model_efficiency": "How large the thing is in the image, how it is cut "
            "off, and how much the photographs differ from those of the data set.",
            "risk_rating": "Unknown",
        },
        "training_details": {
            "training_observations": _cut(
                f"{document['training_type']} training that began with weights of sha256 "
                f"{made_of['pretrained_sha256']} (licence: {made_of['pretrained_licence']}); images of "
                f"{description.image_size} pixels; torch {description.torch}.",
                LONG,
            ),
            "training_job_details": {
                "training_datasets": [f"digest {made_of['data_digest']}"],
                "user_provided_hyper_parameters": [
                    {"name": name, "value": _cut(str(value), SHORT)}
                    for name, value in description.hyper_parameters.items()
                ],
            },
        },
        "evaluation_details": [_evaluation(document, job)],
        "additional_information": {
            "caveats_and_recommendations": "The numbers are of the test images alone: decide by their "
            "intervals, and by images of your own.",
            "custom_details": {name: _cut(value, SHORT) for name, value in made_of.items()},
        },
    }


def _evaluation(document: dict[str, Any], job: EvaluationJob) -> dict[str, Any]:
    metrics, dataset = document["multiclass_classification_metrics"], document["dataset"]
    quality = [
        _number(title, metrics[name]["value"], metrics[name].get("confidence_interval"))
        for name, title in NUMBERS.items()
    ]
    calibration = document["calibration"]
    quality += [
        _number("Expected calibration error", calibration["expected_calibration_error"]),
        _number("Temperature", calibration["temperature"]),
    ]
    groups = [_group("All test images", quality)]
    for each in document["slices"]:
        numbers = (
            _number(
                f"{group['lower']:.3g} to {group['upper']:.3g}",
                group["accuracy"],
                group["confidence_interval"],
                f", {group['images']} images",
            )
            for group in each["groups"]
        )
        groups.append(_group(SLICES[each["by"]], numbers))
    return {
        "name": "Test images",
        "evaluation_observation": "95 % intervals: Wilson's of shares of images, else bootstrapped.",
        **({"evaluation_job_arn": job.arn} if job.arn else {}),
        "datasets": [f"{dataset['item_count']} test images of the data set with digest {dataset['digest']}"],
        "metadata": dict(document["lineage"]),
        "metric_groups": groups,
    }


def _group(name: str, numbers: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {"name": name, "metric_data": list(numbers)}


def _number(
    name: str, value: float, interval: dict[str, float] | None = None, more: str = ""
) -> dict[str, Any]:
    note = f"95 % interval {interval['lower']:.4f} to {interval['upper']:.4f}{more}" if interval else ""
    return {"name": name, "type": "number", "value": value, **({"notes": note} if note else {})}


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
