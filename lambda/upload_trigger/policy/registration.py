"""What whoever approves a model is shown is true: its numbers are those of this model, and of this execution.

A RegisterModel step registers the model of a Training step that runs `training.train` on the split of this
execution's own `training.preprocess`. The numbers beside it are what `training.evaluate` measured of that
very model, on the images set apart, with the image that is to serve it. Whether they are good, a person says.
"""

import functools
from collections.abc import Iterator
from typing import Any

from upload_trigger.definition.problems import Path, entries, find, show
from upload_trigger.policy import locations
from upload_trigger.policy.expressions import Scope, UnknownValueError, made_by, made_token, told_by
from upload_trigger.policy.form import Violation

RULE = "registration"
PREPROCESS, TRAIN, EVALUATE = (
    ["python", "-m", f"training.{name}"] for name in ("preprocess", "train", "evaluate")
)
PRETRAINED = "pretrained"
"""The channel with a backbone's weights."""
EVALUATION, FILE, CARD = "evaluation", "evaluation.json", "model-card.json"
Wrong = tuple[Path, str]
"""Where something is wrong, and what."""


def violations(scope: Scope) -> Iterator[Violation]:
    """Yield what is not true of each model that is registered.

    A later execution goes on from checkpoints that outlive this one: a training that leaves such must have
    learned from nothing but what a registered model may have learned from.
    """
    lineage = _Lineage(scope)
    for path, step in scope.steps:
        if step.get("Type") == "RegisterModel":
            for where, what in _wrong(lineage, scope, step, path):
                yield Violation(RULE, where, what)
        elif step.get("Type") == "Training" and _leaves_checkpoints(scope, step):
            for where, what in lineage.trained(str(step.get("Name")))[1]:
                must = "a later execution would go on from its checkpoints; keep them below executions/<id>/"
                yield Violation(RULE, where, f"{what}: {must}")


class _Lineage:
    """The lineage of every model of a definition, each looked up once."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.trained = functools.cache(self._trained)
        """Return the step that chose the images a step learns from, and what is wrong with its channels."""
        self.evaluated = functools.cache(self._evaluated)
        """Return what keeps an evaluation from being of a step's model, on images new to it."""
        self._inputs = functools.cache(self._processing_inputs)

    def _processing_inputs(self, name: str) -> dict[str, tuple[Path, Any]]:
        path, step = self._scope.find(name)
        targets = locations.processing_targets(step, path, "ProcessingInputs")
        return {each: ((*at, "S3Uri"), target.get("S3Uri")) for at, each, target in targets}

    def _trained(self, training: str) -> tuple[str, list[Wrong]]:
        path, step = self._scope.find(training)
        if not _runs(step, "Training", TRAIN):
            at: Path = (*path, "Arguments", "AlgorithmSpecification", "ContainerEntrypoint")
            return "", [(at, f"step {show(training)} does not run training.train")]
        source_uri = ("DataSource", "S3DataSource", "S3Uri")
        channels = {
            str(each.get("ChannelName")): ((*at, *source_uri), find(each, *source_uri))
            for at, each in entries(step, path, "Arguments", "InputDataConfig")
        }
        where, written = channels.get("train", ((*path, "Arguments", "InputDataConfig"), None))
        source, *output = made_by(self._scope.value(written))
        source = source if output == ["train", ""] else ""
        if not _runs(self._scope.step(source), "Processing", PREPROCESS):
            must = "the output train of a step that runs training.preprocess"
            return "", [(where, f'channel "train" is {_said(written)}, not {must}')]
        return source, [
            (at, f"channel {show(name)} is {_said(written)}, not {self._must_be(name, source)}")
            for name, (at, written) in channels.items()
            if not self._is_apart(name, written, source)
        ]

    def _is_apart(self, name: str, written: Any, source: str) -> bool:
        """Return whether a channel holds nothing of the test images."""
        if name == PRETRAINED:
            # Jobs cannot write there: weights that an earlier job tuned on the test images are elsewhere.
            try:
                return locations.why_not_read(self._scope, written, (locations.DATA,)) is None
            except UnknownValueError:
                return False
        return name in ("train", "validation") and self._scope.value(written) == made_token(source, name)

    def _must_be(self, name: str, source: str) -> str:
        if name == PRETRAINED:
            return f"below s3://{self._scope.deployed.get('ArtifactBucket')}/{locations.DATA}"
        return f"the {name if name == 'validation' else 'train or validation'} of {show(source)}"

    def _evaluated(self, training: str, evaluation: str) -> list[Wrong]:
        path, inputs = self._scope.find(evaluation)[0], self._inputs(evaluation)
        must_be = {"model": (made_token(training), f"the model of {show(training)}")}
        source, _ = self.trained(training)
        if source:
            must_be |= {
                name: (made_token(source, name), f"the {name} of {show(source)}")
                for name in ("test", "manifest")
            }
        wrong = []
        for name, (location, said) in must_be.items():
            where, written = inputs.get(name, ((*path, "Arguments", "ProcessingInputs"), None))
            if self._scope.value(written) != location:
                wrong.append((where, f"input {name} is {_said(written)}, not {said}"))
        return wrong


def _wrong(lineage: _Lineage, scope: Scope, step: dict[str, Any], path: Path) -> Iterator[Wrong]:
    """Yield what a RegisterModel step shows that is not so."""
    name = show(step.get("Name"))
    containers = ("Arguments", "InferenceSpecification", "Containers")
    listed = find(step, *containers)
    is_one = isinstance(listed, list) and len(listed) == 1 and isinstance(listed[0], dict)
    at, container = ((*path, *containers, 0), listed[0]) if is_one else ((*path, *containers), {})
    training, *model = made_by(scope.value(container.get("ModelDataUrl")))
    if model != [None, ""] or scope.step(training).get("Type") != "Training":
        what = f"{name} must register the model of one Training step"
        example = '{"Get": "Steps.<name>.ModelArtifacts.S3ModelArtifacts"}'
        yield ((*at, "ModelDataUrl"), f"{what}; write {example}")
        return
    for where, what in lineage.trained(training)[1]:
        yield (where, f"{what}: {name} registers its model")
    statistics = ("Arguments", "ModelMetrics", "ModelQuality", "Statistics", "S3Uri")
    evaluation, *file = made_by(scope.value(find(step, *statistics)))
    if file != [EVALUATION, f"/{FILE}"] or not _runs(scope.step(evaluation), "Processing", EVALUATE):
        what = "whoever approves the model reads the numbers there"
        join = f"Steps.<name>.ProcessingOutputConfig.Outputs['{EVALUATION}'].S3Output.S3Uri and {FILE}"
        due = f"write a Std:Join, On /, of {join}, of a step that runs training.evaluate"
        yield ((*path, *statistics), f"{what}; {due}")
        return
    for where, what in _wrong_facts(scope, step, path, evaluation):
        yield (where, f"{what}, whose numbers {name} shows")
    for each in (training, evaluation, lineage.trained(training)[0]):
        at_each = scope.find(each)[0]
        if "ForEachBody" in at_each:
            yield (at_each, f"each iteration would write over the other's results, and {name} registers them")
    for where, what in lineage.evaluated(training, evaluation):
        yield (where, f"{what}, whose model {name} registers with these numbers")
    image = scope.value(find(scope.step(evaluation), "Arguments", "AppSpecification", "ImageUri"))
    if image is None or scope.value(container.get("Image")) != image:
        yield ((*at, "Image"), f"not the image of {show(evaluation)}, which evaluated the model")


def _wrong_facts(scope: Scope, step: dict[str, Any], path: Path, evaluation: str) -> Iterator[Wrong]:
    """Yield the properties of a package that another job told than the evaluation of its numbers."""
    members = ("Arguments", "CustomerMetadataProperties")
    properties = find(step, *members)
    files = {
        str(find(each, "PropertyFileName"))
        for _, each in entries(scope.step(evaluation), (), "PropertyFiles")
        if (find(each, "OutputName"), find(each, "FilePath")) == (EVALUATION, FILE)
    }
    for property_name, written in properties.items() if isinstance(properties, dict) else ():
        known = scope.value(written)
        source, file = told_by(known)
        if source and not (source == evaluation and file in files):
            yield ((*path, *members, property_name), f"not told by the {FILE} of {show(evaluation)}")
        if made_by(known)[0] and made_by(known) != (evaluation, EVALUATION, f"/{CARD}"):
            yield ((*path, *members, property_name), f"not the {CARD} of {show(evaluation)}")


def _leaves_checkpoints(scope: Scope, step: dict[str, Any]) -> bool:
    """Return whether a training's checkpoints outlive the execution."""
    written = find(step, "Arguments", "CheckpointConfig", "S3Uri")
    known = scope.value(written) is not None  # or else refused where it stands
    return known and locations.why_not_written(scope, written) is not None


def _runs(step: dict[str, Any], kind: str, command: list[str]) -> bool:
    """Return whether a step of a type starts a command, written out."""
    member = "AppSpecification" if kind == "Processing" else "AlgorithmSpecification"
    started = find(step, "Arguments", member, "ContainerEntrypoint")
    return step.get("Type") == kind and bool(started == command)


def _said(value: Any) -> str:
    """Return a value in words, a reference without its braces."""
    if value is None:
        return "missing"
    return show(value.get("Get", value)) if isinstance(value, dict) else show(value)
