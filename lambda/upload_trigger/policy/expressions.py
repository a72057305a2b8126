"""What an expression of a definition comes to at the start of an execution.

What only the run will tell becomes a *token*: `Execution.PipelineExecutionId` between two NUL characters,
inside a text. So a Join is judged by what is known of it. Nothing else looks like a token: a NUL in a text is
refused, and what a step made is written with slashes (`Steps/Preprocess/Outputs/train`), not with dots.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from upload_trigger.definition.problems import Path, find, show
from upload_trigger.policy import form
from upload_trigger.policy.form import Scalar
from upload_trigger.settings import Policy

TOKEN = re.compile("\0([^\0]*)\0")
LONGEST = 4096
"""No text that the policy judges is longer: an S3 URI has at most 1,024 characters."""
_MADE = re.compile(
    r"Steps\.(?P<step>[A-Za-z0-9_-]{1,64})\.(?:ModelArtifacts\.S3ModelArtifacts|ProcessingOutputConfig"
    r"\.Outputs\[(['\"])(?P<output>[A-Za-z0-9_-]{1,64})\2\]\.S3Output\.S3Uri)"
)
_MADE_TOKEN = re.compile("\0Steps/([^/\0]+)/(?:ModelArtifacts|Outputs/([^/\0]+))\0")
_TOLD_TOKEN = re.compile("\0Steps\\.([^.\0]+)\\.PropertyFiles\\.([^.:\0]+): [^\0]+\0")


class UnknownValueError(ValueError):
    """Nothing sensible can be said of an expression; the message says why."""


def token(target: str) -> str:
    """Return what stands for a value that only the run will tell."""
    return f"\0{target}\0"


def made_token(step: str, output: str | None = None) -> str:
    """Return what stands for the location of a Processing step's output, or of a Training step's model."""
    return token(f"Steps/{step}/Outputs/{output}" if output else f"Steps/{step}/ModelArtifacts")


def made_by(value: object) -> tuple[str, str | None, str]:
    """Split a text that begins with what a step made: step, output (None: its model), the rest."""
    match = _MADE_TOKEN.match(value) if isinstance(value, str) else None
    return (match[1], match[2], match.string[match.end() :]) if match else ("", None, str(value))


def told_by(value: object) -> tuple[str, str]:
    """Return the step and the property file that the whole of a value is taken from, empty where none is."""
    match = _TOLD_TOKEN.fullmatch(value) if isinstance(value, str) else None
    return (match[1], match[2]) if match else ("", "")


def shown(value: Scalar) -> str:
    """Return a value as people read it, tokens as `<Execution.PipelineExecutionId>`."""
    return show(TOKEN.sub(r"<\1>", value) if isinstance(value, str) else value)


class Scope:
    """A definition, what its expressions may name, the values of this start, and the deployment's policy."""

    def __init__(
        self,
        definition: dict[str, Any],
        values: Mapping[str, object],
        deployed: Mapping[str, str],
        policy: Policy,
    ) -> None:
        self.definition, self.policy = definition, policy
        self.values, self.deployed = values, deployed
        self.form = form.read(definition)
        self.steps = self.form.steps
        self._by_name: dict[str, tuple[Path, dict[str, Any]]] = {}
        for path, step in self.steps:
            if isinstance(step.get("Name"), str):
                self._by_name.setdefault(step["Name"], (path, step))
        self.outputs: dict[str, dict[str, Any]] = {}
        """The S3Uri of each output, by step, looked up once."""

    def find(self, name: object) -> tuple[Path, dict[str, Any]]:
        """Return where a step is, and the step; an empty one where there is none of this name."""
        return self._by_name.get(str(name), ((), {}))

    def step(self, name: object) -> dict[str, Any]:
        """Return the step of this name, an empty one where there is none."""
        return self.find(name)[1]

    def numbered(self, name: str) -> list[str]:
        """Return what the deployment fills in for SubnetId1, SubnetId2, ..."""
        return [value for each, value in self.deployed.items() if re.fullmatch(rf"{name}\d+", each)]

    def evaluate(self, value: Any) -> Scalar:
        """Return what a value of the definition comes to; raise UnknownValueError when nothing does."""
        if isinstance(value, str):
            if "\0" in value or len(value) > LONGEST:
                raise UnknownValueError(f"{show(value)} is too long, or has a NUL character in it")
            return value
        if isinstance(value, bool | int | float):
            return value
        (name, body), *more = value.items() if isinstance(value, dict) and value else [("", None)]
        if not more and name == "Get" and isinstance(body, str):
            return self._get(body)
        if not more and name == "Std:Join":
            return self._join(body)
        if not more and name == "Std:JsonGet":
            return self._json_get(body)
        raise UnknownValueError(f"{show(value)} is no value that can be judged before the execution")

    def value(self, value: Any) -> Scalar | None:
        """Return what a value comes to, None when nothing sensible can be said."""
        try:
            return self.evaluate(value)
        except UnknownValueError:
            return None

    def say(self, value: Any) -> str:
        """Return what a value comes to in words and, when it is a reference, where it comes from."""
        target, known = find(value, "Get"), self.evaluate(value)
        return f"{target} is {shown(known)}" if isinstance(target, str) else shown(known)

    def _get(self, target: str) -> Scalar:
        root, _, name = target.partition(".")
        if "\0" in target or len(target) > LONGEST:
            raise UnknownValueError(f"{show(target)} is no reference")
        if root == "Parameters":
            return self._parameter(name)
        made = _MADE.fullmatch(target)
        if made:
            return made_token(made["step"], made["output"])
        if root in ("Execution", "Steps"):
            return token(target)
        raise UnknownValueError(f"{show(target)} is no reference that can be judged before the execution")

    def _parameter(self, name: str) -> Scalar:
        value, declared = self.values.get(name), self.form.parameters.get(name)
        if declared is None or value is None:
            raise UnknownValueError(f"parameter {show(name)} has no value")
        known = form.typed(value, declared.get("Type"))
        if known is None or (isinstance(known, str) and ("\0" in known or len(known) > LONGEST)):
            raise UnknownValueError(f"Parameters.{name} is {show(value)}, no {declared.get('Type')}")
        return known

    def _join(self, body: Any) -> str:
        between, values = find(body, "On"), find(body, "Values")
        if not (isinstance(between, str) and isinstance(values, list) and len(body) == 2):
            raise UnknownValueError('a Std:Join is written {"On": "<separator>", "Values": [...]}')
        parts: list[str] = []
        size = 0
        for each in values:
            parts.append(self._joined(each))
            size += len(parts[-1]) + len(between)
            if size > LONGEST:
                raise UnknownValueError(f"a Std:Join of more than {LONGEST:,} characters")
        return str(self.evaluate(between)).join(parts)

    def _joined(self, value: Any) -> str:
        known = self.evaluate(value)
        if isinstance(known, str):
            return known
        # How SageMaker writes 0.0001 is not documented, so only the run will tell.
        return str(known) if type(known) is int else token(f"a number or flag, {json.dumps(known)}")

    def _json_get(self, body: Any) -> str:
        target, inside = find(body, "PropertyFile", "Get"), find(body, "Path")
        texts = isinstance(target, str) and isinstance(inside, str)
        if not texts or len(body) != 2 or len(body["PropertyFile"]) != 1:
            raise UnknownValueError('a Std:JsonGet is written {"PropertyFile": {"Get": ...}, "Path": "a.b"}')
        if not target.startswith("Steps.") or "\0" in target + inside:
            raise UnknownValueError('a property file is written {"Get": "Steps.<name>.PropertyFiles.<name>"}')
        return token(f"{target}: {inside}")
