"""Where in S3 a job may read and write, and which folders of its container it may name."""

import itertools
import re
from collections.abc import Iterator
from typing import Any

from upload_trigger.definition.problems import Path, entries, find, show
from upload_trigger.policy.expressions import TOKEN, Scope, UnknownValueError, made_by, shown, token
from upload_trigger.policy.form import NAME, Violation

RULE = "locations"
DATA = "data/"
READABLE = (DATA, "executions/", "checkpoints/")
EXECUTION = f"executions/{token('Execution.PipelineExecutionId')}/"
CHECKPOINTS = (f"checkpoints/{token('Execution.PipelineName')}/", EXECUTION)
"""Where they may be kept."""
INPUT, OUTPUT = "/opt/ml/processing/input/", "/opt/ml/processing/output/"
# Characters of a key that mean nothing to a URI, a shell or a listing; a token has no slash in it.
_KEY = re.compile(
    r"(?:[A-Za-z0-9!_.'()/=@,:+ -]|\0Execution\.(?:PipelineExecutionId|PipelineName)\0|\0model\0)*"
)
_URI = re.compile(r"s3://([^/]*)/(.*)", re.DOTALL)


def why_not_read(scope: Scope, value: Any, below: tuple[str, ...] = READABLE) -> str | None:
    """Return why a location may not be read; None when it may."""
    given = str(scope.evaluate(value))
    uri = _expanded(scope, given)
    step, output, _ = made_by(given)
    if step and uri == given:
        return f"no step {step} here makes {f'an output {show(output)}' if output else 'a model'}"
    why = _why_not_below(scope, uri, below)
    return None if why is None else f"{scope.say(value)}{why}; jobs read below {_said(scope, below, ', ')}"


def why_not_written(scope: Scope, value: Any, allowed: tuple[str, ...] = (EXECUTION,)) -> str | None:
    """Return why a location may not be written; None when it may."""
    uri = str(scope.evaluate(value))
    why = _why_not_below(scope, uri, allowed)
    if why is None and _names_the_pipeline(uri, allowed):
        why = ", which has the pipeline's name in it once more; leave that out"
    return None if why is None else f"{scope.say(value)}{why}; write below {_said(scope, allowed, ' or ')}"


def _names_the_pipeline(uri: str, allowed: tuple[str, ...]) -> bool:
    """Return whether a key has the pipeline's name anywhere but in the prefix that is allowed.

    Whoever uploads knows the name and could write it out beside this: one place would then seem to be two.
    Nobody knows the execution's id before it starts.
    """
    key = uri.split("/", 3)[3]
    (rest,) = (key.removeprefix(each) for each in allowed if key.startswith(each))
    return token("Execution.PipelineName") in rest


def own_folder(each: dict[str, Any], path: Path, name: str, target: str, folder: str) -> Iterator[Violation]:
    """Refuse another folder: an output in that of an input would hand on foreign data as the job's own."""
    named, written = each.get(name), find(each, target, "LocalPath")
    if not isinstance(named, str) or not NAME.fullmatch(named) or written != f"{folder}{named}":
        what = f"{show(written)} is not the folder of {show(named)}"
        yield Violation(RULE, (*path, target, "LocalPath"), f"{what}; write {folder}<name>")


def overlaps(scope: Scope) -> Iterator[Violation]:
    """Refuse outputs that lie in one another: the later would change what the earlier reported.

    An S3Prefix is the beginning of a key and no folder: whoever reads t reads test, too.
    """
    written = []
    for path, step in scope.steps:
        for at, value in _written(step, path):
            try:
                written.append((str(scope.evaluate(value)).rstrip("/"), at))
            except UnknownValueError:
                continue  # refused where it stands
    written.sort(key=lambda each: each[0])
    for (outer, one), (inner, other) in itertools.pairwise(written):
        if inner.startswith(outer):
            for at in (one, other):
                keys = [shown(each.split("/", 3)[-1]) for each in (inner, outer)]
                message = f"{keys[0]} begins with {keys[1]}; give each output a prefix of its own"
                yield Violation(RULE, at, message)


def processing_targets(
    step: dict[str, Any], path: Path, member: str
) -> Iterator[tuple[Path, str, dict[str, Any]]]:
    """Yield (path, name, S3Input or S3Output) of each input or output of a Processing step."""
    within: tuple[str, ...] = ("Arguments", member)
    name, target = "InputName", "S3Input"
    if member == "ProcessingOutputConfig":
        within, name, target = ("Arguments", member, "Outputs"), "OutputName", "S3Output"
    for at, each in entries(step, path, *within):
        if isinstance(each.get(name), str) and isinstance(each.get(target), dict):
            yield (*at, target), each[name], each[target]


def _expanded(scope: Scope, uri: str) -> str:
    """Put its location in the place of what a step made."""
    name, output, rest = made_by(uri)
    if not name:
        return uri
    step = scope.step(name)
    if output and name not in scope.outputs:
        targets = processing_targets(step, (), "ProcessingOutputConfig")
        scope.outputs[name] = {each: target.get("S3Uri") for _, each, target in targets}
    if output and step.get("Type") == "Processing" and scope.outputs[name].get(output) is not None:
        return f"{scope.evaluate(scope.outputs[name][output])}{rest}"
    where = find(step, "Arguments", "OutputDataConfig", "S3OutputPath")
    if not output and step.get("Type") == "Training" and where is not None:
        return f"{str(scope.evaluate(where)).rstrip('/')}/\0model\0{rest}"
    return uri


def _said(scope: Scope, prefixes: tuple[str, ...], between: str) -> str:
    bucket = scope.deployed.get("ArtifactBucket")
    return between.join(TOKEN.sub(r"<\1>", f"s3://{bucket}/{each}") for each in prefixes)


def _why_not_below(scope: Scope, uri: str, prefixes: tuple[str, ...]) -> str | None:
    """Return why a location is not below these prefixes, maybe in no words; None when it is."""
    match, bucket = _URI.fullmatch(uri), scope.deployed.get("ArtifactBucket")
    if not match:
        is_made = made_by(uri)[0]
        return ", which is what another step makes" if is_made else ", which is no s3://<bucket>/<prefix>"
    if not bucket or match[1] != bucket:
        return ', which is not in the deployment\'s bucket, {"Get": "Parameters.ArtifactBucket"}'
    key = match[2]
    if not _KEY.fullmatch(key):
        return ", which has something in its key that may not be there"
    if any(part in ("", ".", "..") for part in key.removesuffix("/").split("/")):
        return ", which has an empty, . or .. folder in its key"
    return None if key.startswith(prefixes) else ""


def _written(step: dict[str, Any], path: Path) -> Iterator[tuple[Path, Any]]:
    if step.get("Type") == "Processing":
        for at, _, target in processing_targets(step, path, "ProcessingOutputConfig"):
            yield (*at, "S3Uri"), target.get("S3Uri")
    if step.get("Type") == "Training":
        for place in (("OutputDataConfig", "S3OutputPath"), ("CheckpointConfig", "S3Uri")):
            yield (*path, "Arguments", *place), find(step, "Arguments", *place)
