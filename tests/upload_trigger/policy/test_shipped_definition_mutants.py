"""Every place of the shipped definition, changed in every way: refused with a pointer to it, or harmless.

Judged by the policy alone. What it lets pass is in HARMLESS, each with the reason why whoever uploads it has
gained nothing. What is refused elsewhere than where it was changed is in ELSEWHERE.
"""

import collections
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.support.definitions.harmless_mutants import (
    CHANGED,
    CONSTANT,
    FEWER,
    HARMLESS,
    LOCATION,
    WORDS,
    Harmless,
    pattern,
)
from tests.support.definitions.mutants import DefinitionMutant, Path, mutants, pointer, reference_mutants
from tests.support.definitions.policy_cases import SHIPPED, judge, rule
from tests.support.delivery.handler_uploads import BUCKET
from tests.support.soak import SOAKING, sized
from upload_trigger.definition.problems import Problem


class Elsewhere(NamedTuple):
    """Mutants that are refused at another place, which the change made wrong."""

    place: str
    kinds: tuple[str, ...]
    refused: str
    reason: str


USED = "/Steps/**"
ELSEWHERE = [
    Elsewhere("/Parameters", ("null", *FEWER), USED, "references to what is declared no more"),
    Elsewhere("/Parameters/*", ("removed",), USED, "references to what is declared no more"),
    Elsewhere("/Parameters/*/Name", ("longer",), USED, "references to the old name"),
    Elsewhere("/Parameters/*/DefaultValue", ("removed",), USED, "a value is missing where it is used"),
    Elsewhere(
        f"/Parameters/{{AnnotationFileName,ClassSelection,InputDataDigest,{WORDS}}}/DefaultValue",
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
        "/Parameters/{ProcessingInstanceCount,TrainingInstanceCount}/DefaultValue",
        ("zero", "negative", "a hundred times", "a thousand"),
        "/Steps/**/InstanceCount",
        "a value is judged where it is used",
    ),
    Elsewhere(
        "/Parameters/TrainingInstanceCount/DefaultValue",
        ("one more",),
        "/Steps",
        "two of the default type may cost more than an execution may, in eleven attempts",
    ),
    Elsewhere(
        "/Parameters/ModelApprovalStatus/DefaultValue",
        (*CONSTANT, *LOCATION, "instance type"),
        "/Steps/**/ModelApprovalStatus",
        "a value is judged where it is used",
    ),
    Elsewhere(
        "/Steps/{CheckParameters,{Train,Evaluate}*}", ("removed",), USED, "references to a step that is gone"
    ),
    Elsewhere("/Steps/CheckParameters/Arguments/IfSteps", FEWER, USED, "references to a step that is gone"),
    Elsewhere("/Steps/**/Preprocess", ("removed",), USED, "references to a step that is gone"),
    Elsewhere(
        "/Steps/**/{Preprocess,Train*,Evaluate*}/Name", ("longer",), USED, "references to the old name"
    ),
    Elsewhere(
        "/Steps/**/Arguments/ProcessingOutputConfig",
        ("removed",),
        USED,
        "references to outputs that are gone",
    ),
    Elsewhere(
        "/Steps/**/Arguments/ProcessingOutputConfig/Outputs",
        FEWER,
        USED,
        "references to outputs that are gone",
    ),
    Elsewhere(
        "/Steps/**/Arguments/ProcessingOutputConfig/Outputs/*",
        ("removed",),
        USED,
        "references to an output that is gone",
    ),
    Elsewhere(
        "/Steps/**/Arguments/ProcessingOutputConfig/Outputs/*/OutputName",
        ("longer",),
        USED,
        "references to the old name",
    ),
    Elsewhere(
        "/Steps/**/PropertyFiles{,/evaluation,/evaluation/{FilePath,OutputName,PropertyFileName}}",
        ("removed", "longer", *FEWER),
        "/Steps/**/CustomerMetadataProperties/*",
        "what is said of the model is from this file",
    ),
    Elsewhere("/Steps/**/InputName", ("longer",), "/Steps/**/LocalPath", "its folder has the name"),
    Elsewhere(
        "/Steps/**/train/ChannelName", ("longer",), "/Steps/**/InputDataConfig", "nothing has the old name"
    ),
    Elsewhere("/Steps/**/validation/ChannelName", ("longer",), "/Steps/**/S3Uri", "what a channel may read"),
    Elsewhere("/Steps/**/Containers/0", ("removed",), "/Steps/**/ModelDataUrl", "no model is left"),
    Elsewhere(
        "/Steps/**/Register*/**/{ModelDataUrl,S3Uri/Std:Join/Values/0}",
        ("another reference",),
        "/Steps/**/Arguments/ProcessingInputs/*/S3Input/S3Uri",
        "these numbers were measured of another model",
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


def points_at(mutant: DefinitionMutant, problem: Problem) -> bool:
    """Return whether a problem is at the change, below it, around it, or at the value that it is part of."""
    place, parts = mutant.pointer, mutant.path
    value = next(
        (pointer(parts[:end]) for end, part in enumerate(parts) if str(part).startswith("Std:")), place
    )
    around = pointer(parts[:-1])
    return problem.pointer in (place, value, around) or problem.pointer.startswith(f"{place}/")


class MutantTally:
    """What became of the mutants, and which entries of the lists explained it."""

    def __init__(self) -> None:
        self.unexplained: list[str] = []
        self.count = collections.Counter[str]()
        entries: tuple[Harmless | Elsewhere, ...] = (*HARMLESS, *ELSEWHERE)
        self.unused = {(each, kind) for each in entries for kind in each.kinds}

    def add(self, mutant: DefinitionMutant) -> None:
        """Count a mutant, and explain what became of it."""
        problems = judge(mutant.document)
        if any(points_at(mutant, problem) for problem in problems):
            self.count["refused where changed"] += 1
            return
        self.count["refused elsewhere" if problems else "harmless"] += 1
        place, entries = named(mutant.path), self._entries(mutant.kind, problems)
        fitting = [each for each in entries if pattern(each.place).fullmatch(place)]
        if not fitting:
            self.unexplained.append(f"{place}: {mutant.kind}: {problems[0] if problems else 'may start'}")
        self.unused.difference_update((each, mutant.kind) for each in fitting)

    def _entries(self, kind: str, problems: list[Problem]) -> Iterator[Harmless | Elsewhere]:
        if not problems:
            yield from (each for each in HARMLESS if kind in each.kinds)
            return
        for each in ELSEWHERE:
            if kind in each.kinds and any(pattern(each.refused).fullmatch(one.pointer) for one in problems):
                yield each


def test_a_registration_that_names_anything_else_is_refused() -> None:
    """The model, its image, its numbers and what they were measured on are of one execution."""
    names = ("RegisterSpot", "RegisterOnDemand", "EvaluateSpot", "EvaluateOnDemand", "TrainSpot")
    changed = [
        mutant for mutant in reference_mutants(SHIPPED) if set(named(mutant.path).split("/")) & set(names)
    ]
    assert len(changed) > 100
    for mutant in changed:
        told = {rule(problem) for problem in judge(mutant.document)}
        # What a package says of itself is refused as a text, too, where no evaluation tells it.
        due = {"registration", "texts"} if "CustomerMetadataProperties" in mutant.path else {"registration"}
        assert due & told, (named(mutant.path), mutant.document)


@pytest.mark.slow
@pytest.mark.soak
def test_every_mutant_is_refused_where_it_was_changed_or_known_to_be_harmless() -> None:
    assert judge(SHIPPED) == []
    tally = MutantTally()
    for mutant in mutants(SHIPPED, BUCKET):
        if isinstance(mutant.document, dict) and (SOAKING or is_tried(mutant)):
            tally.add(mutant)
    print(dict(tally.count))
    assert not tally.unexplained, "\n".join(tally.unexplained)
    if SOAKING:
        assert not tally.unused, "\n".join(f"{kind}: {each}" for each, kind in tally.unused)
    # No list of reasons is worth anything for a handful of mutants.
    assert tally.count["refused where changed"] > sized(1_200, 7_000)


def is_tried(mutant: DefinitionMutant) -> bool:
    """Choose what is no soak's alone: a quarter of the kinds of change at each place.

    The On-Demand steps are the Spot ones in all but a member or two.
    """
    place = named(mutant.path)
    is_one_of_two = "OnDemand" in place.partition("/Arguments")[0]
    return not is_one_of_two and zlib.crc32(f"{place} {mutant.kind}".encode()) % 4 == 0
