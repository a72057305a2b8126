"""Executions for the fake SageMaker to play, and what their jobs leave in the bucket."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import tarfile
from typing import Any

from PIL import Image

from tests.support.services.fake_execution import (
    ACCOUNT,
    BUCKET,
    DEFINITION,
    PREFIX,
    REGION,
    FakeStep,
    FakeTraining,
    ScriptedExecution,
)

CLASSES = [
    "013.Bobolink",
    "017.Cardinal",
    "035.Purple_Finch",
    "036.Northern_Flicker",
    "047.American_Goldfinch",
    "068.Ruby_throated_Hummingbird",
    "073.Blue_Jay",
    "087.Mallard",
]


def processing(execution_id: str, step: str) -> dict[str, Any]:
    return {
        "ProcessingJob": {
            "Arn": f"{PREFIX}:processing-job/pipelines-{execution_id}-{step.lower()}-ab12cd34ef"
        }
    }


def training(execution_id: str, step: str) -> dict[str, Any]:
    return {
        "TrainingJob": {"Arn": f"{PREFIX}:training-job/pipelines-{execution_id}-{step.lower()}-ab12cd34ef"}
    }


def register(version: int) -> dict[str, Any]:
    return {"RegisterModel": {"Arn": f"{PREFIX}:model-package/cv-birds/{version}"}}


def succeeded(execution_id: str = "q3fz81mkd2ax") -> ScriptedExecution:
    """Both models registered; Spot lost its instance once."""
    job, prefix = f"pipelines-{execution_id}", f"s3://{BUCKET}/executions/{execution_id}/training"
    return ScriptedExecution(
        id=execution_id,
        end=42.0,
        parameters=parameters(),
        trainings=[
            FakeTraining(
                f"{job}-TrainSpot-ab12cd34ef", 9.0, 33.0, True, ((17.0, 22.0),), output=f"{prefix}/spot"
            ),
            FakeTraining(f"{job}-TrainOnDemand-ab12cd34ef", 9.0, 27.0, output=f"{prefix}/on-demand"),
        ],
        steps=[
            FakeStep("Preprocess", 1.0, 8.5, metadata=processing(execution_id, "Preprocess")),
            FakeStep("TrainSpot", 9.0, 33.0, metadata=training(execution_id, "TrainSpot")),
            FakeStep("TrainOnDemand", 9.0, 27.0, metadata=training(execution_id, "TrainOnDemand")),
            FakeStep("EvaluateOnDemand", 27.5, 33.0, metadata=processing(execution_id, "EvaluateOnDemand")),
            FakeStep("CheckOnDemandAccuracy", 33.2, 33.4, metadata={"Condition": {"Outcome": "True"}}),
            FakeStep("EvaluateSpot", 33.5, 39.0, metadata=processing(execution_id, "EvaluateSpot")),
            FakeStep("RegisterOnDemand", 33.8, 34.6, metadata=register(1)),
            FakeStep("CheckSpotAccuracy", 39.2, 39.4, metadata={"Condition": {"Outcome": "True"}}),
            FakeStep("CheckAnyAccuracy", 39.3, 39.5, metadata={"Condition": {"Outcome": "False"}}),
            FakeStep("RegisterSpot", 39.8, 41.0, metadata=register(2)),
        ],
    )


def below_threshold(execution_id: str = "f0aa12bb34cc") -> ScriptedExecution:
    """Neither model reached AccuracyThreshold, and the Fail step says so."""
    reason = "Neither model reached AccuracyThreshold 1.01: Spot 0.925, OnDemand 0.925."
    execution = succeeded(execution_id)
    execution.steps = [step for step in execution.steps if not step.name.startswith("Register")]
    for step in execution.steps:
        if "Condition" in step.metadata:
            step.metadata = {"Condition": {"Outcome": str(step.name == "CheckAnyAccuracy")}}
    execution.steps.append(
        FakeStep("AccuracyTooLow", 40.0, 40.2, "Failed", {"Fail": {"ErrorMessage": reason}}, reason=reason)
    )
    execution.status = "Failed"
    execution.reason = "Step failure: One or multiple steps failed."
    return execution


def failed_training(execution_id: str = "e1e1e1e1e1e1") -> ScriptedExecution:
    """Preprocess was cached; training died, so nothing was evaluated."""
    execution = succeeded(execution_id)
    long_reason = (
        "AlgorithmError: the images do not fit: " + "<b>'013.Bobolink'</b> & more, " * 20 + "exit code: 1"
    )
    execution.steps = execution.steps[:3]
    execution.steps[0].cache_source = succeeded().arn
    execution.steps[0].metadata = processing("q3fz81mkd2ax", "Preprocess")
    execution.steps[2].status = execution.trainings[1].status = "Failed"
    execution.steps[2].reason = long_reason
    execution.steps[1].status = execution.trainings[0].status = "Stopped"
    execution.status, execution.reason = "Failed", "Step failure: One or multiple steps failed."
    return execution


def failed_preprocess(execution_id: str = "d2d2d2d2d2d2") -> ScriptedExecution:
    """Preprocess died; its step knows no more than the exit code."""
    execution = succeeded(execution_id)
    execution.steps, execution.trainings = execution.steps[:1], []
    execution.steps[0].status = "Failed"
    execution.steps[0].reason = "AlgorithmError: See job logs for more information, exit code: 1"
    execution.status, execution.reason = "Failed", "Step failure: One or multiple steps failed."
    return execution


def parameters() -> dict[str, str]:
    values = {
        entry["Name"]: str(entry.get("DefaultValue", ""))
        for entry in json.loads(DEFINITION.read_text())["Parameters"]
    }
    return values | {
        "ExecutionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/cv-birds-execution",
        "TrainingImageUri": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/cv-birds@sha256:{'5e' * 32}",
        "ArtifactBucket": BUCKET,
        "ModelPackageGroupName": "cv-birds",
        "InputDataUrl": f"s3://{BUCKET}/data/9f2c41d07ab3/",
    }


Wrong = dict[tuple[int, int], int]
"""The mistakes of a model: {(true label, predicted label): images}."""


def predictions(wrong: Wrong, per_class: int = 10) -> list[dict[str, str]]:
    """Make the rows of predictions.csv: of each class the wrong answers first, ever less sure."""
    rows: list[dict[str, str]] = []
    for label, name in enumerate(CLASSES):
        answers = [to for (true, to), count in wrong.items() if true == label for _ in range(count)]
        answers += [label] * (per_class - len(answers))
        for number, answer in enumerate(answers):
            of_truth = 0.97 if answer == label else 0.2
            rows.append(
                {
                    "id": str(len(rows) + 1),
                    "image": f"{name}/{number:04}.jpg",
                    "true": name,
                    "predicted": CLASSES[answer],
                    "probability": f"{of_truth if answer == label else 0.75 - len(rows) / 1000:.6f}",
                    "probability_of_true": f"{of_truth:.6f}",
                }
            )
    return rows


def evaluation(training_type: str, wrong: Wrong, per_class: int = 10) -> dict[str, Any]:
    """Make an evaluation.json from its mistakes."""
    counts = {true: dict.fromkeys(CLASSES, 0) for true in CLASSES}
    rows = predictions(wrong, per_class)
    for row in rows:
        counts[row["true"]][row["predicted"]] += 1
    classes = {}
    for name in CLASSES:
        recall = counts[name][name] / per_class
        precision = counts[name][name] / max(1, sum(counts[each][name] for each in CLASSES))
        f1 = 2 * precision * recall / max(1e-9, precision + recall)
        classes[name] = {"precision": precision, "recall": recall, "f1": f1, "support": per_class}
    accuracy = sum(counts[name][name] for name in CLASSES) / len(rows)
    macro = {
        key: sum(row[key] for row in classes.values()) / len(classes) for key in ("precision", "recall", "f1")
    }
    log_loss = -sum(math.log(float(row["probability_of_true"])) for row in rows) / len(rows)
    interval = {"level": 0.95, "lower": accuracy - 0.075, "upper": min(1.0, accuracy + 0.04)}
    return {
        "version": 1,
        "training_type": training_type,
        "dataset": {"item_count": len(rows), "digest": "ab" * 32},
        "multiclass_classification_metrics": {
            "accuracy": {"value": accuracy, "standard_deviation": 0.03, "confidence_interval": interval},
            "balanced_accuracy": {"value": macro["recall"], "confidence_interval": interval},
            "macro_precision": {"value": macro["precision"]},
            "macro_recall": {"value": macro["recall"]},
            "macro_f1": {
                "value": macro["f1"],
                "confidence_interval": {"level": 0.95, "lower": 0.85, "upper": 0.97},
            },
            "weighted_f1": {"value": macro["f1"]},
            "confusion_matrix": counts,
            "top_5_accuracy": {"value": 1.0},
            "log_loss": {"value": log_loss},
            "brier_score": {"value": 0.09},
        },
        "classes": classes,
        "calibration": _calibration(rows),
        "confused_pairs": _confused_pairs(wrong, per_class),
        "slices": [
            {"by": by, "images_without_box": 0, "groups": _slice_groups(rows, edges)}
            for by, edges in (
                ("box_area_share", (0.02, 0.31, 0.55, 0.98)),
                ("box_aspect_ratio", (0.4, 0.9, 1.3, 2.6)),
            )
        ],
        "grad_cam": {"layer": "body.top", "reason": None},
        "size": {"parameters": 3_381_256, "weights_bytes": 13_721_412},
        "lineage": {
            "backbone": "efficientnet_lite0",
            "pretrained_sha256": "57" * 32,
            "pretrained_licence": "Apache-2.0",
            "weights_sha256": "3b" * 32,
            "data_digest": "ab" * 32,
            "training_code_sha256": "c0" * 32,
            "evaluation_code_sha256": "c0" * 32,
            "image": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/cv-birds@sha256:{'5e' * 32}",
        },
        "model_card": "model-card.json",
        "this_job": {
            "arn": None,
            "device": "cpu",
            "threads": 2,
            "latency": {"images": 40, "median_milliseconds": 14.2, "p95_milliseconds": 16.75},
        },
        "predictions": "predictions.csv",
        "mistakes": [
            {
                "image": row["image"],
                "file": f"mistakes/{number:03}.jpg",
                "grad_cam": f"mistakes/{number:03}-grad-cam.jpg",
                "true": row["true"],
                "predicted": row["predicted"],
                "probability": float(row["probability"]),
            }
            for number, row in enumerate(_surest_mistakes(rows))
        ],
    }


def _surest_mistakes(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    wrong = [row for row in rows if row["true"] != row["predicted"]]
    return sorted(wrong, key=lambda row: row["probability"], reverse=True)[:24]


def _calibration(rows: list[dict[str, str]]) -> dict[str, Any]:
    bins, error = [], 0.0
    for number in range(10):
        lower, upper = number / 10, (number + 1) / 10
        inside = [row for row in rows if lower < float(row["probability"]) <= upper]
        if inside:
            confidence = sum(float(row["probability"]) for row in inside) / len(inside)
            accuracy = sum(row["true"] == row["predicted"] for row in inside) / len(inside)
            error += abs(accuracy - confidence) * len(inside) / len(rows)
            bins.append(
                {
                    "lower": lower,
                    "upper": upper,
                    "images": len(inside),
                    "confidence": confidence,
                    "accuracy": accuracy,
                }
            )
    before = {"log_loss": 0.52, "brier_score": 0.17, "expected_calibration_error": 0.081, "bins": bins}
    return {"temperature": 0.62, "expected_calibration_error": error, "bins": bins, "before": before}


def _confused_pairs(wrong: Wrong, per_class: int) -> list[dict[str, Any]]:
    pairs = sorted({(min(pair), max(pair)) for pair in wrong})
    rows: list[dict[str, Any]] = [
        {
            "classes": [CLASSES[first], CLASSES[second]],
            "images": wrong.get((first, second), 0) + wrong.get((second, first), 0),
            "first_called_second": wrong.get((first, second), 0),
            "second_called_first": wrong.get((second, first), 0),
        }
        for first, second in pairs
    ]
    rows = [row | {"rate": row["images"] / (2 * per_class)} for row in rows]
    return sorted(rows, key=lambda row: -row["images"])


def _slice_groups(rows: list[dict[str, str]], edges: tuple[float, ...]) -> list[dict[str, Any]]:
    """Take every third image for a group; the bounds are made up."""
    groups = []
    for number, (lower, upper) in enumerate(itertools.pairwise(edges)):
        inside = rows[number::3]
        share = sum(row["true"] == row["predicted"] for row in inside) / len(inside)
        interval = {"level": 0.95, "lower": max(0.0, share - 0.14), "upper": min(1.0, share + 0.06)}
        groups.append(
            {
                "lower": lower,
                "upper": upper,
                "images": len(inside),
                "accuracy": share,
                "confidence_interval": interval,
            }
        )
    return groups


def picture(number: int) -> bytes:
    """Draw a small JPEG."""
    drawn = io.BytesIO()
    Image.new("RGB", (32, 24), (number * 37 % 256, 120, 90)).save(drawn, "JPEG", quality=80)
    return drawn.getvalue()


def put_evaluation(s3: Any, prefix: str, training_type: str, wrong: Wrong, per_class: int = 10) -> None:
    """Put what an evaluate step leaves below a prefix of the bucket."""
    document = evaluation(training_type, wrong, per_class)
    rows = predictions(wrong, per_class)
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    files = {"evaluation.json": json.dumps(document).encode(), "predictions.csv": table.getvalue().encode()}
    for number, each in enumerate(document["mistakes"]):
        files[each["file"]] = picture(number)
        if each["grad_cam"]:
            files[each["grad_cam"]] = picture(number + 100)
    for name, body in files.items():
        s3.put_object(Bucket=BUCKET, Key=f"{prefix}/{name}", Body=body)


def archive(**members: bytes) -> bytes:
    """Pack a model.tar.gz; `model_safetensors` becomes model.safetensors."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name.replace("_", "."))
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def fill_bucket(s3: Any, execution: ScriptedExecution) -> None:
    """Put what the jobs of `execution` left into the bucket, which is made where it is missing."""
    s3.create_bucket(Bucket=BUCKET)  # in us-east-1 once more is no error
    mistakes = {(0, 2): 1, (2, 4): 2, (4, 0): 1, (6, 3): 1, (3, 6): 1}
    for kind, name in (("spot", "Spot"), ("on-demand", "OnDemand")):
        put_evaluation(s3, f"executions/{execution.id}/evaluation/{kind}", name, mistakes)
    for job in execution.trainings:
        key = f"{job.output}/{job.name}/output/model.tar.gz".removeprefix(f"s3://{BUCKET}/")
        s3.put_object(
            Bucket=BUCKET, Key=key, Body=archive(model_json=b"{}", model_safetensors=b"weights" * 1000)
        )
