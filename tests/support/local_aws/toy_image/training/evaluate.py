"""Find an accuracy of 0.9."""

import json

from . import BASE

assert (BASE / "processing/input/model/model.tar.gz").stat().st_size
evaluation = {
    "dataset": {"item_count": 10},
    "multiclass_classification_metrics": {
        "accuracy": {"value": 0.9},
        "macro_f1": {"value": 0.88},
        "confusion_matrix": {"a": {"a": 5, "b": 1}, "b": {"a": 0, "b": 4}},
    },
}
(BASE / "processing/output/evaluation/evaluation.json").write_text(json.dumps(evaluation))
