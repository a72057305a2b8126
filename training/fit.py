"""One training job from its channels to its model: load_data, the two phases, train_one_epoch, evaluate.

`head`: the backbone is frozen, so its features are computed once and every epoch costs next to nothing.
`fine-tune`: the last stage and the head, or the whole network, learn from augmented images.

What a step does depends on the step's number and on the state in the checkpoint, nothing else: the order of
an epoch, the augmentation and dropout are drawn from (seed, epoch, image or step). Each phase warms up and
decays along a cosine. Unless `kept-epoch` says otherwise the model of the last epoch is the result: the best
of a few dozen validation images would be picked by chance.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import importlib.metadata
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from training import artifact, backbones, checkpoint, job
from training.allocator import keep_memory
from training.artifact import ModelDescription
from training.augmentation import CentreCrop, augmentation, mix
from training.calibration import HIGHEST, fit_temperature
from training.checkpoint import CheckpointStore
from training.data import (
    Channel,
    Loader,
    Transform,
    batches_of,
    check_every_class,
    check_same_data,
    derive_seed,
    shuffled,
)
from training.distributed import World
from training.hyper_parameters import HyperParameters, as_document, parse_hyper_parameters
from training.job import JobError, Stopped, StopRequest
from training.model import Classifier, choose_device, folded
from training.optimizer import AdamW, averaged, make_optimizer, schedule, set_learning_rate
from training.paths import Paths

HEAD, FINE_TUNE = "head", "fine-tune"
FEATURE_BATCH = 16
"""Images at a time where nothing learns: enough for a machine's cores, little of its memory."""
UNSHAPING = ("checkpoint-seconds",)
"""Hyper-parameters that do not shape the model, so that a run with another value goes on from this one's."""


LOWER_RATE = "train again with a lower learning-rate or fine-tune-learning-rate, or with gradient-clipping"


def run(paths: Paths, strings: Mapping[str, Any], stop: StopRequest) -> None:
    """Train and write the model artifacts, or raise Stopped with a checkpoint written."""
    started = time.perf_counter()
    stop.check()
    train, validation = load_data(paths)
    world = World.join()
    device = choose_device()
    hyper_parameters = usable(parse_hyper_parameters(strings, has_gpu=device.type == "cuda"), device)
    backbones.check_name(hyper_parameters.backbone)
    set_up_torch(device)
    classifier = Classifier(
        hyper_parameters.backbone,
        len(train.classes),
        hyper_parameters.dropout,
        hyper_parameters.stochastic_depth,
        hyper_parameters.image_size,
    )
    weights = classifier.load_pretrained(paths.channel("pretrained"))
    classifier.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if world.is_first:
        _announce(hyper_parameters, train, validation, device, world)
    run_name = _fingerprint(hyper_parameters, train, validation, weights)
    world.check_same(run_name)
    store = CheckpointStore(
        paths.checkpoints,
        run_name,
        seconds=hyper_parameters.checkpoint_seconds,
        world=world,
    )
    if store.folder and world.is_first:  # SageMaker makes it, as root, of what an interrupted job left
        job.check_writable(store.folder)
    loader = Loader()
    context = TrainingContext(classifier, train, validation, hyper_parameters, loader, stop, device, world)
    stop.defer()
    try:
        with world.watched():
            Fit(context, store).run()
        # Seconds before the end SIGTERM would only lose what the last checkpoint has not.
        last = replace(context, stop=StopRequest())
        temperature = fit_temperature(last.logits(classifier, validation), validation.labels())
    finally:
        loader.close()
        train.close()
        validation.close()
    if world.is_first:
        print(f"temperature={temperature:.4f}", flush=True)
        if temperature == HIGHEST:
            print(
                f"warning: the temperature is the highest there is, for the model is sure of wrong answers: "
                f"its training has probably diverged; {LOWER_RATE}",
                file=sys.stderr,
                flush=True,
            )
        _write_model(paths, classifier, _describe(hyper_parameters, train, classifier, weights, temperature))
        store.empty()
        print(f"trained in {time.perf_counter() - started:.1f} s; the model is in {paths.model}", flush=True)
    world.leave()


def usable(hyper_parameters: HyperParameters, device: torch.device) -> HyperParameters:
    """Return what the device can do of it: bf16 only where a GPU has it."""
    lacks = device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)
    if hyper_parameters.precision == "bf16" and lacks:
        print(f"note: {torch.cuda.get_device_name()} has no bf16, so precision is fp32", flush=True)
        return HyperParameters(**{**asdict(hyper_parameters), "precision": "fp32"})
    return hyper_parameters


def set_up_torch(device: torch.device) -> None:
    """Make the arithmetic deterministic, and the memory quick."""
    keep_memory()
    # As use_deterministic_algorithms(True), which imports the compiler to tell it. On a GPU some networks
    # have operations without a deterministic version: those are named in the log.
    torch.set_deterministic_debug_mode("error" if device.type == "cpu" else "warn")
    # Nothing here reads memory that was not written; filling it first would take a tenth of every step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a property


def load_data(paths: Paths) -> tuple[Channel, Channel]:
    """Open the channels train and validation, which must come from one Preprocess step."""
    train, validation = Channel(paths.channel("train")), Channel(paths.channel("validation"))
    check_same_data(train, validation)
    check_every_class(train)
    return train, validation


@dataclass(frozen=True)
class TrainingContext:
    """What both phases work with."""

    classifier: Classifier
    train: Channel
    validation: Channel
    hyper_parameters: HyperParameters
    loader: Loader
    stop: StopRequest
    device: torch.device
    world: World = field(default_factory=World)

    def to_input(self, pixels: Tensor) -> Tensor:
        """Normalise a uint8 batch on the device."""
        if self.device.type == "cuda":
            pixels = pixels.pin_memory()
        return self.classifier.input_format.normalise(pixels.to(self.device, non_blocking=True))

    def centred(self, channel: Channel, first: int = 0) -> Iterator[tuple[Tensor, int]]:
        """Yield this process's normalised images, with how many all processes have, from position `first` on.

        Raises:
            Stopped: SIGTERM has come to any of them.
        """
        crop = CentreCrop(self.hyper_parameters.image_size, self.classifier.input_format.crop_fraction)
        together = batches_of(range(first, len(channel)), FEATURE_BATCH * self.world.size)
        # What is left over may not suffice for all, but all go through it together.
        shares = [self.world.share(positions) or positions[:1] for positions in together]
        images = self.loader.load(channel, crop, shares)
        for positions, (pixels, _) in zip(together, images, strict=True):
            if self.world.size == 1:
                self.stop.check()
            elif self.world.any(self.stop.requested)[0]:
                raise Stopped("stopped by SIGTERM")
            yield self.to_input(pixels), len(positions)

    def logits(self, network: nn.Module, channel: Channel) -> Tensor:
        """Return a network's logits for every image of a channel, (images, classes), on the CPU."""
        network = folded(network)
        rows = []
        with torch.inference_mode():
            for images, count in self.centred(channel):
                rows.append(self.world.gather(network(images), count).cpu())
        return torch.cat(rows).clone()


@dataclass(frozen=True)
class Score:
    """The mean cross-entropy and the share of right answers over a channel."""

    loss: float
    accuracy: float


class Phase(Protocol):
    """One phase as the loop sees it."""

    @property
    def name(self) -> str:
        """Name the phase as the log does."""

    @property
    def learning_rate(self) -> float:
        """Return the highest learning rate of the phase."""

    @property
    def epochs(self) -> range:
        """Return the phase's epochs, counted over both phases."""

    @property
    def network(self) -> nn.Module:
        """Return what gives the logits of the phase's inputs."""

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return what learns, by name."""

    def train_mode(self) -> None:
        """Make the network ready to learn."""

    def batches(self, epoch: int, parts: Sequence[Sequence[int]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the inputs and labels of these parts of batches."""

    def evaluate(self, classifier: Classifier) -> Score:
        """Return a model's score on the validation channel."""


class HeadPhase:
    """Trains the head alone, on features computed once."""

    name = HEAD

    def __init__(self, context: TrainingContext, store: CheckpointStore) -> None:
        self._context, self._store = context, store
        self._train = self._features(context.train)
        self._validation = self._features(context.validation)
        self.learning_rate = context.hyper_parameters.learning_rate
        self.epochs = range(context.hyper_parameters.epochs)
        self.network: nn.Module = context.classifier.head

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return the head's parameters."""
        return self._context.classifier.head_parameters()

    def train_mode(self) -> None:
        """Let the head drop features."""
        self.network.train()

    def batches(self, epoch: int, parts: Sequence[Sequence[int]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Pick the features; they are the same in every epoch."""
        del epoch
        features, labels = self._train
        for positions in parts:
            index = torch.tensor(positions, device=self._context.device)
            yield features[index], labels[index]

    def evaluate(self, classifier: Classifier) -> Score:
        """Return the head's score on the validation channel's features."""
        features, labels = self._validation
        with torch.inference_mode():
            return score(classifier.head(features), labels)

    def _features(self, channel: Channel) -> tuple[Tensor, Tensor]:
        """Compute a channel's features, or go on where an interrupted job was with them."""
        context, name = self._context, channel.folder.name
        kept = self._store.load_features(name, len(channel), context.classifier.width)
        rows = [] if kept is None else [kept]
        count = sum(map(len, rows))
        if count == len(channel):
            return rows[0].to(context.device), channel.labels().to(context.device)
        body = folded(context.classifier.body)
        try:
            with torch.inference_mode():
                for images, together in context.centred(channel, count):
                    rows.append(context.world.gather(body(images), together).cpu())
                    if self._store.is_due():
                        self._store.save_features(name, torch.cat(rows))
        except Stopped:
            if rows:
                self._store.save_features(name, torch.cat(rows))
            raise
        features = torch.cat(rows).clone()
        self._store.save_features(name, features)
        return features.to(context.device), channel.labels().to(context.device)


class FineTunePhase:
    """Trains the backbone, or its last stage, and the head on augmented images."""

    name = FINE_TUNE

    def __init__(self, context: TrainingContext) -> None:
        self._context = context
        hyper_parameters = context.hyper_parameters
        self.learning_rate = hyper_parameters.fine_tune_learning_rate
        self.epochs = range(hyper_parameters.epochs, hyper_parameters.total_epochs)
        self.network: nn.Module = context.classifier
        self._trains_norms = hyper_parameters.batch_norm == "trained"
        self._labels = context.validation.labels()

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return the parameters of what fine-tune-layers says, and the head's."""
        classifier = self._context.classifier
        if self._context.hyper_parameters.fine_tune_layers == "all":
            return dict(classifier.named_parameters())
        return classifier.last_stage_parameters() | classifier.head_parameters()

    def train_mode(self) -> None:
        """Let the head drop features and, where all of it learns, the network leave out blocks."""
        classifier = self._context.classifier
        if self._context.hyper_parameters.fine_tune_layers == "all":
            classifier.train()
        else:
            classifier.head.train()
        for module in classifier.modules():
            if isinstance(module, _BatchNorm):
                module.train(self._trains_norms and any(each.requires_grad for each in module.parameters()))

    def batches(self, epoch: int, parts: Sequence[Sequence[int]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Augment the images, by epoch and image."""
        context = self._context
        form = context.classifier.input_format
        transform: Transform = augmentation(context.hyper_parameters, epoch, form.crop_fraction, form.mean)
        for pixels, labels in context.loader.load(context.train, transform, parts):
            yield context.to_input(pixels), labels.to(context.device)

    def evaluate(self, classifier: Classifier) -> Score:
        """Return a model's score on the validation channel's images."""
        return score(self._context.logits(classifier, self._context.validation), self._labels)


def score(logits: Tensor, labels: Tensor) -> Score:
    """Score logits (images, classes) against labels (images,)."""
    right = (logits.argmax(1) == labels).float().mean()
    return Score(functional.cross_entropy(logits.float(), labels).item(), right.item())


@dataclass
class EpochTotals:
    """Sums over the current epoch, kept in the checkpoint so that its log line comes out the same."""

    loss: float = 0.0
    images: int = 0


@dataclass
class Best:
    """The epoch of the current phase with the lowest validation loss."""

    loss: float = math.inf
    epoch: int = -1
    model: dict[str, Tensor] = field(default_factory=dict)
    """Its weights, where `kept-epoch` wants them."""


class Fit:
    """One training job's loop, from its first step or from a checkpoint's."""

    def __init__(self, context: TrainingContext, store: CheckpointStore) -> None:
        self.context, self.store = context, store
        self.world = context.world
        self.steps_per_epoch = math.ceil(len(context.train) / context.hyper_parameters.batch_size)
        self.step = 0
        self.totals = EpochTotals()
        self.best = Best()
        self.seconds: dict[str, float] = {}  # of the last epoch of each phase, for the estimate
        self.phase: Phase
        self.network: nn.Module
        self.optimizer: AdamW
        self.average: Any = None
        self._labels = context.train.labels()
        self._class_weights = class_weights(
            self._labels, len(context.train.classes), context.hyper_parameters.class_weighting
        )
        # Of this process alone, since the last time that all added theirs up.
        self._loss = torch.zeros((), dtype=torch.float64, device=context.device)

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
                self.train_one_epoch()
            self._end_phase()
        self.context.classifier.eval()

    def _start_phase(self, saved: dict[str, Any] | None) -> None:
        context, hyper_parameters = self.context, self.context.hyper_parameters
        context.classifier.eval()
        started = time.perf_counter()
        is_head = self.epoch < hyper_parameters.epochs
        self.phase = HeadPhase(context, self.store) if is_head else FineTunePhase(context)
        self.seconds.setdefault(FINE_TUNE, 1.5 * (time.perf_counter() - started))
        trained = self.phase.parameters()
        context.classifier.freeze_all_but(trained)
        self.optimizer = make_optimizer(trained, context.classifier.depths(), hyper_parameters)
        averages = hyper_parameters.ema_decay and not is_head
        self.average = averaged(context.classifier, hyper_parameters.ema_decay) if averages else None
        if saved and saved["phase"] == self.phase.name:  # at the boundary it is still the other phase's
            self.optimizer.load_state_dict(saved["optimizer"])
            if self.average:
                self.average.load_state_dict(saved["average"])
            self.best = Best(**saved["best"])
        else:
            self.best = Best()
            if self.step:
                self._save()  # the boundary between the phases
        self.network = self._distributed(self.phase.network)

    def _distributed(self, network: nn.Module) -> nn.Module:
        """Let the processes of the job add up their gradients."""
        if not self.world.joined:
            return network
        trains_norms = self.context.hyper_parameters.batch_norm == "trained"
        if trains_norms and self.context.device.type == "cuda":  # there is none for CPUs
            _synchronise_norms(network, self.context.hyper_parameters.backbone)
        devices = [self.world.local_rank] if self.context.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=devices, gradient_as_bucket_view=True)

    def _end_phase(self) -> None:
        if self.average:
            self.context.classifier.load_state_dict(self.average.module.state_dict())
        if self.best.model:
            self.context.classifier.load_state_dict(self.best.model)
        self.best = Best()

    def train_one_epoch(self) -> None:
        """Train from the current step to the end of its epoch, then validate."""
        epoch, started, before = self.epoch, time.perf_counter(), self.totals.images
        hyper_parameters = self.context.hyper_parameters
        if not self._is_unvalidated():
            order = shuffled(len(self.context.train), hyper_parameters.seed, epoch)
            first = self.step % self.steps_per_epoch
            batches = batches_of(order, hyper_parameters.batch_size, first)
            parts = [self._parts(batch) for batch in batches]
            inputs = self.phase.batches(epoch, [part for batch in parts for part in batch])
            self.phase.train_mode()
            for batch, mine in zip(batches, parts, strict=True):
                self._learn(batch, mine, inputs)
                self._keep_if_needed()
            self.context.classifier.eval()
            if self.phase.name == FINE_TUNE and hyper_parameters.batch_norm == "trained":
                self.world.take_statistics(self._model())
        trained = self.totals.images - before
        rate = trained / (time.perf_counter() - started)
        score = self._evaluate()
        if not math.isfinite(score.loss):
            raise JobError(
                f"the validation loss of {self.phase.name} is no finite number after epoch {epoch + 1}: "
                f"{LOWER_RATE}"
            )
        self.seconds[self.phase.name] = time.perf_counter() - started
        self._add_up()
        self._log(epoch, score, rate)
        self.totals = EpochTotals()
        self._compare(epoch, score)
        self._keep_if_needed(first_epoch=epoch == 0)

    def _parts(self, batch: Sequence[int]) -> list[Sequence[int]]:
        """Cut this process's share of a batch into what goes through the network at once.

        There are no more parts than the fullest share has images. A process whose share has fewer takes the
        batch's first image instead, without weight, for the processes add up their gradients together.
        """
        count = min(self.context.hyper_parameters.accumulation_steps, math.ceil(len(batch) / self.world.size))
        share = self.world.share(batch)
        return [share[part::count] or batch[:1] for part in range(count)]

    def _learn(
        self, batch: Sequence[int], parts: Sequence[Sequence[int]], inputs: Iterator[tuple[Tensor, Tensor]]
    ) -> None:
        """Take one step with the gradient of the whole batch's mean loss, whoever has which image of it."""
        context, hyper_parameters, phase = self.context, self.context.hyper_parameters, self.phase
        # Each process draws its own dropout; what they share, order and augmentation, is drawn by image.
        seed = derive_seed(
            hyper_parameters.seed, "step", self.step, *([self.world.rank] if self.world.rank else [])
        )
        torch.default_generator.manual_seed(seed)
        if context.device.type == "cuda":
            torch.cuda.manual_seed_all(seed)
        step = self.step - phase.epochs.start * self.steps_per_epoch
        steps = len(phase.epochs) * self.steps_per_epoch
        set_learning_rate(
            self.optimizer, phase.learning_rate * schedule(step, steps, hyper_parameters.warm_up)
        )
        self.optimizer.zero_grad(set_to_none=True)
        whole = float(self._class_weights[self._labels[list(batch)]].sum())
        mine = len(self.world.share(batch))
        for number in range(len(parts)):
            images, labels = next(inputs)
            with self._together(last=number == len(parts) - 1):
                loss = self._loss_of(images, labels) / whole
                if number >= mine:  # the image without weight
                    loss = loss * 0
                # DistributedDataParallel takes the mean over the processes, of what are shares of one sum.
                (loss * self.world.size).backward()  # type: ignore[no-untyped-call]
            self._loss += loss.detach() * len(batch)
        if hyper_parameters.gradient_clipping:
            trained = [each for group in self.optimizer.param_groups for each in group["params"]]
            nn.utils.clip_grad_norm_(trained, hyper_parameters.gradient_clipping)
        self.optimizer.step()
        if self.average:
            self.average.update_parameters(context.classifier)
        self.step += 1
        self.totals.images += len(batch)

    def _together(self, *, last: bool) -> contextlib.AbstractContextManager[None]:
        """Let the processes add up their gradients behind the last part of a batch only."""
        if self.world.joined and not last:
            nothing: contextlib.AbstractContextManager[None] = self.network.no_sync()  # type: ignore[operator]
            return nothing
        return contextlib.nullcontext()

    def _loss_of(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the sum of the images' weighted losses."""
        hyper_parameters, classes = self.context.hyper_parameters, len(self.context.train.classes)
        targets = labels
        if self.phase.name == FINE_TUNE:
            images, targets = mix(hyper_parameters, images, labels, classes)
        halves = hyper_parameters.precision == "bf16" and self.phase.name == FINE_TUNE
        with torch.autocast(self.context.device.type, dtype=torch.bfloat16, enabled=halves):
            logits = self._logits(images)
        weights = self._class_weights.to(labels.device)
        smoothing = hyper_parameters.label_smoothing
        if hyper_parameters.class_weighting == "none":
            return functional.cross_entropy(
                logits.float(), targets, label_smoothing=smoothing, reduction="sum"
            )
        shares = targets if targets.ndim > 1 else functional.one_hot(labels, classes).float()
        losses = functional.cross_entropy(
            logits.float(), targets, label_smoothing=smoothing, reduction="none"
        )
        return (losses * (shares @ weights)).sum()

    def _logits(self, images: Tensor) -> Tensor:
        try:
            logits: Tensor = self.network(images)
        except ValueError as error:  # which only what went through the network could tell
            if "more than 1 value per channel" not in str(error):
                raise
            size = self.context.hyper_parameters.image_size
            raise JobError(
                f"batch-norm is trained, but step {self.step + 1} has a part of {len(images)} image of "
                f"{size} pixels, which has no statistics: choose a batch-size that "
                f"leaves no single one of {len(self.context.train)} images, fewer accumulation-steps or "
                "batch-norm frozen"
            ) from error
        return logits

    def _evaluate(self) -> Score:
        try:
            score = self.phase.evaluate(self._model())
            # Of equal logits another CPU may add up another loss, by which it would end a phase alone.
            mine = (score.loss, score.accuracy) if self.world.is_first else (0, 0)
            return Score(*self.world.sum(torch.tensor(mine, dtype=torch.float64)).tolist())
        except Stopped:  # in the middle of the validation images: the epoch's steps are worth keeping
            self._save()
            raise

    def _model(self) -> Classifier:
        model: Classifier = self.average.module if self.average else self.context.classifier
        return model

    def _compare(self, epoch: int, score: Score) -> None:
        """Remember the best epoch, and end the phase where none has been better for long."""
        hyper_parameters = self.context.hyper_parameters
        if score.loss < self.best.loss:
            keeps = hyper_parameters.kept_epoch == "best"
            model = copy.deepcopy(self._model().state_dict()) if keeps else {}
            self.best = Best(score.loss, epoch, model)
        elif hyper_parameters.patience and epoch - self.best.epoch >= hyper_parameters.patience:
            if epoch + 1 < self.phase.epochs.stop and self.world.is_first:
                print(
                    f"note: {self.phase.name} ends after epoch {epoch + 1}, because the validation loss was "
                    f"lowest in epoch {self.best.epoch + 1}",
                    flush=True,
                )
            self.step = self.phase.epochs.stop * self.steps_per_epoch

    def _keep_if_needed(self, *, first_epoch: bool = False) -> None:
        """Write a checkpoint where one is due, and stop where SIGTERM has come, to any process."""
        finished = self.epoch >= self.context.hyper_parameters.total_epochs
        stop, due = self.world.any(self.context.stop.requested, self.store.is_due())
        if stop and not finished:
            self._save()
            raise Stopped(f"stopped by SIGTERM after step {self.step}, in epoch {self.epoch + 1}")
        if not finished and (first_epoch or due):
            self._save()

    # --- state ----------------------------------------------------------------------------------------------

    def _add_up(self) -> None:
        """Add the loss of all processes to the epoch's."""
        self.totals.loss += self.world.sum(self._loss).item()
        self._loss.zero_()
        if not math.isfinite(self.totals.loss):
            raise JobError(
                f"the loss of {self.phase.name} is no finite number any more after step {self.step}: "
                f"{LOWER_RATE}"
            )

    def _save(self) -> None:
        self._add_up()
        self.store.save(
            {
                "step": self.step,
                "phase": self.phase.name,
                "totals": asdict(self.totals),
                "model": self.context.classifier.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": self.average.state_dict() if self.average else {},
                "best": vars(self.best),
            }
        )

    def _restore(self, saved: dict[str, Any]) -> None:
        self.step = saved["step"]
        self.totals = EpochTotals(**saved["totals"])
        self.context.classifier.load_state_dict(saved["model"])
        phase = HEAD if self.epoch < self.context.hyper_parameters.epochs else FINE_TUNE
        if saved["phase"] != phase and saved["best"]["model"]:  # interrupted where the phase had just ended
            self.context.classifier.load_state_dict(saved["best"]["model"])
        total = self.context.hyper_parameters.total_epochs
        if self.world.is_first:
            print(f"resumed at step={self.step} epoch={self.epoch + 1}/{total}", flush=True)

    def _log(self, epoch: int, score: Score, rate: float) -> None:
        if not self.world.is_first:
            return
        total, done = self.context.hyper_parameters.total_epochs, epoch + 1
        head_left = max(0, self.context.hyper_parameters.epochs - done)
        tune_left = min(total - done, self.context.hyper_parameters.fine_tune_epochs)
        eta = head_left * self.seconds.get(HEAD, 0) + tune_left * self.seconds[FINE_TUNE]
        loss = self.totals.loss / self.totals.images
        print(
            f"epoch={done}/{total} phase={self.phase.name} train_loss={loss:.4f} "
            f"validation_loss={score.loss:.4f} validation_accuracy={score.accuracy:.4f} "
            f"images_per_second={rate:.1f} progress={100 * done / total:.1f} eta_seconds={eta:.0f}",
            flush=True,
        )


def class_weights(labels: Tensor, classes: int, weighting: str) -> Tensor:
    """Return the weight of an image of each class, (classes,): 1 for all, or a mean of 1 over the images."""
    if weighting == "none":
        return torch.ones(classes)
    return len(labels) / (classes * labels.bincount(minlength=classes).float())


def _synchronise_norms(network: nn.Module, backbone: str) -> None:
    if backbone.startswith("timm/"):  # whose norms have the activation in them
        from timm.layers.norm_act import convert_sync_batchnorm  # noqa: PLC0415 - of this library alone

        convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    else:
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]


def _fingerprint(hyper_parameters: HyperParameters, train: Channel, validation: Channel, weights: str) -> str:
    document = as_document(hyper_parameters)
    return checkpoint.fingerprint(
        {
            "hyper_parameters": {key: value for key, value in document.items() if key not in UNSHAPING},
            "data": train.digest,
            # Every split has the digest of all the data: only its images tell one from the other.
            "train": [entry.id for entry in train.entries],
            "validation": [entry.id for entry in validation.entries],
            "pretrained": weights,
            "code": checkpoint.code_version(),
        }
    )


def _announce(
    hyper_parameters: HyperParameters, train: Channel, validation: Channel, device: torch.device, world: World
) -> None:
    processes = f" processes={world.size}" if world.size > 1 else ""
    print(
        f"backbone={hyper_parameters.backbone} profile={hyper_parameters.profile} "
        f"classes={len(train.classes)} "
        f"train_images={len(train)} validation_images={len(validation)} device={device}{processes} "
        f"threads={torch.get_num_threads()} torch={torch.__version__} data={train.digest[:12]}",
        flush=True,
    )


def _describe(
    hyper_parameters: HyperParameters,
    train: Channel,
    classifier: Classifier,
    weights: str,
    temperature: float,
) -> ModelDescription:
    form = classifier.input_format
    return ModelDescription(
        backbone=hyper_parameters.backbone,
        image_size=hyper_parameters.image_size,
        classes=train.classes,
        mean=list(form.mean),
        std=list(form.std),
        interpolation=form.interpolation,
        crop_fraction=form.crop_fraction,
        dropout=hyper_parameters.dropout,
        temperature=temperature,
        data_digest=train.digest,
        pretrained_digest=weights,
        code_digest=checkpoint.code_version(),
        hyper_parameters=as_document(hyper_parameters),
        torch=str(torch.__version__),
        torchvision=importlib.metadata.version("torchvision"),
    )


def _write_model(paths: Paths, classifier: Classifier, description: ModelDescription) -> None:
    try:
        artifact.write_artifact(paths.model, classifier, description)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise JobError(f"no space left for the model in {paths.model}: {job.FULL_DISK}") from error
