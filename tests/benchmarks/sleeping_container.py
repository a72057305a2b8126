"""A container that does nothing for a known time and then leaves files as big as the real ones.

    python tests/benchmarks/sleeping_container.py SECONDS preprocess|train|evaluate [ignored ...]

The sizes are those of the default eight classes; the bytes are random, as neither JPEGs nor weights compress.
"""

import json
import os
import sys
import time
from pathlib import Path

BASE = Path(os.environ["SAGEMAKER_BASE_DIR"])
MEGABYTES = {
    "preprocess": {
        "processing/output/train/shard.tar": 8,
        "processing/output/validation/shard.tar": 1,
        "processing/output/test/shard.tar": 2,
        "processing/output/manifest/manifest.json": 0,
    },
    "train": {"model/model.safetensors": 14, "model/model.json": 0},
    "evaluate": {"processing/output/evaluation/evaluation.json": 0},
}
EVALUATION = {
    "dataset": {"item_count": 10},
    "lineage": dict.fromkeys(
        (
            "backbone",
            "pretrained_sha256",
            "pretrained_licence",
            "weights_sha256",
            "data_digest",
            "training_code_sha256",
        ),
        "unknown",
    ),
    "multiclass_classification_metrics": {"accuracy": {"value": 0.9}, "macro_f1": {"value": 0.9}},
}


def main() -> None:
    seconds, role = float(sys.argv[1]), sys.argv[2]
    print(f"progress=0 sleeping for {seconds} s", flush=True)
    time.sleep(seconds)
    for name, megabytes in MEGABYTES[role].items():
        path = BASE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(megabytes << 20) if megabytes else json.dumps(EVALUATION).encode())
    print("progress=100", flush=True)


if __name__ == "__main__":
    main()
