"""Draw the pipeline for the README: a Mermaid picture and a table of the parameters, from pipeline.json.

    python -m pipeline_definition.picture

Standard library only, so that it needs no SDK.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline_definition.parameters import Parameter, legal_values, parameters

DEFINITION = Path(__file__).with_name("pipeline.json")
# Pale fills with dark text of their own: readable on GitHub's light and dark pages alike.
STYLES = {
    "Processing": "fill:#e3eefb,stroke:#5b8ec9,color:#1b2a3a",
    "Training": "fill:#fdf0d8,stroke:#c99a3c,color:#3a2d12",
    "Condition": "fill:#f0f0f3,stroke:#8a8a96,color:#26262b",
    "RegisterModel": "fill:#e2f3e4,stroke:#5fa36a,color:#17301b",
    "Fail": "fill:#fbe5e3,stroke:#c9695f,color:#3b1714",
}
SHAPES = {"Condition": ("{", "}"), "RegisterModel": ("([", "])"), "Fail": ("([", "])")}
SIGNS = {
    "Equals": "=",
    "GreaterThan": "&gt;",
    "GreaterThanOrEqualTo": "≥",
    "In": "in",
    "LessThan": "&lt;",
    "LessThanOrEqualTo": "≤",
}
BRANCHES = {"IfSteps": ("yes", "no"), "ElseSteps": ("no", "yes")}
"""What an arrow to a branch says, and what it says when the question is asked without its Not."""
Edges = dict[str, dict[str, str]]
"""For each step the steps it waits for, with the label of the arrow between them."""


def blocks(path: Path = DEFINITION) -> dict[str, str]:
    """Return the README's generated blocks by name: `pipeline` and `parameters`."""
    definition = json.loads(path.read_text(encoding="utf-8"))
    return {"pipeline": picture(definition), "parameters": table(definition)}


def picture(definition: Mapping[str, Any]) -> str:
    """Draw a definition as a Mermaid flowchart, steps in order, from top to bottom."""
    steps = dict(_steps(definition["Steps"]))
    lines = [f"    {name}{_node(name, step)}" for name, step in steps.items()]
    for name, sources in _reduced(_edges(steps)).items():
        lines += [f"    {source} -->{label} {name}" for source, label in sources.items()]
    for kind, style in STYLES.items():
        named = [name for name, step in steps.items() if step["Type"] == kind]
        if named:
            lines += [f"    classDef {kind} {style}", f"    class {','.join(named)} {kind}"]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```"])


def table(definition: Mapping[str, Any]) -> str:
    """Write a definition's parameters as a Markdown table; the descriptions come from parameters.py."""
    described = {each.name: each for each in parameters(pretrained_channel=True)}
    rows = [_row(each, described[each["Name"]]) for each in definition["Parameters"]]
    titles = "| Parameter | Type | Default | Legal values | What it does |"
    return "\n".join([titles, "|---|---|---|---|---|", *rows])


def _steps(listed: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for step in listed:
        yield step["Name"], step
        for branch in BRANCHES:
            yield from _steps(step["Arguments"].get(branch, []))


def _node(name: str, step: Mapping[str, Any]) -> str:
    opening, closing = SHAPES.get(step["Type"], ("[", "]"))
    return f'{opening}"<b>{name}</b><br/>{_caption(step)}"{closing}'


def _caption(step: Mapping[str, Any]) -> str:
    arguments = step["Arguments"]
    if step["Type"] == "Condition" and all(map(_is_bound, arguments["Conditions"])):
        return "every parameter<br/>in its range?"
    if step["Type"] == "Condition":
        return " and<br/>".join(_question(each) for each in _asked(arguments)) + "?"
    if step["Type"] == "Training":
        return "Spot training" if arguments.get("EnableManagedSpotTraining") else "On-demand training"
    captions = {"Processing": "Processing job", "RegisterModel": "Model package", "Fail": "Execution fails"}
    return captions.get(step["Type"], str(step["Type"]))


def _is_bound(condition: Mapping[str, Any]) -> bool:
    """Return whether a condition compares a parameter with a number."""
    left, right = condition.get("LeftValue"), condition.get("RightValue")
    parameter = isinstance(left, dict) and str(left.get("Get")).startswith("Parameters.")
    return parameter and isinstance(right, int | float)


def _asked(arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a diamond asks; a lone Not is asked without it, and its arrows say the opposite."""
    conditions: list[dict[str, Any]] = arguments["Conditions"]
    return [conditions[0]["Condition"]] if _negated(arguments) else conditions


def _negated(arguments: Mapping[str, Any]) -> bool:
    return [each["Type"] for each in arguments["Conditions"]] == ["Not"]


def _question(condition: Mapping[str, Any]) -> str:
    kind = condition["Type"]
    if kind == "Not":
        return f"not {_question(condition['Condition'])}"
    if kind == "Or":
        questions = list(dict.fromkeys(_question(each) for each in condition["Conditions"]))
        return f"any {questions[0]}" if len(questions) == 1 else " or<br/>".join(questions)
    left, right = ("QueryValue", "Values") if kind == "In" else ("LeftValue", "RightValue")
    return f"{_operand(condition[left])} {SIGNS[kind]}<br/>{_operand(condition[right])}"


def _operand(value: Any) -> str:
    if isinstance(value, dict) and "Std:JsonGet" in value:
        return str(value["Std:JsonGet"]["Path"]).removesuffix(".value").rpartition(".")[2]
    if isinstance(value, dict) and "Get" in value:
        return str(value["Get"]).rpartition(".")[2]
    return json.dumps(value).replace('"', "'")


def _edges(steps: Mapping[str, Any]) -> Edges:
    edges: Edges = {}
    for name, step in steps.items():
        own = {key: value for key, value in step["Arguments"].items() if key not in BRANCHES}
        referenced = re.findall(r'"Get": "Steps\.([A-Za-z0-9_-]+)[.\[]', json.dumps(own))
        sources = dict.fromkeys([*referenced, *step.get("DependsOn", [])], "")
        edges[name] = {source: "" for source in steps if source in sources}
    for parent, step in steps.items():
        for branch, answers in BRANCHES.items():
            for child in step["Arguments"].get(branch, []):
                edges[child["Name"]][parent] = f"|{answers[_negated(step['Arguments'])]}|"
    return edges


def _reduced(edges: Edges) -> Edges:
    """Leave out every arrow that a longer way through other steps already says."""
    return {
        name: {
            source: label
            for source, label in sources.items()
            if not any(source in _before(other, edges) for other in sources if other != source)
        }
        for name, sources in edges.items()
    }


def _before(name: str, edges: Edges) -> set[str]:
    found: set[str] = set()
    pending = [name]
    while pending:
        new = set(edges[pending.pop()]) - found
        found |= new
        pending += new
    return found


def _row(declared: Mapping[str, Any], described: Parameter) -> str:
    default = "*given at the start*"
    if "DefaultValue" in declared:
        default = f"`{declared['DefaultValue']}`" if declared["DefaultValue"] != "" else "*empty*"
    legal = ", ".join(f"`{value}`" for value in declared.get("EnumValues", []))
    if not legal and described.name in legal_values():
        legal = legal_values()[described.name]["description"]
    return f"| `{declared['Name']}` | {declared['Type']} | {default} | {legal} | {described.description} |"


if __name__ == "__main__":
    print("\n\n".join(blocks().values()))
