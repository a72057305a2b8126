"""What each rule says of a value; members.py says where each kind of value stands.

A function says why a value is not allowed, and None when it is; `judged_by` names its rule.
"""

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

from upload_trigger.definition.problems import Path, find, show
from upload_trigger.definition.walk import CONDITION_TYPES, EXCEPTION_TYPES
from upload_trigger.policy import form, locations
from upload_trigger.policy.expressions import (
    TOKEN,
    Scope,
    UnknownValueError,
    made_by,
    shown,
    token,
    told_by,
)
from upload_trigger.policy.form import Violation
from upload_trigger.policy.shapes import ListOf, MapOf, Object, Shape, Value, optional, required


def judged_by(rule: str) -> Callable[[Callable[[Any, Scope], str | None]], Value]:
    """Return the decorator that makes a value of a rule of a function."""
    return functools.partial(Value, rule)


def _of_deployment(value: Any, scope: Scope, name: str, also: tuple[str, ...] = ()) -> str | None:
    """Let what the deployment fills in pass, and what a setting adds."""
    known = scope.evaluate(value)
    if known and known in (scope.deployed.get(name), *also):
        return None
    return _not_the_deployments(value, scope, name)


def _not_the_deployments(value: Any, scope: Scope, name: str) -> str:
    return f'{scope.say(value)}, not the deployment\'s; write {{"Get": "Parameters.{name}"}}'


def _among(value: Any, scope: Scope, allowed: tuple[str, ...], what: str) -> str | None:
    if scope.evaluate(value) in allowed:
        return None
    return f"{scope.say(value)}; {what}: {', '.join(allowed) or 'none'}"


def _within(value: Any, scope: Scope, least: int, most: int, setting: str = "") -> str | None:
    """Let whole numbers pass; a parameter's text counts as its type reads it."""
    known = scope.evaluate(value)
    if type(known) is int and least <= known <= most:
        return None
    said = f" ({setting})" if setting else ""
    return f"{scope.say(value)}; it must be a whole number from {least} to {most}{said}"


# Whose they are
role = Value("roles", lambda value, scope: _of_deployment(value, scope, "ExecutionRoleArn"))
image = Value(
    "images",
    lambda value, scope: _of_deployment(value, scope, "TrainingImageUri", scope.policy.allowed_images),
)
model_package_group = Value(
    "model_package_group", lambda value, scope: _of_deployment(value, scope, "ModelPackageGroupName")
)


def key(name: str) -> Value:
    """Return the rule that what a job writes has the deployment's key, and no other where there is none."""

    def why_not(value: Any, scope: Scope) -> str | None:
        deployed = scope.deployed.get(name, "")
        if value is None:
            return f'missing; write {{"Get": "Parameters.{name}"}}' if deployed else None
        if scope.evaluate(value) == deployed:
            return None
        return f"{_not_the_deployments(value, scope, name)} and leave its value to the deployment"

    return Value("encryption", why_not)


# Limits
def _configured(rule: str, setting: str) -> Value:
    """Return what one of the values of a setting is."""
    return Value(
        rule,
        lambda value, scope: _among(value, scope, getattr(scope.policy, setting), f"allowed ({setting})"),
    )


def _limited(rule: str, least: int, setting: str) -> Value:
    """Return a whole number up to that of a setting."""
    return Value(
        rule, lambda value, scope: _within(value, scope, least, getattr(scope.policy, setting), setting)
    )


approval_status = _configured("approval_status", "model_approval_statuses")
processing_instance_type = _configured("instance_types", "processing_instance_types")
training_instance_type = _configured("instance_types", "training_instance_types")
instance_count = _limited("instance_counts", 1, "max_instance_count")
volume_size = _limited("volume_sizes", 1, "max_volume_gb")
run_time = _limited("run_times", 1, "max_runtime_seconds")
wait_time = _limited("run_times", 1, "max_wait_seconds")
max_attempts = _limited("retries", 0, "max_retry_attempts")
retry_interval = Value("retries", lambda value, scope: _within(value, scope, 0, 3600))
# Only what is known to happen, so that it is known what each retry bills.
exception_type = Value("retries", lambda value, scope: _among(value, scope, EXCEPTION_TYPES, "known here"))


@judged_by("retries")
def backoff_rate(value: Any, scope: Scope) -> str | None:
    """Let numbers pass up to ten: each retry waits so many times as long as the one before."""
    known = scope.evaluate(value)
    if isinstance(known, int | float) and not isinstance(known, bool) and 0 <= known <= 10:
        return None
    return f"{scope.say(value)}; it must be a number from 0 to 10"


_DURATION = re.compile(
    "P?(?:([0-9]{1,9})Y)?(?:([0-9]{1,9})M)?(?:([0-9]{1,9})W)?(?:([0-9]{1,9})D)?"
    "(?:T(?:([0-9]{1,9})H)?(?:([0-9]{1,9})M)?(?:([0-9]{1,9})S)?)?",
    re.IGNORECASE | re.ASCII,
)
"""ISO 8601, and SageMaker's short forms of it: 30d, T12H."""
_DAY = 86_400
_SECONDS = (366 * _DAY, 31 * _DAY, 7 * _DAY, _DAY, 3600, 60, 1)


def seconds_of(duration: str) -> int | None:
    """Return the most seconds that a duration has, None when it is none."""
    match = _DURATION.fullmatch(duration)
    if not match or not any(match.groups()):
        return None
    return sum(int(count or 0) * seconds for count, seconds in zip(match.groups(), _SECONDS, strict=True))


class CacheConfig:
    """Results of earlier executions: taken where the cache is on, and no older than the deployment allows."""

    rule = "cache"

    def violations(self, value: Any, path: Path, scope: Scope) -> Iterator[Violation]:
        """Yield what is wrong with a CacheConfig."""
        yield from _CACHE_MEMBERS.violations(value, path, scope)
        enabled, expire_after = find(value, "Enabled"), find(value, "ExpireAfter")
        if not isinstance(value, dict) or enabled is False:
            return
        if enabled is not True:
            yield Violation(self.rule, (*path, "Enabled"), form.must_be("true or false", enabled))
        days = scope.policy.max_cache_days
        due = f"write how old a result may be, at most {days} days (max_cache_days), such as P{days}D"
        seconds = seconds_of(expire_after) if isinstance(expire_after, str) else None
        at = (*path, "ExpireAfter")
        if expire_after is None:
            yield Violation(self.rule, at, f"missing; {due}")
        elif seconds is None:
            yield Violation(self.rule, at, f"{show(expire_after)} is no duration; {due}")
        elif seconds > days * _DAY:
            yield Violation(self.rule, at, f"{show(expire_after)} is too long; {due}")


# Where
read = Value("locations", lambda value, scope: locations.why_not_read(scope, value))
write = Value("locations", lambda value, scope: locations.why_not_written(scope, value))
checkpoints = Value(
    "locations",
    lambda value, scope: locations.why_not_written(scope, value, locations.CHECKPOINTS),
)


# What is said
@judged_by("texts")
def text(value: Any, scope: Scope) -> str | None:
    """Let any text pass that is known at the start; a location in it must be one that may be read."""
    known = scope.evaluate(value)
    if not isinstance(known, str):
        return None
    if any(match[1].startswith("Steps") for match in TOKEN.finditer(known)):
        return f"{scope.say(value)}: a job decides this; write a constant or a parameter"
    if re.search("s3://", known, re.IGNORECASE):
        return locations.why_not_read(scope, value)
    return None


@judged_by("texts")
def fact(value: Any, scope: Scope) -> str | None:
    """Let a text pass, and what a job told or made: the rule `registration` says which job's that may be."""
    known = scope.evaluate(value)
    return None if told_by(known)[0] or made_by(known)[0] else text.why_not(value, scope)


@judged_by("texts")
def _hyper_parameter_name(name: Any, _: Scope) -> str | None:
    if str(name).casefold().startswith("sagemaker"):
        return "SageMaker's own containers would take code from it; leave it out"
    return None


hyper_parameters = MapOf(text, rule="texts", name=_hyper_parameter_name)


def _listed(scope: Scope, setting: str) -> str:
    return f"allowed ({setting}): {', '.join(getattr(scope.policy, setting)) or 'none'}"


@judged_by("environment")
def _variable_name(name: Any, scope: Scope) -> str | None:
    """Let configured names pass: one like PYTHONPATH or LD_PRELOAD would run other code."""
    if name in scope.policy.environment_keys:
        return None
    return f"no such name may be set; {_listed(scope, 'environment_keys')}"


environment = MapOf(text, rule="environment", name=_variable_name)


@judged_by("tags")
def _tag_key(written: Any, scope: Scope) -> str | None:
    """Let configured keys pass: rights and bills may hang on any other."""
    if written in scope.policy.tag_keys:
        return None
    return f"no such tag may be set: {show(written)}; {_listed(scope, 'tag_keys')}"


tags = ListOf(
    Object({"Key": required(_tag_key), "Value": required(text)}, rule="tags"),
    rule="tags",
    unique="Key",
)


@judged_by("tags")
def no_tags(_: Any, __: Scope) -> str:
    """Let no tags pass, of no kind."""
    what = "CreateModelPackage refuses tags beside a group, when both trainings are paid"
    return f"{what}; leave them out, or write CustomerMetadataProperties"


@judged_by("entry_points")
def entry_point(value: Any, scope: Scope) -> str | None:
    """Let a container start with a configured command only: the image has python -c, too."""
    listed = value if isinstance(value, list) else [value]
    known = [scope.evaluate(each) for each in listed]
    # A text with a blank in it is one argument, and not the two of a configured command.
    if isinstance(value, list) and known in [each.split(" ") for each in scope.policy.entry_points]:
        return None
    return f"{' '.join(map(shown, known))[:800]} may not be started; {_listed(scope, 'entry_points')}"


# What else a member may be
def one_of(*allowed: str) -> Value:
    """Return the values that were thought of."""
    return Value("members", lambda value, scope: _among(value, scope, allowed, "allowed here"))


def only(constant: bool | None) -> Value:
    """Return one constant: any other value would be something that nobody has judged."""

    def why_not(value: Any, _: Scope) -> str | None:
        return None if value is constant else f"{form.must_be(show(constant), value)}, or left out"

    return Value("members", why_not)


@judged_by("members")
def name(value: Any, _: Scope) -> str | None:
    """Let names pass that references and folders are made of."""
    if isinstance(value, str) and form.NAME.fullmatch(value):
        return None
    return form.must_be(form.NAME_SAID, value)


@judged_by("members")
def note(value: Any, _: Scope) -> str | None:
    """Let any text for people pass."""
    return None if isinstance(value, str) else form.must_be("a text", value)


@judged_by("members")
def flag(value: Any, scope: Scope) -> str | None:
    """Let true and false pass."""
    if isinstance(scope.evaluate(value), bool):
        return None
    return f"{scope.say(value)}; it must be true or false"


@judged_by("network")
def isolated(value: Any, scope: Scope) -> str | None:
    """Let true pass alone: no container talks to anybody."""
    return None if scope.evaluate(value) is True else f"{scope.say(value)}; write true"


@judged_by("members")
def expression(value: Any, scope: Scope) -> str | None:
    """Let pass what has the form of a value; only the run may know it."""
    try:
        scope.evaluate(value)
    except UnknownValueError as error:
        return str(error)
    return None


@judged_by("members")
def file_below(value: Any, _: Scope) -> str | None:
    """Let paths pass that stay in the folder that they begin in."""
    is_path = isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*", value)
    if is_path and not {".", ".."} & set(value.split("/")):
        return None
    return form.must_be("a file below the output, such as evaluation.json", value)


_OWN = tuple(token(f"Execution.{name}") for name in ("PipelineName", "PipelineExecutionId"))


@judged_by("members")
def experiment_name(value: Any, scope: Scope) -> str | None:
    """Let the pipeline's own names pass: another experiment may be another team's."""
    known = scope.evaluate(value)
    if isinstance(known, str) and known.startswith(_OWN):
        return None
    own = '{"Get": "Execution.PipelineName"} or {"Get": "Execution.PipelineExecutionId"}'
    return f"{scope.say(value)}; it must begin with {own}"


@judged_by("members")
def anything(_: Any, __: Scope) -> None:
    """Let pass what another place judges, or the rule `form`."""


_CACHE_MEMBERS = Object({"Enabled": optional(anything), "ExpireAfter": optional(anything)})


class VpcConfig:
    """The deployment's subnets and security groups only, and none where it has none."""

    rule = "vpc"

    def __init__(self) -> None:
        self._members = Object(
            {
                "SecurityGroupIds": required(ListOf(self._id("SecurityGroupId"), rule="vpc")),
                "Subnets": required(ListOf(self._id("SubnetId"), rule="vpc")),
            },
            rule="vpc",
        )

    def violations(self, value: Any, path: Path, scope: Scope) -> Iterator[Violation]:
        """Yield what is wrong with a VpcConfig, None if there is none."""
        subnets = scope.numbered("SubnetId")
        if value is not None and subnets:
            yield from self._members.violations(value, path, scope)
            for each in ("SecurityGroupIds", "Subnets"):
                if find(value, each) == []:
                    what = f"must name at least one; {self._command(scope)}"
                    yield Violation(self.rule, (*path, each), what)
        elif value is not None:
            yield Violation(self.rule, path, "this deployment has no VPC for jobs; leave it out")
        elif subnets:
            yield Violation(self.rule, path, f"missing; {self._command(scope)}")

    @staticmethod
    def _command(scope: Scope) -> str:
        subnets, groups = (len(scope.numbered(each)) for each in ("SubnetId", "SecurityGroupId"))
        command = f"python -m pipeline_definition --subnets {subnets} --security-groups {groups}"
        return f"{command} --output FILE writes a definition for this deployment's VPC"

    @staticmethod
    def _id(kind: str) -> Value:
        def why_not(value: Any, scope: Scope) -> str | None:
            if scope.evaluate(value) in scope.numbered(kind):
                return None
            return _not_the_deployments(value, scope, f"{kind}1")

        return Value("vpc", why_not)


class Conditions:
    """A list of conditions of types that are known here; what they let happen is nobody's matter here.

    They nest as deep as whoever uploads them likes, so this walks them with a list of its own.
    """

    rule = "members"

    def violations(self, value: Any, path: Path, scope: Scope) -> Iterator[Violation]:
        """Yield what is wrong with the form of conditions."""
        pending = [iter([(path, value, True)])]
        while pending:
            at, each, is_list = next(pending[-1], ((), None, False))
            if not at:
                pending.pop()
            elif not is_list:
                yield from self._condition(each, at, scope)
                inner = each if isinstance(each, dict) else {}
                members = [name for name in ("Condition", "Conditions") if name in inner]
                pending.append(iter([((*at, name), inner[name], name == "Conditions") for name in members]))
            elif isinstance(each, list):
                pending.append(_numbered(each, at))
            else:
                yield Violation(form.RULE, at, form.must_be("a list of conditions", each))

    def _condition(self, value: Any, path: Path, scope: Scope) -> Iterator[Violation]:
        kind = find(value, "Type")
        if isinstance(kind, str) and kind in _CONDITIONS:
            yield from _CONDITIONS[kind].violations(value, path, scope)
        else:
            known = ", ".join(_CONDITIONS)
            what = f"{show(kind)} is no condition known here; only {known}"
            yield Violation(self.rule, (*path, "Type"), what)


def _numbered(listed: list[Any], path: Path) -> Iterator[tuple[Path, Any, bool]]:
    return (((*path, index), each, False) for index, each in enumerate(listed))


_OPERANDS: dict[str, Shape] = {"Condition": anything, "Conditions": anything, "Values": ListOf(expression)}
_CONDITIONS = {
    kind: Object({each: required(_OPERANDS.get(each, expression)) for each in ("Type", *operands)})
    for kind, operands in CONDITION_TYPES.items()
}
"""The conditions inside a Not or an Or are judged by `Conditions`, each on its own."""
