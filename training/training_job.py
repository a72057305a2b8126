"""One training job from its channels to its model artifacts; `training.train` is its entry point."""

from __future__ import annotations

import errno
import importlib.metadata
import time

import torch

from training import artifact, checkpoint, job
from training.allocator import keep_memory
from training.artifact import ModelDescription
from training.calibration import fit_temperature
from training.data import CentreCrop, Channel, Loader, batches_of, check_every_class, check_same_data
from training.fit import Fit
from training.hyper_parameters import HyperParameters, as_document
from training.job import JobError, StopRequest
from training.model import Classifier, check_backbone, choose_device, folded, load_pretrained
from training.paths import Paths
from training.phases import FEATURE_BATCH, TrainingContext


def run(paths: Paths, hyper_parameters: HyperParameters, stop: StopRequest) -> None:
    """Train and write the model artifacts, or raise Stopped with a checkpoint written."""
    started = time.perf_counter()
    stop.check()
    check_backbone(hyper_parameters.backbone)
    keep_memory()
    # As use_deterministic_algorithms(True), which imports the compiler to tell it.
    torch.set_deterministic_debug_mode("error")
    # Nothing here reads memory that was not written; filling it first would take a tenth of every step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a property
    train, validation = Channel(paths.channel("train")), Channel(paths.channel("validation"))
    check_same_data(train, validation)
    check_every_class(train)
    classifier = Classifier(
        hyper_parameters.backbone,
        len(train.classes),
        hyper_parameters.dropout,
        image_size=hyper_parameters.image_size,
    )
    weights = load_pretrained(classifier, hyper_parameters.backbone, paths.channel("pretrained"))
    device = choose_device()
    classifier.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    _announce(hyper_parameters, train, validation, device)
    store = checkpoint.CheckpointStore(
        paths.checkpoints, _fingerprint(hyper_parameters, train, validation, weights)
    )
    if store.folder:  # SageMaker makes it, as root, of the checkpoints that an interrupted job left
        job.check_writable(store.folder)
    loader = Loader()
    context = TrainingContext(classifier, train, validation, hyper_parameters, loader, stop, device)
    try:
        Fit(context, store).run()
        temperature = _temperature(context)
    finally:
        loader.close()
        train.close()
        validation.close()
    _write_model(paths, context, temperature, weights)
    print(f"trained in {time.perf_counter() - started:.1f} s; the model is in {paths.model}", flush=True)


def _fingerprint(hyper_parameters: HyperParameters, train: Channel, validation: Channel, weights: str) -> str:
    return checkpoint.fingerprint(
        {
            "hyper_parameters": as_document(hyper_parameters),
            "data": train.digest,
            # Every split has the digest of all the data: only its images tell one from the other.
            "train": [entry.id for entry in train.entries],
            "validation": [entry.id for entry in validation.entries],
            "pretrained": weights,
            "code": checkpoint.code_version(),
        }
    )


def _announce(
    hyper_parameters: HyperParameters, train: Channel, validation: Channel, device: torch.device
) -> None:
    print(
        f"backbone={hyper_parameters.backbone} classes={len(train.classes)} train_images={len(train)} "
        f"validation_images={len(validation)} device={device} threads={torch.get_num_threads()} "
        f"torch={torch.__version__} data={train.digest[:12]}",
        flush=True,
    )


def _temperature(context: TrainingContext) -> float:
    """Fit the temperature on the validation images, as the network that will predict sees them.

    SIGTERM is not asked for: the model is trained, and this takes as long as one validation.
    """
    network, size = folded(context.classifier), context.hyper_parameters.image_size
    crop = CentreCrop(size, context.classifier.input_format.crop_fraction)
    batches = batches_of(range(len(context.validation)), FEATURE_BATCH)
    with torch.inference_mode():
        loaded = context.loader.load(context.validation, crop, batches)
        logits = torch.cat([network(context.to_input(pixels)) for pixels, _ in loaded])
    temperature = fit_temperature(logits, context.validation.labels())
    print(f"temperature={temperature:.4f}", flush=True)
    return temperature


def _write_model(paths: Paths, context: TrainingContext, temperature: float, weights: str) -> None:
    classifier, train, hyper_parameters = context.classifier, context.train, context.hyper_parameters
    form = classifier.input_format
    description = ModelDescription(
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
    try:
        artifact.write_artifact(paths.model, classifier, description)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise JobError(f"no space left for the model in {paths.model}: {job.FULL_DISK}") from error
