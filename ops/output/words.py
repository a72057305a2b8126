"""What is said of a step and of an execution that has ended, the same on a terminal and in the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ops.costs.bill import Bill, SpotComparison
from ops.executions.execution import RUNNING, StartedStep
from ops.executions.jobs import Training
from ops.executions.models import RegisteredModel
from ops.executions.snapshot import Snapshot
from ops.output.terminal import dollars, duration

PROGRESS, ACCURACY, LOSS = "train:progress", "validation:accuracy", "train:loss"
PENDING = "PendingManualApproval"
NOTEWORTHY = 0.005
"""A share that is written as 1 % at least."""


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
    if step.name in snapshot.test_accuracies:
        return [f"test accuracy {snapshot.test_accuracies[step.name]:.3f}"]
    return []


def _of_training(training: Training, *, running: bool, billed: bool) -> list[str]:
    said = []
    if ACCURACY in training.metrics:
        said.append(f"validation accuracy {training.metrics[ACCURACY]:.3f}")
    if running and LOSS in training.metrics:
        said.append(f"loss {training.metrics[LOSS]:.3f}")
    if billed and training.interruptions:
        said.append(interruptions(training.interruptions))
    if billed and not running and training.billable_seconds is not None:
        said.append(f"billed {training.billable_seconds} s")
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


def summary(
    snapshot: Snapshot,
    packages: list[RegisteredModel],
    accuracies: Mapping[str, float],
    bill: Bill | None = None,
) -> str:
    """Sum up in one sentence: the result, the models, what it cost. `accuracies` by training type."""
    execution = snapshot.execution
    took = duration((execution.end(snapshot.taken) - execution.start).total_seconds())
    word = "test accuracy" if accuracies else "validation accuracy"
    reached = accuracies or validation_accuracies(snapshot)
    parts = [_registered(packages, reached, word), *([_cost(bill)] if bill else [])]
    return f"{execution.status} in {took}: {'; '.join(parts)}."


def _cost(bill: Bill) -> str:
    return f"its jobs cost {total(bill)} {bill.prices.phrase}"


def total(bill: Bill) -> str:
    """Write what an execution cost, as far as it is known."""
    return ("at least " if bill.not_known else "") + dollars(bill.total_usd)


def bill_sentences(bill: Bill) -> list[str]:
    """Say what each step was billed, what is not known of it, and what Spot was billed."""
    steps: dict[str, float] = {}
    for line in bill.lines:
        if line.usd is not None:
            steps[line.step] = steps.get(line.step, 0.0) + line.usd
    listed = ", ".join(f"{step} {dollars(usd)}" for step, usd in steps.items())
    return [*([f"Billed: {listed}."] if listed else []), *bill_remarks(bill)]


def bill_remarks(bill: Bill) -> list[str]:
    """Say what a bill's lines do not: what cost nothing, what is not known, what Spot was billed."""
    said = []
    if bill.cached:
        said.append(f"From the cache, at no cost here: {', '.join(bill.cached)}.")
    said += [f"Not known: {line}." for line in bill.not_known]
    for each in bill.spot_against_on_demand:
        said += compared(each)
    return said


def compared(comparison: SpotComparison) -> list[str]:
    """Say what Spot billed against On-Demand, and apart from it what its interruptions lost."""
    each, share = comparison, comparison.saved_share
    less = "" if share is None else f": {abs(share):.0%} {'less' if share >= 0 else 'more'}"
    if share is not None and abs(share) < NOTEWORTHY:
        less = ": the same"
    said = [
        f"For the same training {each.spot_step} (Spot) billed {dollars(each.spot_usd)} and "
        f"{each.on_demand_step} (On-Demand) {dollars(each.on_demand_usd)}{less}."
    ]
    if each.console_saving is not None:
        said.append(
            f"1 - billable/training (SageMaker's console) of {each.spot_step}: {each.console_saving:.0%}."
        )
    if each.interruptions:
        said.append(
            f"{interruptions(each.interruptions)} of {each.spot_step} lost {duration(each.lost_seconds)} of "
            f"training, which was done again, and {duration(each.waited_seconds)} of waiting, which is not "
            "billed."
        )
    return said


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
