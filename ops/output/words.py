"""What is said of a step and of an execution that has ended, the same on a terminal and in the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ops.executions.execution import RUNNING, StartedStep
from ops.executions.jobs import Training
from ops.executions.models import RegisteredModel
from ops.executions.snapshot import Snapshot
from ops.output.terminal import duration

PROGRESS, ACCURACY, LOSS = "train:progress", "validation:accuracy", "train:loss"
PENDING = "PendingManualApproval"


def notes(snapshot: Snapshot, step: StartedStep) -> list[str]:
    """List what is worth knowing of `step` beside its status, the most important first."""
    said = _of_result(snapshot, step)
    training = snapshot.trainings.get(step.name)
    if training:
        billed = step.name in snapshot.billed_trainings
        said += _of_training(training, running=step.status in RUNNING, billed=billed)
    if step.attempts > 1:
        said.append(f"attempt {step.attempts}")
    return said


def cache(snapshot: Snapshot, step: StartedStep) -> list[str]:
    """Say what the step cache did, when there is something to say."""
    note = snapshot.cache.get(step.name)
    return [note.sentence()] if note and (note.hit or note.reason) else []


def branch(snapshot: Snapshot, step: StartedStep) -> str:
    """Say which way a condition step went: `condition true: runs RegisterSpot`; empty for other steps.

    Where the branch taken is empty, the other one tells more: a check that fails the execution and did not
    have to says `condition false: skips AccuracyTooLow`.
    """
    if not step.outcome:
        return ""
    arguments = snapshot.execution.planned(step).arguments
    then, otherwise = _names(arguments.get("IfSteps")), _names(arguments.get("ElseSteps"))
    taken, left = (then, otherwise) if step.outcome == "True" else (otherwise, then)
    what = f": runs {', '.join(taken)}" if taken else f": skips {', '.join(left)}" if left else ""
    return f"condition {step.outcome.lower()}{what}"


def _names(steps: Any) -> list[str]:
    return [str(each["Name"]) for each in steps or ()]


def _of_result(snapshot: Snapshot, step: StartedStep) -> list[str]:
    if step.outcome:
        return [branch(snapshot, step)]
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


def failures(snapshot: Snapshot) -> list[str]:
    """Return the failure reason of each failed step, then the execution's own where it says more."""
    said = [
        f"{step.name} failed: {step.reason}" for step in snapshot.execution.steps if step.status == "Failed"
    ]
    reason = snapshot.execution.failure_reason
    if reason and not any(reason in line for line in said):
        said.append(f"Execution {snapshot.execution.status}: {reason}")
    return said


def summary(snapshot: Snapshot, packages: list[RegisteredModel], accuracies: Mapping[str, float]) -> str:
    """Sum up in one sentence: the result, the models, what Spot saved. `accuracies` by training type."""
    execution = snapshot.execution
    took = duration((execution.end(snapshot.taken) - execution.start).total_seconds())
    word = "accuracy" if accuracies else "validation accuracy"
    reached = accuracies or validation_accuracies(snapshot)
    parts = [_registered(packages, reached, word), *_spot(snapshot)]
    return f"{execution.status} in {took}: {'; '.join(parts)}."


def validation_accuracies(snapshot: Snapshot) -> dict[str, float]:
    """Return the last validation accuracy of each training, for want of an evaluation."""
    return {
        training.type: training.metrics[ACCURACY]
        for training in snapshot.trainings.values()
        if ACCURACY in training.metrics
    }


def next_step(packages: list[RegisteredModel]) -> str | None:
    """Say how to approve the registered models that wait for it."""
    waiting = [package for package in packages if package.approval_status == PENDING]
    if not waiting:
        return None
    others = ", ".join(package.name for package in waiting[1:])
    also = f"\n(or {others} in the same way)" if others else ""
    return f"Approve {waiting[0].name} ({waiting[0].training_type}) with:\n{waiting[0].approve_command}{also}"


def _registered(packages: list[RegisteredModel], accuracies: Mapping[str, float], word: str) -> str:
    if not packages:
        reached = ", ".join(f"{kind} {value:.3f}" for kind, value in accuracies.items())
        return "no model was registered" + (f" ({word} {reached})" if reached else "")
    said = [_package(package, accuracies.get(package.training_type), word) for package in packages]
    noun = "model package" if len(packages) == 1 else "model packages"
    return f"registered {len(packages)} {noun}, {' and '.join(said)}, {_statuses(packages)}"


def _package(package: RegisteredModel, accuracy: float | None, word: str) -> str:
    reached = "" if accuracy is None else f", {word} {accuracy:.3f}"
    return f"{package.name} ({package.training_type}{reached})"


def _statuses(packages: list[RegisteredModel]) -> str:
    statuses = sorted({package.approval_status for package in packages})
    both = "each " if len(packages) > 1 and len(statuses) == 1 else ""
    return both + " and ".join(statuses)


def _spot(snapshot: Snapshot) -> list[str]:
    return [
        f"Spot saved {training.saving:.0%} of its price with {interruptions(training.interruptions)}"
        for training in snapshot.billed_trainings.values()
        if training.spot and training.status == "Completed" and training.saving is not None
    ]
