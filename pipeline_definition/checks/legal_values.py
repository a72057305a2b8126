"""The values of parameters that this project's training or accuracy checks would end an execution for.

legal_values.json says which values are legal; training does, in fact, and tools/legal_values.py writes it. A
parameter is judged where a definition uses it as this project's own does: under the same name as the same
hyper-parameter of a job that runs training.train, or as what the accuracy of an evaluation is compared with.
"""

import functools
import json
import math
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline_definition.checks.findings import Found, execution
from pipeline_definition.checks.values import parameter_of
from upload_trigger.definition.problems import Path, did_you_mean, entries, find, show, walk
from upload_trigger.definition.walk import steps

FILE = pathlib.Path(__file__).with_name("legal_values.json")
TRAIN = ["python", "-m", "training.train"]
PRETRAINED = "pretrained"
"""The channel with the weights of a backbone that the image has none of."""
WHOLE = re.compile(r"\s*[+-]?[0-9]+\s*")
ACCURACY = "multiclass_classification_metrics.accuracy.value"


def findings(definition: dict[str, Any], values: Mapping[str, Any]) -> Iterator[Found]:
    """Yield what is wrong with the values that the parameters have, each at its declaration."""
    for path, _, message in illegal(definition, values):
        yield execution(path, message)


def illegal(definition: dict[str, Any], values: Mapping[str, Any]) -> Iterator[tuple[Path, str, str]]:
    """Yield each parameter whose value is not legal: where it is declared, its name, and the message.

    `values` may be texts, as an execution is started with; None stands for one that is not known.
    """
    used = _used(definition) if values else {}
    for path, parameter in entries(definition, (), "Parameters"):
        name, enum = str(parameter.get("Name")), parameter.get("EnumValues")
        value = values.get(name)
        # Of a value outside of EnumValues StartPipelineExecution speaks.
        if name in used and value is not None and not (isinstance(enum, list) and value not in enum):
            why = _why_not(value, used[name])
            if why:
                yield path, name, f"{name} is {why}"


def _used(definition: dict[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the legal values of each parameter that is used as in this project's definition."""
    used: dict[str, Mapping[str, Any]] = {}
    for _, step, _ in steps(definition):
        if step.get("Type") == "Training":
            used |= _hyper_parameters(step.get("Arguments"))
        elif step.get("Type") == "Condition":
            used |= _thresholds(find(step, "Arguments", "Conditions"))
    return used


def _hyper_parameters(job: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if find(job, "AlgorithmSpecification", "ContainerEntrypoint") != TRAIN:
        return
    channels = [each.get("ChannelName") for _, each in entries(job, (), "InputDataConfig")]
    for name, legal in _legal().items():
        given = find(job, "HyperParameters", str(legal.get("hyper_parameter")))
        if _passed(given) == name:
            yield name, legal if PRETRAINED in channels else _without_weights(legal)


def _without_weights(legal: Mapping[str, Any]) -> Mapping[str, Any]:
    if "weights_in_image" not in legal:
        return legal
    description = f'one whose weights the image has, without a channel "{PRETRAINED}"'
    return {"enum": legal["weights_in_image"], "description": description}


def _thresholds(conditions: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for _, each in walk(conditions, objects_only=True):
        name = parameter_of(each.get("RightValue"))
        if name in _legal() and find(each, "LeftValue", "Std:JsonGet", "Path") == ACCURACY:
            yield name, _legal()[name]


def _passed(given: Any) -> str | None:
    """Return the name of the parameter that a hyper-parameter is, itself or written as a text."""
    joined = find(given, "Std:Join", "Values")
    return parameter_of(joined[0] if isinstance(joined, list) and len(joined) == 1 else given)


def _why_not(value: Any, legal: Mapping[str, Any]) -> str | None:
    """Say what a value is and must be, None when it is legal; its type is its declaration's matter."""
    enum, number, must_be = legal.get("enum"), _number(value), legal["description"]
    if enum:
        wrong = isinstance(value, str) and value not in enum and not _matches(value, legal)
        return f"{show(value)} but must be {must_be}{did_you_mean(value, enum)}" if wrong else None
    if number is None:
        # Without a word that is legal too the type is a number, which the declaration says.
        wrong = isinstance(value, str) and "also" in legal and value != legal["also"]
        return f"{show(value)} but must be {must_be}" if wrong else None
    # Such a parameter is a String, which nobody reads before training does: 1e1 and 3.0 are no whole numbers.
    if "also" in legal and legal["type"] == "integer" and not WHOLE.fullmatch(str(value)):
        return f"{value!s:.40} but must be {must_be}"
    least, most = legal.get("minimum", -math.inf), legal.get("maximum", math.inf)
    above, below = legal.get("exclusiveMinimum", -math.inf), legal.get("exclusiveMaximum", math.inf)
    inside = least <= number <= most and above < number < below
    return None if inside else f"{number:.12g} but must be {must_be}"


def _matches(value: str, legal: Mapping[str, Any]) -> bool:
    return "pattern" in legal and re.fullmatch(legal["pattern"], value) is not None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


@functools.cache
def _legal() -> dict[str, dict[str, Any]]:
    legal: dict[str, dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
    return legal
