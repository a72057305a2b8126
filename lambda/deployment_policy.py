"""What a definition may do with this deployment's roles, whoever uploaded it.

The policy is a closed world: what it does not allow is refused, member by member, together with the values
that the definition would start with. Each rule may be switched off; docs/policy.md says what each is for.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pipeline_walk
import policy_gate
import policy_members
import policy_values
from function_settings import PRICES, VOLUME_GB_HOUR, Policy
from pipeline_problems import Path, Problem, did_you_mean, entries, find, problem, show
from pipeline_walk import is_expression
from policy_members import JUDGES, Subject
from policy_values import Refusal, Scalar, Scope, UnknownValueError, shown

MAX_PROBLEMS = 100
JOBS = {"Processing": ("ProcessingResources", "ClusterConfig"), "Training": ("ResourceConfig",)}
"""Where the resources of a step that bills are, in its Arguments."""
FREE = ("Condition", "Fail", "RegisterModel")
BEFORE_BILLING = ("SageMaker.RESOURCE_LIMIT", "Step.THROTTLING")
"""A step that is retried for these alone was refused before any job of it ran."""
DEFAULT_RUNTIME_SECONDS = 86_400
STOPPING_SECONDS = 120
"""What a job may take to end when its time is up."""
_UNKNOWN = "a member that this policy does not know, so it may not be here; leave it out"


def problems(
    definition: dict[str, Any], values: Mapping[str, object], deployed: Mapping[str, str], policy: Policy
) -> list[Problem]:
    """List what a definition may not do (at most `MAX_PROBLEMS`, none = it may start).

    `values` are those of all declared parameters at this start, `deployed` what the deployment fills in.
    """
    scope = Scope(definition, values, deployed, policy)
    found: dict[Problem, None] = {}
    for refusal in _refusals(scope):
        if refusal.rule not in policy.policy_off:
            found[problem(refusal.path, f"{refusal.message} [rule {refusal.rule}]")] = None
            if len(found) == MAX_PROBLEMS:
                break
    return list(found)


def worst_case_cost(definition: dict[str, Any], values: Mapping[str, object], policy: Policy) -> float | None:
    """Give the most that an execution can cost in USD, None without a bound.

    Every job runs for its whole time, at on-demand prices, and is retried to the end, in both branches of
    each condition; docs/policy.md says what is not counted.
    """
    scope = Scope(definition, values, {}, policy)
    try:
        return sum(_step_cost(scope, step, path) for path, step, _ in pipeline_walk.steps(definition))
    except _UnboundedError:
        return None


def _refusals(scope: Scope) -> Iterator[Refusal]:
    rules = Rules(scope)
    yield from rules.definition()
    for path, step, _ in pipeline_walk.steps(scope.definition):
        yield from rules.step(step, path)
        if step.get("Type") == "Processing":
            yield from policy_values.local_paths(step, path)
    yield from policy_values.overlaps(scope)
    for rule, refusals in ((policy_gate.RULE, policy_gate.refusals), ("cost", _cost)):
        if rule not in scope.policy.policy_off:
            yield from refusals(scope)


class _UnboundedError(ValueError):
    """The cost of a step has no bound; `path` is why."""

    def __init__(self, path: Path, message: str) -> None:
        self.path = path
        super().__init__(message)


class Rules:
    """One pass over the members of a definition."""

    def __init__(self, scope: Scope) -> None:
        self._scope, self._policy = scope, scope.policy
        self._lists_and_objects = {
            "condition": ("members", self._condition),
            "entry_point": ("entry_points", self._entry_point),
            "environment": ("environment", self._environment),
            "hyper_parameters": ("texts", self._hyper_parameters),
            "tags": ("tags", self._tags),
            "vpc": ("vpc", self._vpc),
        }

    def definition(self) -> Iterator[Refusal]:
        """Judge what is outside the steps."""
        yield from self._value(policy_members.DEFINITION, self._scope.definition, ())

    def step(self, step: dict[str, Any], path: Path) -> Iterator[Refusal]:
        """Judge one step, those inside it apart."""
        kind = step.get("Type")
        yield from self._value(policy_members.STEP, step, path)
        if isinstance(kind, str) and kind in policy_members.ARGUMENTS:
            shape = policy_members.ARGUMENTS[kind]
            yield from self._value(shape, step.get("Arguments"), (*path, "Arguments"))
        else:
            known = ", ".join(policy_members.ARGUMENTS)
            yield Refusal("step_types", (*path, "Type"), f"{show(kind)} steps may not run here; only {known}")

    def _value(self, shape: Any, value: Any, path: Path) -> Iterator[Refusal]:
        if isinstance(shape, str):
            yield from self._judge(shape, value, path)
        elif not isinstance(value, type(shape)) or is_expression(value):
            due = "an object" if isinstance(shape, dict) else "a list"
            yield Refusal(self._rule_of(shape), path, f"{due} is due, not {_said(value)}: write it out")
        elif isinstance(shape, list):
            for index, each in enumerate(value):
                yield from self._value(shape[0], each, (*path, index))
        elif "*" in shape:
            for key, each in value.items():
                yield from self._value(shape["*"], each, (*path, key))
        else:
            yield from self._object(shape, value, path)

    def _object(self, shape: dict[str, Any], value: dict[str, Any], path: Path) -> Iterator[Refusal]:
        known = {name.rstrip("!?"): inner for name, inner in shape.items()}
        for key, each in value.items():
            if key in known:
                yield from self._value(known[key], each, (*path, key))
            else:
                yield Refusal("members", (*path, key), f"{_UNKNOWN}{did_you_mean(key, known)}")
        for name, inner in shape.items():
            at = (*path, name[:-1])
            if name.endswith("!") and name[:-1] not in value:
                yield Refusal(self._rule_of(inner), at, "missing; the policy wants it written")
            elif name.endswith("?") and name[:-1] not in value:
                yield from self._judge(inner, None, at)

    def _judge(self, named: str, value: Any, path: Path) -> Iterator[Refusal]:
        name, _, accepted = named.partition(":")
        if name == "any":
            return
        try:
            if name in JUDGES:
                why = JUDGES[name][1](Subject(value, self._scope, accepted))
                if why:
                    yield Refusal(JUDGES[name][0], path, why)
            else:
                yield from self._lists_and_objects[name][1](value, path)
        except UnknownValueError as error:
            why = f"{error}; write a value that is known when the execution starts"
            yield Refusal(self._rule_of(name), path, why)

    def _rule_of(self, shape: Any) -> str:
        """Name the rule of a member that is missing: its judge's, or that of the first it must hold."""
        while not isinstance(shape, str):
            inner = shape.items() if isinstance(shape, dict) else [("!", shape[0])]
            shape = next((each for name, each in inner if name.endswith("!")), "any")
        name = shape.partition(":")[0]
        return (JUDGES.get(name) or self._lists_and_objects.get(name) or ("members",))[0]

    def _entry_point(self, value: Any, path: Path) -> Iterator[Refusal]:
        """Let a container start with a configured command only: the image has python -c, too."""
        listed = value if isinstance(value, list) else [value]
        known = [self._scope.evaluate(each) for each in listed]
        # A text with a blank in it is one argument, and not the two of a configured command.
        if isinstance(value, list) and known in [each.split(" ") for each in self._policy.entry_points]:
            return
        what = f"{' '.join(map(shown, known))} may not be started{self._allowed('entry_points')}"
        yield Refusal("entry_points", path, what[:1000])

    def _hyper_parameters(self, value: Any, path: Path) -> Iterator[Refusal]:
        """Let our own code have what hyper-parameters it takes, but SageMaker's none of them."""
        yield from self._value({"*": "text"}, value, path)
        for key in value if isinstance(value, dict) else ():
            if key.casefold().startswith("sagemaker"):
                what = "SageMaker's own containers would take code from it; leave it out"
                yield Refusal("texts", (*path, key), what)

    def _environment(self, value: Any, path: Path) -> Iterator[Refusal]:
        """Let configured names pass: one like PYTHONPATH or LD_PRELOAD would run other code."""
        if not isinstance(value, dict) or is_expression(value):
            yield Refusal("environment", path, f"an object is due, not {_said(value)}: write it out")
            return
        for key, each in value.items():
            yield from self._judge("text", each, (*path, key))
            if key not in self._policy.environment_keys:
                what = f"no such name may be set{self._allowed('environment_keys')}"
                yield Refusal("environment", (*path, key), what)

    def _tags(self, value: Any, path: Path) -> Iterator[Refusal]:
        """Let configured keys pass: rights and bills may hang on any other."""
        yield from self._value([{"Key!": "any", "Value!": "text"}], value, path)
        for at, tag in entries(value, path):
            if tag.get("Key") not in self._policy.tag_keys:
                what = f"no such tag may be set: {show(tag.get('Key'))}{self._allowed('tag_keys')}"
                yield Refusal("tags", (*at, "Key"), what)

    def _vpc(self, value: Any, path: Path) -> Iterator[Refusal]:
        """Let jobs have the deployment's subnets and security groups only, and none where it has none."""
        subnets, groups = (len(self._scope.given(name)) for name in ("SubnetId", "SecurityGroupId"))
        if value is not None and subnets:
            yield from self._value(policy_members.VPC_CONFIG, value, path)
        elif value is not None:
            yield Refusal("vpc", path, "this deployment has no VPC for jobs; leave it out")
        elif subnets:
            command = f"python -m pipeline_definition --subnets {subnets} --security-groups {groups}"
            what = "writes a definition for this deployment's VPC"
            yield Refusal("vpc", path, f"missing; {command} --output FILE {what}")

    def _allowed(self, setting: str) -> str:
        return f"; allowed ({setting}): {', '.join(getattr(self._policy, setting)) or 'none'}"

    def _condition(self, value: Any, path: Path) -> Iterator[Refusal]:
        kind = find(value, "Type")
        if isinstance(kind, str) and kind in policy_members.CONDITIONS:
            yield from self._object(policy_members.CONDITIONS[kind], value, path)
        else:
            known = ", ".join(policy_members.CONDITIONS)
            what = f"{show(kind)} is no condition known here; only {known}"
            yield Refusal("members", (*path, "Type"), what)


def _said(value: Any) -> str:
    return "an expression" if is_expression(value) else show(value)


def _cost(scope: Scope) -> Iterator[Refusal]:
    """Refuse steps whose cost has no bound, or else all steps together when they may cost too much."""
    costs: list[tuple[float, str]] = []
    unbounded = False
    for path, step, _ in pipeline_walk.steps(scope.definition):
        try:
            costs.append((_step_cost(scope, step, path), str(step.get("Name"))[:64]))
        except _UnboundedError as error:
            unbounded = True
            yield Refusal("cost", error.path, str(error))
    total, most = sum(cost for cost, _ in costs), scope.policy.max_execution_cost_usd
    if not unbounded and total > most:
        listed = ", ".join(f"{name} {cost:,.2f}" for cost, name in sorted(costs, reverse=True)[:5])
        what = f"an execution may cost {total:,.2f} USD, and max_execution_cost_usd is {most:,.2f}: {listed}"
        less = "ask for less MaxRuntimeInSeconds, fewer instances or fewer retries"
        yield Refusal("cost", ("Steps",), f"{what}; {less}")


def _step_cost(scope: Scope, step: dict[str, Any], path: Path) -> float:
    kind, arguments = step.get("Type"), step.get("Arguments")
    if kind in FREE:
        return 0.0
    if not isinstance(kind, str) or kind not in JOBS or not isinstance(arguments, dict):
        raise _UnboundedError(path, "what such a step costs is not known here")
    stopping = (*path, "Arguments", "StoppingCondition")
    stated = arguments.get("StoppingCondition", {})
    limit = stated.get("MaxRuntimeInSeconds", DEFAULT_RUNTIME_SECONDS) if isinstance(stated, dict) else None
    seconds = _number(scope, limit, (*stopping, "MaxRuntimeInSeconds"))
    resources, at = find(arguments, *JOBS[kind]), (*path, "Arguments", *JOBS[kind])
    count, volume = (
        _number(scope, find(resources, member), (*at, member))
        for member in ("InstanceCount", "VolumeSizeInGB")
    )
    price = _price(scope, find(resources, "InstanceType"), (*at, "InstanceType"))
    hours = (seconds + STOPPING_SECONDS) / 3600
    return count * (price + volume * VOLUME_GB_HOUR) * hours * _attempts(step, path)


def _known(scope: Scope, value: Any, path: Path) -> Scalar:
    try:
        return scope.evaluate(value)
    except UnknownValueError as error:
        raise _UnboundedError(path, str(error)) from error


def _price(scope: Scope, value: Any, path: Path) -> float:
    kind = _known(scope, value, path)
    price = {**PRICES, **scope.policy.instance_prices}.get(str(kind))
    if price is None:
        what = f"{scope.say(value, kind)}, and its price is not known; give it in instance_prices"
        raise _UnboundedError(path, what)
    return price


def _number(scope: Scope, value: Any, path: Path) -> float:
    known = _known(scope, value, path)
    if isinstance(known, bool | str) or known <= 0:
        raise _UnboundedError(path, f"{scope.say(value, known)} is no number above 0")
    return known


def _attempts(step: dict[str, Any], path: Path) -> int:
    attempts = 1
    for at, each in entries(step, path, "RetryPolicies"):
        kinds = each.get("ExceptionType")
        if isinstance(kinds, list) and kinds and all(kind in BEFORE_BILLING for kind in kinds):
            continue
        most = each.get("MaxAttempts")
        if type(most) is not int or most < 0:
            raise _UnboundedError(
                (*at, "MaxAttempts"), "how often the job may run has no bound; write a number"
            )
        attempts += most
    return attempts
