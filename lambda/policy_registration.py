"""Proof that a model is registered only after our own evaluation found it accurate enough.

A Condition step around the RegisterModel step says so, on the branch taken when its conditions hold: the
accuracy that `training.evaluate` measured of this very model, on images that `training.preprocess` set apart,
is at least the minimum. One that is no number fails every comparison, so neither Equals nor Not is proof.
"""

import functools
from collections.abc import Iterator
from typing import Any

import pipeline_walk
import policy_values
from pipeline_problems import Path, entries, find, show
from policy_values import Refusal, Scope, UnknownValueError, made_by, made_token

PREPROCESS, TRAIN, EVALUATE = (
    ["python", "-m", f"training.{name}"] for name in ("preprocess", "train", "evaluate")
)
PRETRAINED = "pretrained"
"""The channel with a backbone's weights."""
Wrong = tuple[Path, str]
"""Where something is wrong, and what."""
RULE = "registration_gate"
ACCURACY = "multiclass_classification_metrics.accuracy.value"
EVALUATION, FILE = "evaluation", "evaluation.json"
# Which operand is the accuracy, and which the threshold it is at least.
_COMPARISONS = {
    "GreaterThan": ("LeftValue", "RightValue"),
    "GreaterThanOrEqualTo": ("LeftValue", "RightValue"),
    "LessThan": ("RightValue", "LeftValue"),
    "LessThanOrEqualTo": ("RightValue", "LeftValue"),
}
_CONDITIONS = 20
"""Further conditions prove nothing, those inside others counted: a file could have thousands."""


class Lineage:
    """The lineage of every model of a definition, each looked up once."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.trained = functools.cache(self._trained)
        """Gives the step that chose the images a step learns from, and what is wrong with its channels."""
        self.evaluated = functools.cache(self._evaluated)
        """Gives what keeps an evaluation from being of a step's model, on images new to it."""
        self.property_files = functools.cache(self._property_files)
        self._inputs = functools.cache(self._processing_inputs)

    def _property_files(self, name: str) -> dict[str, tuple[Path, dict[str, Any]]]:
        path, step = self._scope.steps[name]
        listed = entries(step, path, "PropertyFiles")
        return {str(each.get("PropertyFileName")): (at, each) for at, each in listed}

    def _processing_inputs(self, name: str) -> dict[str, tuple[Path, Any]]:
        path, step = self._scope.steps[name]
        targets = policy_values.processing_targets(step, path, "ProcessingInputs")
        return {each: ((*at, "S3Uri"), target.get("S3Uri")) for at, each, target in targets}

    def _trained(self, training: str) -> tuple[str, list[Wrong]]:
        path, step = self._scope.steps.get(training, ((), {}))
        if not runs(step, "Training", TRAIN):
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
        if not runs(self._scope.step(source), "Processing", PREPROCESS):
            due = "the output train of a step that runs training.preprocess"
            return "", [(where, f'channel "train" is {say(written)}, not {due}')]
        return source, [
            (at, f"channel {show(name)} is {say(written)}, not {self._due(name, source)}")
            for name, (at, written) in channels.items()
            if not self._is_apart(name, written, source)
        ]

    def _is_apart(self, name: str, written: Any, source: str) -> bool:
        """Tell whether a channel holds nothing of the test images."""
        if name == PRETRAINED:
            # Jobs cannot write there: weights that an earlier job tuned on the test images are elsewhere.
            try:
                return policy_values.why_not_read(self._scope, written, (policy_values.DATA,)) is None
            except UnknownValueError:
                return False
        return name in ("train", "validation") and self._scope.value(written) == made_token(source, name)

    def _due(self, name: str, source: str) -> str:
        if name == PRETRAINED:
            return f"below s3://{self._scope.deployed.get('ArtifactBucket')}/{policy_values.DATA}"
        return f"the {name if name == 'validation' else 'train or validation'} of {show(source)}"

    def _evaluated(self, training: str, evaluation: str) -> list[Wrong]:
        path, inputs = self._scope.steps[evaluation][0], self._inputs(evaluation)
        due = {"model": (made_token(training), f"the model of {show(training)}")}
        source, _ = self.trained(training)
        if source:
            due |= {
                name: (made_token(source, name), f"the {name} of {show(source)}")
                for name in ("test", "manifest")
            }
        wrong = []
        for name, (location, said) in due.items():
            where, written = inputs.get(name, ((*path, "Arguments", "ProcessingInputs"), None))
            if self._scope.value(written) != location:
                wrong.append((where, f"input {name} is {say(written)}, not {said}"))
        return wrong


def runs(step: dict[str, Any], kind: str, command: list[str]) -> bool:
    """Tell whether a step of a type starts a command, written out."""
    member = "AppSpecification" if kind == "Processing" else "AlgorithmSpecification"
    started = find(step, "Arguments", member, "ContainerEntrypoint")
    return step.get("Type") == kind and bool(started == command)


def say(value: Any) -> str:
    """Write a value, a reference without its braces."""
    if value is None:
        return "missing"
    return show(value.get("Get", value)) if isinstance(value, dict) else show(value)


def refusals(scope: Scope) -> Iterator[Refusal]:
    """Say for each RegisterModel step that is not behind the gate what is missing.

    A later execution goes on from checkpoints that outlive this one: they are judged like a registered model.
    """
    lineage = Lineage(scope)
    for path, step, _ in pipeline_walk.steps(scope.definition):
        if step.get("Type") == "RegisterModel":
            for where, what in _Registration(lineage, scope, step, path).wrong():
                yield Refusal(RULE, where, what)
        elif step.get("Type") == "Training" and _leaves_checkpoints(scope, step):
            for where, what in lineage.trained(str(step.get("Name")))[1]:
                due = "a later execution would go on from its checkpoints; keep them below executions/<id>/"
                yield Refusal(RULE, where, f"{what}: {due}")


def _leaves_checkpoints(scope: Scope, step: dict[str, Any]) -> bool:
    written = find(step, "Arguments", "CheckpointConfig", "S3Uri")
    known = scope.value(written) is not None  # or else refused where it stands
    return known and policy_values.why_not_written(scope, written) is not None


class _Registration:
    """A RegisterModel step and the search for its proof."""

    def __init__(self, lineage: Lineage, scope: Scope, step: dict[str, Any], path: Path) -> None:
        self._lineage, self._scope, self._step, self._path = lineage, scope, step, path
        self._name = show(step.get("Name"))
        self._training = ""
        self._left = _CONDITIONS

    def wrong(self) -> Iterator[Wrong]:
        containers = ("Arguments", "InferenceSpecification", "Containers")
        listed = list(entries(self._step, self._path, *containers))
        at, container = listed[0] if len(listed) == 1 else ((*self._path, *containers), {})
        training, *model = made_by(self._scope.value(container.get("ModelDataUrl")))
        self._training = training if model == [None, ""] and training in self._scope.steps else ""
        if not self._training:
            what = f"{self._name} registers no model of a Training step"
            example = '{"Get": "Steps.<name>.ModelArtifacts.S3ModelArtifacts"}'
            yield ((*at, "ModelDataUrl"), f"{what}; write {example}")
            return
        for where, what in self._lineage.trained(self._training)[1]:
            yield (where, f"{what}: {self._name} registers its model")
        reasons: list[Wrong] = []
        for where, condition in _conditions(self._scope.definition, self._path):
            evaluations, missing = self._implied(condition, where)
            if not missing:
                yield from self._same_as_evaluated(evaluations, container, at)
                return
            reasons.extend(missing)
            if self._left < 0:
                break
        what = f"{self._name} registers a model whatever its accuracy"
        yield from reasons or [(self._path, f"{what}; put it into IfSteps of a Condition on {ACCURACY}")]

    def _implied(self, condition: Any, path: Path) -> tuple[set[str], list[Wrong]]:
        """Give the evaluations by which a condition implies the minimum, and why it does not."""
        self._left -= 1
        if self._left < 0:
            return set(), [(path, f"only the nearest {_CONDITIONS} conditions count as proof")]
        kind = find(condition, "Type")
        if isinstance(condition, dict) and len(condition) > 3:
            what = "it says more than a comparison; write Type, LeftValue and RightValue only"
            return set(), [(path, what)]
        if kind == "Or":
            return self._alternatives(condition.get("Conditions"), (*path, "Conditions"))
        if not isinstance(kind, str) or kind not in _COMPARISONS:
            what = f"{show(kind)} does not prove that {show(self._training)} is accurate enough"
            return set(), [((*path, "Type"), f"{what}; write GreaterThanOrEqualTo")]
        accuracy, threshold = _COMPARISONS[kind]
        evaluation, missing = self._evaluation(condition.get(accuracy), (*path, accuracy))
        missing += self._threshold(condition.get(threshold), (*path, threshold))
        return {evaluation}, missing

    def _alternatives(self, listed: Any, path: Path) -> tuple[set[str], list[Wrong]]:
        evaluations: set[str] = set()
        missing = [] if isinstance(listed, list) and listed else [(path, "no alternatives")]
        for index, each in enumerate(listed if isinstance(listed, list) else ()):
            implied, reasons = self._implied(each, (*path, index))
            evaluations |= implied
            missing += reasons
            if self._left < 0:
                break
        return evaluations, missing

    def _threshold(self, value: Any, path: Path) -> list[Wrong]:
        least, known = self._scope.policy.min_accuracy_threshold, self._scope.value(value)
        if isinstance(known, int | float) and not isinstance(known, bool) and known >= least:
            return []
        said = self._scope.say(value, known) if known is not None else show(value)
        return [(path, f"{said}; at least {least} is due here (min_accuracy_threshold)")]

    def _evaluation(self, value: Any, path: Path) -> tuple[str, list[Wrong]]:
        """Give the step whose evaluation an operand reads, and what keeps it from being proof."""
        target = find(value, "Std:JsonGet", "PropertyFile", "Get")
        parts = target.split(".") if isinstance(target, str) else []
        if len(parts) != 4 or parts[0] != "Steps" or parts[2] != "PropertyFiles":
            what = f"only the accuracy in our own evaluation lets {self._name} register a model"
            return "", [(path, f"{what}; write a Std:JsonGet of its PropertyFile here")]
        missing: list[Wrong] = []
        inside = find(value, "Std:JsonGet", "Path")
        if inside != ACCURACY:
            said = f'{show(inside)} is not the accuracy; write "{ACCURACY}"'
            missing.append(((*path, "Std:JsonGet", "Path"), said))
        elif self._scope.value(value) is None:
            said = "a Std:JsonGet has a PropertyFile and a Path, and nothing else"
            missing.append((path, said))
        at = (*path, "Std:JsonGet", "PropertyFile", "Get")
        if not runs(self._scope.step(parts[1]), "Processing", EVALUATE):
            what = f"step {show(parts[1])} does not run training.evaluate, so its files prove nothing"
            return parts[1], [*missing, (at, what)]
        missing += self._property_file(parts[1], parts[3], at)
        missing += [
            (where, f"{what}, whose model {self._name} registers")
            for where, what in self._lineage.evaluated(self._training, parts[1])
        ]
        return parts[1], missing

    def _property_file(self, evaluation: str, name: str, at: Path) -> list[Wrong]:
        here, file = self._lineage.property_files(evaluation).get(name, (at, None))
        if file is None:
            return [(at, f"there is no property file {show(name)}")]
        due = {"FilePath": FILE, "OutputName": EVALUATION}
        wrong = [member for member, text in due.items() if file.get(member) != text]
        return [((*here, each), f'our evaluation is "{due[each]}"') for each in wrong]

    def _same_as_evaluated(
        self, evaluations: set[str], container: dict[str, Any], at: Path
    ) -> Iterator[Wrong]:
        image = ("Arguments", "AppSpecification", "ImageUri")
        images = {self._scope.value(find(self._scope.step(name), *image)) for name in evaluations}
        if images != {self._scope.value(container.get("Image"))}:
            yield ((*at, "Image"), "not the image that evaluated the model")
        statistics = ("Arguments", "ModelMetrics", "ModelQuality", "Statistics", "S3Uri")
        reported = {f"{made_token(name, EVALUATION)}/{FILE}" for name in evaluations}
        if self._scope.value(find(self._step, *statistics)) not in reported:
            due = f"Steps.{min(evaluations)}.ProcessingOutputConfig.Outputs['{EVALUATION}'].S3Output.S3Uri"
            what = "whoever approves the model reads the numbers there"
            yield ((*self._path, *statistics), f"{what}; write a Std:Join of {due} and {FILE}")


def _conditions(definition: dict[str, Any], path: Path) -> Iterator[tuple[Path, Any]]:
    """Yield the conditions that hold when the step at `path` runs, the nearest first."""
    around: list[tuple[Path, Any]] = []
    value: Any = definition
    for index, part in enumerate(path):
        value = value[part]
        if part == "Arguments" and path[index + 1 : index + 2] == ("IfSteps",):
            around.append(((*path[: index + 1], "Conditions"), value.get("Conditions")))
    for at, listed in reversed(around):
        for index, condition in enumerate(listed if isinstance(listed, list) else ()):
            yield (*at, index), condition
