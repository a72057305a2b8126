"""Where a model is good and where not: its accuracy by how large and how wide the box around the thing is.

A data set without boxes has no slices, nor has one whose boxes are all alike: there is nothing to compare.
Images without a box are left out and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_data.records import Box
from training.evaluation.metrics import terciles
from training.shards import IndexEntry

MEASURES: dict[str, Callable[[IndexEntry, Box], float]] = {
    "box_area_share": lambda entry, box: box[2] * box[3] / (entry.width * entry.height),
    "box_aspect_ratio": lambda _entry, box: box[2] / box[3],
}
"""What images are sorted by: the box's share of the image's area, and its width over its height."""


def slices(entries: Sequence[IndexEntry], right: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Return the accuracy by tercile of each measure; `right` tells which images were answered rightly."""
    boxed = [
        (entry, entry.box, answer)
        for entry, answer in zip(entries, right, strict=True)
        if entry.box and entry.box[2] > 0 and entry.box[3] > 0
    ]
    if not boxed:
        return []
    answers = np.array([answer for _, _, answer in boxed])
    found = {
        name: terciles(np.array([measure(entry, box) for entry, box, _ in boxed]), answers)
        for name, measure in MEASURES.items()
    }
    return [
        {"by": name, "images_without_box": len(entries) - len(boxed), "groups": groups}
        for name, groups in found.items()
        if len(groups) > 1
    ]
