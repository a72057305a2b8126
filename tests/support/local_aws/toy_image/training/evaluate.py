"""Find an accuracy of 0.9."""

import json

from . import BASE

assert (BASE / "processing/input/model/model.tar.gz").stat().st_size
evaluation = {
    "dataset": {"item_count": 10},
    "lineage": {
        "backbone": "toy",
        "pretrained_sha256": "00",
        "pretrained_licence": "unknown",
        "weights_sha256": "11",
        "data_digest": "22",
        "training_code_sha256": "33",
    },
    "multiclass_classification_metrics": {
        "accuracy": {"value": 0.9},
        "macro_f1": {"value": 0.88},
        "confusion_matrix": {"a": {"a": 5, "b": 1}, "b": {"a": 0, "b": 4}},
    },
}
(BASE / "processing/output/evaluation/evaluation.json").write_text(json.dumps(evaluation))
