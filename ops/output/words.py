"""What is said of a step in a few words, the same in the live picture, in plain lines and in the report."""

from __future__ import annotations

from ops.executions.execution import RUNNING, Step
from ops.executions.jobs import Training
from ops.executions.snapshot import Snapshot

PROGRESS, ACCURACY, LOSS = "train:progress", "validation:accuracy", "train:loss"


def notes(snapshot: Snapshot, step: Step) -> list[str]:
    """List what is worth knowing of `step` beside its status, the most important first."""
    said = _of_result(step)
    training = snapshot.trainings.get(step.name)
    if training:
        billed = step.name in snapshot.billed_trainings
        said += _of_training(training, running=step.status in RUNNING, billed=billed)
    if step.attempts > 1:
        said.append(f"attempt {step.attempts}")
    return said


def cache(snapshot: Snapshot, step: Step) -> list[str]:
    """Say what the step cache did, when there is something to say."""
    note = snapshot.cache.get(step.name)
    return [note.sentence()] if note and (note.hit or note.reason) else []


def _of_result(step: Step) -> list[str]:
    if step.outcome:
        return [f"outcome {step.outcome}"]
    if step.model_package:
        return ["model package " + step.model_package.partition(":model-package/")[2]]
    return []


def _of_training(training: Training, *, running: bool, billed: bool) -> list[str]:
    said = []
    if ACCURACY in training.metrics:
        said.append(f"accuracy {training.metrics[ACCURACY]:.3f}")
    if running and LOSS in training.metrics:
        said.append(f"loss {training.metrics[LOSS]:.3f}")
    if billed and training.interruptions:
        said.append(interruptions(training.interruptions))
    if billed and not running and training.spot and training.saving is not None:
        said.append(f"{training.saving:.0%} saved")
    return said


def interruptions(count: int) -> str:
    """Say how often a Spot instance was taken away."""
    return f"{count} spot interruption{'s' if count != 1 else ''}"


def progress(training: Training | None) -> float | None:
    """Return the training's own progress metric in percent, 0 to 100."""
    value = training.metrics.get(PROGRESS) if training else None
    return None if value is None else min(100.0, max(0.0, value))
