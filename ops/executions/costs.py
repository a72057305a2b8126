"""What managed spot training saved, computed as SageMaker's console does."""

from __future__ import annotations


def saving(training_seconds: float | None, billable_seconds: float | None) -> float | None:
    """Compute 1 - billable / training as a share (0.7 = 70 %); None while that is unknown."""
    if training_seconds is None or billable_seconds is None or training_seconds <= 0:
        return None
    return 1 - billable_seconds / training_seconds
