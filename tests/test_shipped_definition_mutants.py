"""Every place of the shipped definition, changed in every way: refused with a pointer to it, or harmless.

Judged as the function judges an upload: structure, references, Arguments and policy together. What is not
refused is in HARMLESS, each with the reason why whoever uploads it has gained nothing. What is refused
elsewhere than where it was changed is in ELSEWHERE.
"""

import collections
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from definition_mutants import Mutant, Path, gate_mutants, mutants, pointer
from harmless_mutants import CHANGED, CONSTANT, FEWER, HARMLESS, LOCATION, Harmless, pattern
from pipeline_problems import Problem
from policy_cases import SHIPPED, admit, rules
from uploads import BUCKET


class Elsewhere(NamedTuple):
    """Mutants that are refused at another place, which the change made wrong."""

    place: str
    kinds: tuple[str, ...]
    refused: str
    reason: str


USED, GET = "/Steps/**", "/Steps/**/Get"
ELSEWHERE = [
    Elsewhere("/Parameters", FEWER, GET, "references to what is declared no more"),
    Elsewhere("/Parameters/*", ("removed",), GET, "references to what is declared no more"),
    Elsewhere("/Parameters/*/Name", ("longer",), GET, "references to the old name"),
    Elsewhere(
        "/Parameters/{AnnotationFileName,ClassSelection,Backbone}/DefaultValue",
        LOCATION,
        USED,
        "a value is judged where it is used",
    ),
    Elsewhere(
        "/Parameters/*InstanceType/DefaultValue",
        (*CONSTANT, *LOCATION, "instance type"),
        "/Steps/**/InstanceType",
        "a value is judged where it is used",
    ),
    Elsewhere(
        "/Parameters/VolumeKmsKeyId/DefaultValue",
        (*CHANGED, *LOCATION, "instance type"),
        "/Steps/**/VolumeKmsKeyId",
        "a value is judged where it is used",
    ),
    Elsewhere(
        "/Parameters/ProcessingInstanceCount/DefaultValue",
        ("zero", "negative", "a hundred times", "a thousand"),
        "/Steps/**/InstanceCount",
        "a value is judged where it is used",
    ),
    Elsewhere(
        "/Parameters/AccuracyThreshold/DefaultValue",
        ("zero", "negative"),
        "/Steps/**/RightValue",
        "a value is judged where it is used",
    ),
    Elsewhere(
        "/Parameters/ModelApprovalStatus/EnumValues/2",
        (*CONSTANT, *LOCATION, "removed"),
        "/Parameters/*/DefaultValue",
        "the default is none of the values",
    ),
    Elsewhere("/Steps/{Train,Evaluate}*", ("removed",), GET, "references to a step that is gone"),
    Elsewhere("/Steps/{Preprocess,Train*,Evaluate*}/Name", ("longer",), GET, "references to the old name"),
    Elsewhere(
        "/Steps/*/Arguments/ProcessingOutputConfig", ("removed",), USED, "references to outputs that are gone"
    ),
    Elsewhere(
        "/Steps/*/Arguments/ProcessingOutputConfig/Outputs",
        ("emptied",),
        USED,
        "references to outputs that are gone",
    ),
    Elsewhere(
        "/Steps/*/Arguments/ProcessingOutputConfig/Outputs/*",
        ("removed",),
        USED,
        "references to an output that is gone",
    ),
    Elsewhere(
        "/Steps/*/Arguments/ProcessingOutputConfig/Outputs/*/OutputName",
        ("longer",),
        USED,
        "references to the old name",
    ),
    Elsewhere("/Steps/*/PropertyFiles", FEWER, GET, "references to a property file that is gone"),
    Elsewhere("/Steps/*/PropertyFiles/*", ("removed",), GET, "references to a property file that is gone"),
    Elsewhere(
        "/Steps/*/PropertyFiles/*/PropertyFileName", (*CONSTANT, *LOCATION), GET, "references to the old name"
    ),
    Elsewhere("/Steps/*/**/InputName", ("longer",), "/Steps/**/LocalPath", "its folder has the name"),
    Elsewhere(
        "/Steps/*/**/train/ChannelName", ("longer",), "/Steps/**/InputDataConfig", "nothing has the old name"
    ),
    Elsewhere(
        "/Steps/*/**/validation/ChannelName", ("longer",), "/Steps/**/S3Uri", "what a channel may read"
    ),
    Elsewhere(
        "/Steps/*/Arguments/EnableManagedSpotTraining",
        ("turned",),
        "/Steps/*/Arguments/StoppingCondition/MaxWaitTimeInSeconds",
        "due with Spot, and with Spot only",
    ),
    Elsewhere(
        "/Steps/TrainSpot/Arguments/EnableManagedSpotTraining",
        ("removed",),
        "/Steps/*/Arguments/StoppingCondition/MaxWaitTimeInSeconds",
        "due with Spot, and with Spot only",
    ),
]
NAMES = ("Name", "ChannelName", "InputName", "OutputName")


def named(path: Path) -> str:
    """Write a place with the names of what is in a list, where it has names."""
    value: Any = SHIPPED
    parts: list[str | int] = []
    for part in path:
        try:
            value = value[part]
        except (LookupError, TypeError):  # what only the mutant has
            value = None
        names = [value[each] for each in NAMES if each in value] if isinstance(value, dict) else []
        parts.append(names[0] if names and isinstance(part, int) else part)
    return "".join(f"/{part}" for part in parts)


def points_at(mutant: Mutant, problem: Problem) -> bool:
    """Tell whether a problem is at the change, below it, around it, or at the value that it is part of."""
    place, parts = mutant.pointer, mutant.path
    value = next(
        (pointer(parts[:end]) for end, part in enumerate(parts) if str(part).startswith("Std:")), place
    )
    around = pointer(parts[:-1])
    return problem.pointer in (place, value, around) or problem.pointer.startswith(f"{place}/")


class Judgement:
    """What became of the mutants, and which entries of the lists explained it."""

    def __init__(self) -> None:
        self.unexplained: list[str] = []
        self.count = collections.Counter[str]()
        entries: tuple[Harmless | Elsewhere, ...] = (*HARMLESS, *ELSEWHERE)
        self.unused = {(each, kind) for each in entries for kind in each.kinds}

    def judge(self, mutant: Mutant) -> None:
        """Count a mutant, and explain what became of it."""
        problems = admit(mutant.document)
        if any(points_at(mutant, problem) for problem in problems):
            self.count["refused where changed"] += 1
            return
        self.count["refused elsewhere" if problems else "harmless"] += 1
        place, entries = named(mutant.path), self._entries(mutant.kind, problems)
        fitting = [each for each in entries if pattern(each.place).fullmatch(place)]
        # A reference that leads elsewhere is never harmless.
        if not fitting or (not problems and place.endswith("/Get")):
            self.unexplained.append(f"{place}: {mutant.kind}: {problems[0] if problems else 'may start'}")
        self.unused.difference_update((each, mutant.kind) for each in fitting)

    def _entries(self, kind: str, problems: list[Problem]) -> Iterator[Harmless | Elsewhere]:
        if not problems:
            yield from (each for each in HARMLESS if kind in each.kinds)
            return
        for each in ELSEWHERE:
            if kind in each.kinds and any(pattern(each.refused).fullmatch(one.pointer) for one in problems):
                yield each


def test_the_gate_itself_refuses_every_weaker_gate() -> None:
    harmless = {kind for each in HARMLESS for kind in each.kinds}
    weaker = [mutant for mutant in gate_mutants(SHIPPED) if mutant.kind not in harmless]
    assert len({mutant.kind for mutant in weaker}) > 15
    for mutant in weaker:
        assert "registration_gate" in rules(mutant.document), mutant.kind


@pytest.mark.slow
def test_every_mutant_is_refused_where_it_was_changed_or_known_to_be_harmless() -> None:
    assert admit(SHIPPED) == []
    judgement = Judgement()
    for mutant in mutants(SHIPPED, BUCKET):
        judgement.judge(mutant)
    print(dict(judgement.count))
    assert not judgement.unexplained, "\n".join(judgement.unexplained)
    assert not judgement.unused, "\n".join(f"{kind}: {each}" for each, kind in judgement.unused)
    # No list of reasons is worth anything for a handful of mutants.
    assert judgement.count["refused where changed"] > 7000
