"""What a step may have beside its Arguments, and the rules on those that SageMaker's model does not state."""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipeline_definition.checks.findings import Found, advice, create, run, unknown, unknown_members
from pipeline_definition.checks.values import known_text, parameter_of
from upload_trigger.definition.problems import Path, entries, find, show
from upload_trigger.definition.walk import EXCEPTION_TYPES

MAX_DISPLAY_NAME = 256
MAX_DESCRIPTION = 3072
_CHECKPOINT = '{"S3Uri": "s3://...", "LocalPath": "/opt/ml/checkpoints"}'
_POLICY_NUMBERS: dict[str, tuple[str, tuple[type, ...], int | None]] = {
    "BackoffRate": ("a number", (int, float), None),
    "IntervalSeconds": ("a whole number", (int,), 43_200),
    "MaxAttempts": ("a whole number", (int,), 20),
    "ExpireAfterMin": ("a whole number", (int,), 14_400),
}
"""What the member must be, and the most that SageMaker takes."""
POLICY_MEMBERS = (*_POLICY_NUMBERS, "ExceptionType")
MEMBERS = (
    "Name",
    "Type",
    "Arguments",
    "DependsOn",
    "DisplayName",
    "Description",
    "CacheConfig",
    "RetryPolicies",
    "PropertyFiles",
)
_CHECK = (
    "CheckType",
    "FailOnViolation",
    "ModelPackageGroupName",
    "RegisterNewBaseline",
    "SkipCheck",
    "SuppliedBaselineConstraints",
)
OWN_MEMBERS = {
    "Callback": ("SqsQueueUrl", "OutputParameters"),
    "ClarifyCheck": (*_CHECK, "ModelName"),
    "Lambda": ("FunctionArn", "OutputParameters"),
    "QualityCheck": (*_CHECK, "SuppliedBaselineStatistics"),
}
_REQUIRED = {"Callback": "SqsQueueUrl", "Lambda": "FunctionArn"}
_PROCESSING = ("Processing", "ClarifyCheck", "QualityCheck")
"""The types whose Arguments are a processing job's."""
# What has a name of its own in a job: the lists that share their names, each a path inside the Arguments and
# the path of the name in an entry.
_Names = tuple[tuple[str, ...], tuple[str, ...]]
_TAGS: tuple[_Names, ...] = ((("Tags",), ("Key",)),)
_INPUTS, _OUTPUTS = ("ProcessingInputs",), ("ProcessingOutputConfig", "Outputs")
_UNIQUE: dict[str, tuple[tuple[_Names, ...], ...]] = {
    # An output may have neither the name of an input nor its folder.
    **dict.fromkeys(
        _PROCESSING,
        (
            ((_INPUTS, ("InputName",)), (_OUTPUTS, ("OutputName",))),
            ((_INPUTS, ("S3Input", "LocalPath")), (_OUTPUTS, ("S3Output", "LocalPath"))),
            _TAGS,
        ),
    ),
    "Training": (((("InputDataConfig",), ("ChannelName",)),), _TAGS),
    "RegisterModel": (_TAGS,),
}
# ISO 8601, and the short forms that SageMaker's documentation shows: 30d, T12H, 30dT5h.
_DURATION = re.compile(
    r"P?(?=.)(\d{1,9}Y)?(\d{1,9}M)?(\d{1,9}W)?(\d{1,9}D)?(T(?=.)(\d{1,9}H)?(\d{1,9}M)?(\d{1,9}S)?)?",
    re.IGNORECASE | re.ASCII,
)


def findings(step: dict[str, Any], path: Path) -> Iterator[Found]:
    """Yield what is wrong with a step, its Name, Type, each of its Arguments and references apart."""
    kind = step["Type"] if isinstance(step.get("Type"), str) else ""
    yield from unknown_members(step, (*MEMBERS, *OWN_MEMBERS.get(kind, ())), path, "a step")
    needed = _REQUIRED.get(kind)
    if needed and not isinstance(step.get(needed), str | dict):
        yield create((*path, needed), f"missing, or no text: a {kind} step needs it")
    yield from _text(step, "DisplayName", MAX_DISPLAY_NAME, path)
    yield from _text(step, "Description", MAX_DESCRIPTION, path)
    yield from _cache(step.get("CacheConfig"), (*path, "CacheConfig"))
    policies = step.get("RetryPolicies", [])
    if not isinstance(policies, list):
        yield create((*path, "RetryPolicies"), "must be a list of policies")
    for index, policy in enumerate(policies if isinstance(policies, list) else ()):
        yield from _policy(policy, (*path, "RetryPolicies", index))
    yield from _property_files(step, path)


def _text(step: dict[str, Any], member: str, longest: int, path: Path) -> Iterator[Found]:
    text = step.get(member, "")
    if not isinstance(text, str):
        yield create((*path, member), f"must be a text, not {show(text)}")
    elif len(text) > longest:
        yield create((*path, member), f"{len(text):,} characters; SageMaker takes at most {longest:,}")


def _cache(config: Any, path: Path) -> Iterator[Found]:
    if config is None:
        return
    if not isinstance(config, dict):
        yield create(path, 'write {"Enabled": true, "ExpireAfter": "P30D"}')
        return
    if not isinstance(config.get("Enabled"), bool):
        yield create((*path, "Enabled"), f"must be true or false, not {show(config.get('Enabled'))}")
    after = config.get("ExpireAfter", "P1D")
    if not isinstance(after, str) or not _DURATION.fullmatch(after):
        yield create(
            (*path, "ExpireAfter"), f'{show(after)} is no ISO 8601 duration such as "P30D" or "T12H"'
        )
    yield from unknown_members(config, ("Enabled", "ExpireAfter"), path, "a step")


def _policy(policy: Any, path: Path) -> Iterator[Found]:
    if not isinstance(policy, dict):
        yield create(path, f"must be an object (a policy), not {show(policy)}")
        return
    kinds = policy.get("ExceptionType")
    if not isinstance(kinds, list) or not kinds:
        yield create(
            (*path, "ExceptionType"), f"must be a list of at least one of {', '.join(EXCEPTION_TYPES)}"
        )
    for index, kind in enumerate(kinds if isinstance(kinds, list) else ()):
        if kind not in EXCEPTION_TYPES:
            yield unknown((*path, "ExceptionType", index), kind, EXCEPTION_TYPES, "no exception type")
    for member, (wanted, types, most) in _POLICY_NUMBERS.items():
        value = policy.get(member, 1)
        if type(value) not in types or value < 0 or (most is not None and value > most):
            limits = f"{wanted} of at least 0" if most is None else f"{wanted} from 0 to {most:,}"
            yield create((*path, member), f"must be {limits}, not {show(value)}")
        elif value < 1 and member in ("BackoffRate", "IntervalSeconds"):
            yield advice(
                (*path, member),
                functools.partial("{} retries faster and faster; write at least 1".format, show(value)),
            )
    if "MaxAttempts" in policy and "ExpireAfterMin" in policy:
        yield create(path, "write MaxAttempts or ExpireAfterMin, not both")
    yield from unknown_members(policy, POLICY_MEMBERS, path, "a step")


def _property_files(step: dict[str, Any], path: Path) -> Iterator[Found]:
    listed = step.get("PropertyFiles", [])
    if not isinstance(listed, list):
        yield create((*path, "PropertyFiles"), "must be a list of property files")
        return
    members = ("PropertyFileName", "OutputName", "FilePath")
    seen: set[str] = set()
    for index, file in enumerate(listed):
        at = (*path, "PropertyFiles", index)
        missing = [key for key in members if not isinstance(file, dict) or not isinstance(file.get(key), str)]
        if missing:
            yield create(at, f"missing, or no text: {', '.join(missing)}")
        elif file["PropertyFileName"] in seen:
            what = f"{show(file['PropertyFileName'])} is declared more than once; keep one"
            yield create((*at, "PropertyFileName"), what)
        else:
            seen.add(file["PropertyFileName"])


def between_arguments(step: dict[str, Any], path: Path, values: Mapping[str, Any]) -> Iterator[Found]:
    """Yield what breaks a rule of the step's API that its model does not state.

    `values` are those of the parameters, None where one is not known.
    """
    kind, arguments, at = step.get("Type"), step.get("Arguments"), (*path, "Arguments")
    for lists in _UNIQUE.get(kind, ()) if isinstance(kind, str) else ():
        yield from _unique(arguments, lists, at)
    if kind in _PROCESSING:
        yield from _empty_texts(arguments, at, values)
    elif kind == "Training":
        yield from _training(arguments, at)
    elif kind == "Tuning":
        yield from _training(find(arguments, "TrainingJobDefinition"), (*at, "TrainingJobDefinition"))
        for inner, each in entries(arguments, at, "TrainingJobDefinitions"):
            yield from _training(each, inner)
    elif kind == "RegisterModel" and find(arguments, "Tags") and find(arguments, "ModelPackageGroupName"):
        what = "CreateModelPackage takes no Tags for a version of a group; leave them out, or tag the group"
        yield run((*at, "Tags"), what)


def _unique(arguments: Any, lists: Iterable[_Names], path: Path) -> Iterator[Found]:
    seen: set[str] = set()
    for where, member in lists:
        for at, entry in entries(arguments, path, *where):
            name = find(entry, *member)
            mend = "give each a folder of its own" if member[-1] == "LocalPath" else "keep one"
            if isinstance(name, str):
                if name in seen:
                    yield run((*at, *member), f"{show(name)} is given more than once; {mend}")
                seen.add(name)


def _empty_texts(arguments: Any, path: Path, values: Mapping[str, Any]) -> Iterator[Found]:
    """Find the empty texts that CreateProcessingJob takes nowhere in a command."""
    for member in ("ContainerEntrypoint", "ContainerArguments"):
        texts = find(arguments, "AppSpecification", member)
        for index, text in enumerate(texts if isinstance(texts, list) else ()):
            if known_text(text, values) == "":
                what = "CreateProcessingJob takes no empty text here"
                name = parameter_of(text)
                why = f"{name} is empty; give it a value" if name else "leave it out"
                yield run((*path, "AppSpecification", member, index), f"{what}; {why}")


def _training(job: Any, path: Path) -> Iterator[Found]:
    if not isinstance(job, dict):
        return
    spot = job.get("EnableManagedSpotTraining", False)
    wait = find(job, "StoppingCondition", "MaxWaitTimeInSeconds")
    runtime = find(job, "StoppingCondition", "MaxRuntimeInSeconds")
    at = (*path, "StoppingCondition", "MaxWaitTimeInSeconds")
    if spot is True:
        if not job.get("CheckpointConfig"):
            # SageMaker asks it of its own algorithms alone, and of those when they wait for over an hour.
            what = "missing: an interrupted spot job would start from nothing; write "
            yield advice((*path, "CheckpointConfig"), what + _CHECKPOINT)
        if find(job, "ResourceConfig", "KeepAlivePeriodInSeconds"):
            what = "a warm pool is not kept for managed spot training; leave it out"
            yield run((*path, "ResourceConfig", "KeepAlivePeriodInSeconds"), what)
        if wait is None:
            yield run(at, "missing: managed spot training needs it, at least MaxRuntimeInSeconds")
    elif spot is False and wait is not None:
        yield run(at, "only with EnableManagedSpotTraining: true; leave it out")
    if type(wait) is int and type(runtime) is int and wait < runtime:
        what = f"{wait} is less than the MaxRuntimeInSeconds of {runtime}; write at least {runtime}"
        yield run(at, what)
