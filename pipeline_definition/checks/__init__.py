"""What AWS would say of a definition, told before an upload: each fault with its place and what to write.

Whether a definition is valid is SageMaker's to say, and it says one thing at a time: this says everything at
once, with where on AWS it would be met. Nothing here needs the SageMaker SDK, credentials or a network.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pipeline_definition.checks import legal_values, options, references, structure
from pipeline_definition.checks.arguments import Arguments
from pipeline_definition.checks.findings import Finding, Found, Place
from upload_trigger.definition import walk

if TYPE_CHECKING:
    from botocore.model import ServiceModel

__all__ = ["MAX_FINDINGS", "Finding", "Place", "check", "illegal_values"]
MAX_FINDINGS = 100
"""Of each place. Nobody mends more at once, and a hostile file must not make us write a book."""


def check(
    definition: dict[str, Any], model: "ServiceModel", values: Mapping[str, Any] | None = None
) -> list[Finding]:
    """Return what is wrong with a loaded definition, at most `MAX_FINDINGS` for each place, by where it is.

    `model` is that of a SageMaker client. `values` are those that the parameters have in an execution, None
    for one that is not known yet. A DefaultValue is none of them unless it is given so: an execution may be
    started with another one, and CreatePipeline looks at its type alone.
    """
    found: dict[Place, list[tuple[Found, str]]] = {place: [] for place in Place}
    for each, step in _all(definition, model, values):
        if len(found[each.place]) < MAX_FINDINGS:
            found[each.place].append((each, step))
        elif each.place is Place.CREATE:
            break
    # What is wrong in one step has consequences in later ones.
    listed = [pair for place in Place for pair in sorted(found[place], key=_position)]
    return [each.finding(step) for each, step in listed]


def _position(pair: tuple[Found, str]) -> list[tuple[int, str]]:
    return [(part, "") if isinstance(part, int) else (0, part) for part in pair[0].path]


def _all(
    definition: dict[str, Any], model: "ServiceModel", values: Mapping[str, Any] | None
) -> Iterator[tuple[Found, str]]:
    """Yield everything, with the step whose job it is about."""
    for found in structure.findings(definition):
        yield found, ""
    for found in references.findings(definition):
        yield found, ""
    parameters = walk.parameters(definition)
    known = values or {}
    arguments = Arguments(model, parameters, known)
    for path, step, _ in walk.steps(definition):
        name = str(step.get("Name"))[:64]
        for found in arguments.findings(step, path):
            yield found, name
        for found in options.between_arguments(step, path, known):
            yield found, name
    for found in legal_values.findings(definition, known):
        yield found, ""


def illegal_values(definition: dict[str, Any], values: Mapping[str, Any]) -> dict[str, str]:
    """Return what is wrong with the values that the parameters would have in an execution, by parameter."""
    return {name: message for _, name, message in legal_values.illegal(definition, values)}
