"""The training loop: one count of steps over both phases, resumable after any of them.

What a step does depends on the step's number and on the state in the checkpoint, nothing else: the order of
an epoch, the augmentation and dropout are drawn from (seed, epoch, image or step). Each phase warms up and
decays along a cosine. The model of the last epoch is the result: the best of a few dozen validation images
would be picked by chance, and a resumed run needs no memory of earlier epochs.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from training.checkpoint import CheckpointStore
from training.data import batches_of, derive_seed, shuffled
from training.job import Stopped
from training.optimizer import AdamW
from training.phases import FineTunePhase, HeadPhase, Phase, Score, TrainingContext

WARM_UP = 0.05
"""The share of a phase's steps in which the learning rate rises: AdamW's first steps know few gradients."""
LABEL_SMOOTHING = 0.1
"""The customary tenth: a class has some thirty images, and the head must not grow sure of them by heart."""


@dataclass
class EpochTotals:
    """Sums over the current epoch, kept in the checkpoint so that its log line comes out the same."""

    loss: float = 0.0
    images: int = 0


class Fit:
    """One training job's loop, from its first step or from a checkpoint's."""

    def __init__(self, context: TrainingContext, store: CheckpointStore) -> None:
        self.context, self.store = context, store
        self.steps_per_epoch = math.ceil(len(context.train) / context.hyper_parameters.batch_size)
        self.step = 0
        self.totals = EpochTotals()
        self.seconds: dict[str, float] = {}  # of the last epoch of each phase, for the estimate
        self.phase: Phase
        self.optimizer: AdamW

    @property
    def epoch(self) -> int:
        """Return the current epoch, from 0 over both phases; it ends with its validation."""
        return (self.step - self._is_unvalidated()) // self.steps_per_epoch

    def _is_unvalidated(self) -> bool:
        return self.step % self.steps_per_epoch == 0 and self.totals.images > 0

    def run(self) -> None:
        """Train to the end, or raise Stopped after SIGTERM with a checkpoint written."""
        saved = self.store.load()
        if saved:
            self._restore(saved)
        self.context.classifier.eval()
        while self.epoch < self.context.hyper_parameters.total_epochs:
            self._start_phase(saved)
            saved = None
            while self.epoch in self.phase.epochs:
                self._run_epoch()
        self.context.classifier.eval()

    def _start_phase(self, saved: dict[str, Any] | None) -> None:
        self.context.classifier.eval()
        kind = HeadPhase if self.epoch < self.context.hyper_parameters.epochs else FineTunePhase
        started = time.perf_counter()
        self.phase = kind(self.context)
        self.seconds.setdefault("fine-tune", 1.5 * (time.perf_counter() - started))
        trained = self.phase.parameters()
        self.context.classifier.freeze_all_but(trained)
        self.optimizer = _optimizer(trained, self.context.hyper_parameters.weight_decay)
        if saved and saved["phase"] == self.phase.name:  # at the boundary it is still the other phase's
            self.optimizer.load_state_dict(saved["optimizer"])
        elif self.step:
            self._save()  # the boundary between the phases

    def _run_epoch(self) -> None:
        epoch, started, before = self.epoch, time.perf_counter(), self.totals.images
        if not self._is_unvalidated():
            order = shuffled(len(self.context.train), self.context.hyper_parameters.seed, epoch)
            batches = batches_of(
                order, self.context.hyper_parameters.batch_size, self.step % self.steps_per_epoch
            )
            self.context.classifier.head.train()
            for inputs, labels in self.phase.batches(epoch, batches):
                self._learn(inputs, labels)
                self._keep_if_needed()
            self.context.classifier.head.eval()
        trained = self.totals.images - before
        rate = trained / (time.perf_counter() - started)
        score = self._validate()
        self.seconds[self.phase.name] = time.perf_counter() - started
        self._log(epoch, score, rate)
        self.totals = EpochTotals()
        self._keep_if_needed(first_epoch=epoch == 0)

    def _validate(self) -> Score:
        try:
            return self.phase.validate()
        except Stopped:  # in the middle of the validation images: the epoch's steps are worth keeping
            self._save()
            raise

    def _learn(self, inputs: torch.Tensor, labels: torch.Tensor) -> None:
        hyper_parameters, phase = self.context.hyper_parameters, self.phase
        torch.default_generator.manual_seed(derive_seed(hyper_parameters.seed, "step", self.step))
        if self.context.device.type == "cuda":
            torch.cuda.manual_seed_all(derive_seed(hyper_parameters.seed, "step", self.step))
        step = self.step - phase.epochs.start * self.steps_per_epoch
        rate = phase.learning_rate * schedule(step, len(phase.epochs) * self.steps_per_epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = functional.cross_entropy(phase.logits(inputs), labels, label_smoothing=LABEL_SMOOTHING)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.step += 1
        self.totals.loss += loss.item() * len(labels)
        self.totals.images += len(labels)

    def _keep_if_needed(self, *, first_epoch: bool = False) -> None:
        """Write a checkpoint where one is due, and stop where SIGTERM has come."""
        finished = self.epoch >= self.context.hyper_parameters.total_epochs
        if self.context.stop.requested and not finished:
            self._save()
            raise Stopped(f"stopped by SIGTERM after step {self.step}, in epoch {self.epoch + 1}")
        if not finished and (first_epoch or self.store.is_due()):
            self._save()

    # --- state ----------------------------------------------------------------------------------------------

    def _save(self) -> None:
        self.store.save(
            {
                "step": self.step,
                "phase": self.phase.name,
                "totals": asdict(self.totals),
                "model": self.context.classifier.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            }
        )

    def _restore(self, saved: dict[str, Any]) -> None:
        self.step = saved["step"]
        self.totals = EpochTotals(**saved["totals"])
        self.context.classifier.load_state_dict(saved["model"])
        total = self.context.hyper_parameters.total_epochs
        print(f"resumed at step={self.step} epoch={self.epoch + 1}/{total}", flush=True)

    def _log(self, epoch: int, score: Score, rate: float) -> None:
        total, done = self.context.hyper_parameters.total_epochs, epoch + 1
        head_left = max(0, self.context.hyper_parameters.epochs - done)
        tune_left = min(total - done, self.context.hyper_parameters.fine_tune_epochs)
        eta = head_left * self.seconds.get("head", 0) + tune_left * self.seconds["fine-tune"]
        loss = self.totals.loss / self.totals.images
        print(
            f"epoch={done}/{total} phase={self.phase.name} train_loss={loss:.4f} "
            f"validation_loss={score.loss:.4f} validation_accuracy={score.accuracy:.4f} "
            f"images_per_second={rate:.1f} progress={100 * done / total:.1f} eta_seconds={eta:.0f}",
            flush=True,
        )


def schedule(step: int, steps: int) -> float:
    """Return the share of the learning rate at a phase's step: a short linear rise, then half a cosine."""
    warm = max(1, round(WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _optimizer(trained: dict[str, nn.Parameter], weight_decay: float) -> AdamW:
    """Decay weights, but neither biases nor norms."""
    decayed = [parameter for parameter in trained.values() if parameter.ndim > 1]
    others = [parameter for parameter in trained.values() if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return AdamW(groups, lr=0.0)
