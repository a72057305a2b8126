"""Containers that follow the /opt/ml contract in milliseconds: for tests of everything around the training.

The test pipeline starts it as `python tests/toy_container.py preprocess|train|evaluate`.
"""

import json
import os
import sys
import time
from pathlib import Path

BASE = Path(os.environ["SAGEMAKER_BASE_DIR"])
PROCESSING = BASE / "processing"
CHECKPOINT = BASE / "checkpoints" / "step.txt"
ACCURACY = 0.9


def preprocess() -> None:
    for name in ("train", "validation", "test", "manifest"):
        (PROCESSING / "output" / name / "part.json").write_text(json.dumps(sys.argv[2:]))


def train() -> None:
    hyper_parameters = json.loads((BASE / "input/config/hyperparameters.json").read_text())
    data = (BASE / "input/data/train/part.json").read_text()
    step = int(CHECKPOINT.read_text()) if CHECKPOINT.exists() else 0
    print(f"starting at step {step}", flush=True)
    for done in range(step + 1, 6):
        time.sleep(0.1)
        print(
            f"epoch={done}/5 train_loss={1 / done:.4f} validation_accuracy=0.9 progress={20 * done}",
            flush=True,
        )
        if CHECKPOINT.parent.exists():
            CHECKPOINT.write_text(str(done))
    (BASE / "model/model.safetensors").write_bytes(
        (json.dumps(hyper_parameters, sort_keys=True) + data).encode()
    )
    (BASE / "model/model.json").write_text("{}")


def evaluate() -> None:
    assert (PROCESSING / "input/model/model.tar.gz").stat().st_size
    evaluation = {
        "dataset": {"item_count": 10},
        "multiclass_classification_metrics": {
            "accuracy": {"value": ACCURACY},
            "macro_f1": {"value": 0.88},
            "confusion_matrix": {"a": {"a": 5, "b": 1}, "b": {"a": 0, "b": 4}},
        },
    }
    (PROCESSING / "output/evaluation/evaluation.json").write_text(json.dumps(evaluation))


if __name__ == "__main__":
    {"preprocess": preprocess, "train": train, "evaluate": evaluate}[sys.argv[1]]()
