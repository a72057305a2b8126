"""What is said when an execution has ended: every failure in full, and one sentence that sums up."""

from __future__ import annotations

from collections.abc import Mapping

from ops.executions.registry import ModelPackage
from ops.executions.snapshot import Snapshot
from ops.output.terminal import duration
from ops.output.words import ACCURACY, interruptions

PENDING = "PendingManualApproval"


def failures(snapshot: Snapshot) -> list[str]:
    """Return the failure reason of each failed step, then the execution's own where it says more."""
    said = [
        f"{step.name} failed: {step.reason}" for step in snapshot.execution.steps if step.status == "Failed"
    ]
    reason = snapshot.execution.failure_reason
    if reason and not any(reason in line for line in said):
        said.append(f"Execution {snapshot.execution.status}: {reason}")
    return said


def summary(snapshot: Snapshot, packages: list[ModelPackage], accuracies: Mapping[str, float]) -> str:
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


def next_step(packages: list[ModelPackage]) -> str | None:
    """Say how to approve the registered models that wait for it."""
    waiting = [package for package in packages if package.approval_status == PENDING]
    if not waiting:
        return None
    others = ", ".join(package.name for package in waiting[1:])
    also = f"\n(or {others} in the same way)" if others else ""
    return f"Approve {waiting[0].name} ({waiting[0].training_type}) with:\n{waiting[0].approve_command}{also}"


def _registered(packages: list[ModelPackage], accuracies: Mapping[str, float], word: str) -> str:
    if not packages:
        reached = ", ".join(f"{kind} {value:.3f}" for kind, value in accuracies.items())
        return "no model was registered" + (f" ({word} {reached})" if reached else "")
    said = [_package(package, accuracies.get(package.training_type), word) for package in packages]
    noun = "model package" if len(packages) == 1 else "model packages"
    return f"registered {len(packages)} {noun}, {' and '.join(said)}, {_statuses(packages)}"


def _package(package: ModelPackage, accuracy: float | None, word: str) -> str:
    reached = "" if accuracy is None else f", {word} {accuracy:.3f}"
    return f"{package.name} ({package.training_type}{reached})"


def _statuses(packages: list[ModelPackage]) -> str:
    statuses = sorted({package.approval_status for package in packages})
    both = "each " if len(packages) > 1 and len(statuses) == 1 else ""
    return both + " and ".join(statuses)


def _spot(snapshot: Snapshot) -> list[str]:
    return [
        f"Spot saved {training.saving:.0%} of its price with {interruptions(training.interruptions)}"
        for training in snapshot.billed_trainings.values()
        if training.spot and training.status == "Completed" and training.saving is not None
    ]
