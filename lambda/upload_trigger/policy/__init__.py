"""What a definition may do with this deployment's roles, whoever uploaded it.

The policy is a closed world: what it cannot walk or does not know it refuses, member by member, together
with the values that the definition would start with. Whether a definition is valid is SageMaker's to say.
Each rule but `form` may be switched off; docs/policy.md says what each is for.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from upload_trigger.definition.problems import Path, Problem, problem, show
from upload_trigger.policy import cost, form, locations, members, registration
from upload_trigger.policy.expressions import Scope
from upload_trigger.policy.form import Violation
from upload_trigger.settings import STEP_TYPES, Policy

MAX_PROBLEMS = form.MAX_VIOLATIONS


def problems(
    definition: dict[str, Any], values: Mapping[str, object], deployed: Mapping[str, str], policy: Policy
) -> list[Problem]:
    """List what a definition may not do (at most `MAX_PROBLEMS`, none = it may start).

    `values` are those of all declared parameters at this start, `deployed` what the deployment fills in.
    """
    scope = Scope(definition, values, deployed, policy)
    found: dict[Problem, None] = {}
    for violation in _violations(scope):
        if violation.rule not in policy.policy_off:
            found[problem(violation.path, f"{violation.message} [rule {violation.rule}]")] = None
            if len(found) == MAX_PROBLEMS:
                break
    return list(found)


def worst_case_cost(definition: dict[str, Any], values: Mapping[str, object], policy: Policy) -> float | None:
    """Return the most that an execution can cost in USD, None without a bound.

    Every job runs for its whole time, at on-demand prices, and is retried to the end, in both branches of
    each condition; docs/policy.md says what is not counted.
    """
    return cost.worst_case(Scope(definition, values, {}, policy))


def _violations(scope: Scope) -> Iterator[Violation]:
    yield from scope.form.violations
    if not scope.form.is_complete:
        return
    yield from members.DEFINITION.violations(scope.definition, (), scope)
    for index, parameter in enumerate(_parameters(scope)):
        if isinstance(parameter, dict):
            yield from members.PARAMETER.violations(parameter, ("Parameters", index), scope)
    for path, step in scope.steps:
        yield from _of_step(step, path, scope)
    yield from locations.overlaps(scope)
    for rule, violations in (
        (registration.RULE, registration.violations),
        (cost.RULE, cost.violations),
    ):
        if rule not in scope.policy.policy_off:
            yield from violations(scope)


def _parameters(scope: Scope) -> list[Any]:
    listed = scope.definition.get("Parameters")
    return listed if isinstance(listed, list) else []


def _of_step(step: dict[str, Any], path: Path, scope: Scope) -> Iterator[Violation]:
    kind, arguments = step.get("Type"), step.get("Arguments")
    if isinstance(kind, str) and kind in STEP_TYPES:
        yield from members.STEP.violations(step, path, scope)
        if isinstance(arguments, dict):
            yield from members.ARGUMENTS[kind].violations(arguments, (*path, "Arguments"), scope)
        return
    # What another type has beside its Arguments is as unknown as they are.
    common = {name: each for name, each in step.items() if name in members.STEP.members}
    yield from members.STEP.violations(common, path, scope)
    if not isinstance(kind, str) or kind not in scope.policy.further_step_types:
        known = ", ".join((*STEP_TYPES, *scope.policy.further_step_types))
        what = f"{show(kind)} steps may not run here; only {known} (further_step_types adds others)"
        yield Violation("step_types", (*path, "Type"), what)
