"""The shipped definition, changed in some place and judged by the policy alone: what may it do here?"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.delivery.handler_uploads import BUCKET, ROLE
from upload_trigger.definition import walk
from upload_trigger.definition.problems import Problem
from upload_trigger.policy import problems
from upload_trigger.settings import Policy

Definition = dict[str, Any]
Place = tuple[str | int, ...]
"""The name of a step, and the members of its Arguments that lead to a place."""
SHIPPED: Definition = json.loads(
    (Path(__file__).resolve().parents[3] / "pipeline_definition" / "pipeline.json").read_bytes()
)
IMAGE = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/cv-birds@sha256:{'0' * 64}"
GROUP = "cv-birds"
DATA_KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
DEPLOYED = {
    "ExecutionRoleArn": ROLE,
    "TrainingImageUri": IMAGE,
    "ArtifactBucket": BUCKET,
    "ModelPackageGroupName": GROUP,
    "OutputKmsKeyId": DATA_KEY,
}
DATA = f"s3://{BUCKET}/data/"
EXECUTION = {"Get": "Execution.PipelineExecutionId"}
DEFAULT = Policy()


def shipped() -> Definition:
    """Return the shipped definition, to be changed."""
    return copy.deepcopy(SHIPPED)


def policy(**settings: object) -> Policy:
    """Read a policy as the function does."""
    return Policy.read(json.dumps(settings))


def step(definition: Definition, name: str) -> Definition:
    """Find a step, nested or not."""
    return _steps(definition)[name][1]


def arguments(definition: Definition, name: str) -> Definition:
    """Return the Arguments of a step."""
    found: Definition = step(definition, name)["Arguments"]
    return found


def pointer(definition: Definition, name: str, *members: str | int) -> str:
    """Point at a place in the Arguments of a step."""
    return "/".join([_steps(definition)[name][0], "Arguments", *map(str, members)])


def _steps(definition: Definition) -> dict[str, tuple[str, Definition]]:
    found: dict[str, tuple[str, Definition]] = {}
    pending = [("/Steps", definition["Steps"])]
    for at, steps in pending:
        for index, each in enumerate(steps):
            found[each["Name"]] = f"{at}/{index}", each
            for branch in ("IfSteps", "ElseSteps"):
                inner = each.get("Arguments", {}).get(branch, [])
                pending.append((f"{at}/{index}/Arguments/{branch}", inner))
    return found


def put(place: Place, value: Any) -> tuple[Definition, str]:
    """Change one member of a step's Arguments, and point at it."""
    definition = shipped()
    name, *members = place
    target: Any = arguments(definition, str(name))
    for member in members[:-1]:
        target = target[member]
    target[members[-1]] = value
    return definition, pointer(definition, str(name), *members)


def joined(*parts: Any) -> Definition:
    """Join parts of a location with slashes."""
    return {"Std:Join": {"On": "/", "Values": list(parts)}}


def own(*folders: str) -> Definition:
    """Name a location below the execution's own prefix."""
    return joined("s3:/", {"Get": "Parameters.ArtifactBucket"}, "executions", EXECUTION, *folders)


def output(name: str, output_name: str) -> Definition:
    """Refer to the location of a Processing step's output."""
    return {"Get": f"Steps.{name}.ProcessingOutputConfig.Outputs['{output_name}'].S3Output.S3Uri"}


def model_of(name: str) -> Definition:
    """Refer to the model of a Training step."""
    return {"Get": f"Steps.{name}.ModelArtifacts.S3ModelArtifacts"}


def values(
    definition: Definition,
    given: Mapping[str, object] | None = None,
    deployed: Mapping[str, str] = DEPLOYED,
) -> dict[str, Any]:
    """Return the value that every parameter would start with; `given` is what parameters.json says."""
    known: dict[str, object] = {"InputDataUrl": DATA, **(given or {}), **deployed}
    declared = walk.parameters(definition)
    return {name: known.get(name, each.get("DefaultValue")) for name, each in declared.items()}


def judge(
    definition: Definition,
    limits: Policy = DEFAULT,
    given: Mapping[str, object] | None = None,
    deployed: Mapping[str, str] = DEPLOYED,
) -> list[Problem]:
    """Say what the policy has against a definition."""
    return problems(definition, values(definition, given, deployed), deployed, limits)


def rule(problem: Problem) -> str:
    """Name the rule that a message ends with."""
    match = re.search(r" \[rule ([a-z_]+)\]$", problem.message)
    assert match, problem
    return match[1]


def rules(definition: Definition, limits: Policy = DEFAULT) -> set[str]:
    """Name the rules that refuse a definition."""
    return {rule(problem) for problem in judge(definition, limits)}


def said_at(problems: list[Problem], pointer: str) -> str:
    """Return all that is said of one place; fail when nothing is."""
    said = [each.message for each in problems if each.pointer == pointer]
    assert said, f"nothing at {pointer}: {problems}"
    return "\n".join(said)
