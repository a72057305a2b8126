"""What jobs write, and their volumes, have the deployment's key and no other."""

from typing import Any

import pytest

from tests.support.definitions.policy_cases import (
    DATA_KEY,
    DEPLOYED,
    Definition,
    arguments,
    judge,
    pointer,
    put,
    said_at,
    shipped,
)

NO_KEY = {name: value for name, value in DEPLOYED.items() if name != "OutputKmsKeyId"}
BOTH_KEYS = {**DEPLOYED, "VolumeKmsKeyId": DATA_KEY}
OUTPUTS = [
    ("Preprocess", "ProcessingOutputConfig", "KmsKeyId"),
    ("EvaluateOnDemand", "ProcessingOutputConfig", "KmsKeyId"),
    ("TrainSpot", "OutputDataConfig", "KmsKeyId"),
]
VOLUMES = [
    ("Preprocess", "ProcessingResources", "ClusterConfig", "VolumeKmsKeyId"),
    ("TrainOnDemand", "ResourceConfig", "VolumeKmsKeyId"),
]
FOREIGN: list[Any] = [
    DATA_KEY.replace("123456789012", "999999999999"),
    DATA_KEY[:-1] + "c",
    f"{DATA_KEY} ",
    DATA_KEY.rpartition("/")[2],
    "alias/cv-birds",
    {"Get": "Parameters.ClassSelection"},
    {"Get": "Execution.PipelineArn"},
    {"Std:Join": {"On": "", "Values": [DATA_KEY, "x"]}},
    {"Get": "Steps.Preprocess.ProcessingOutputConfig.KmsKeyId"},
]


def without(place: tuple[str, ...]) -> tuple[Definition, str]:
    """Leave a key out, and point at where it was."""
    definition = shipped()
    name, *members, last = place
    target = arguments(definition, name)
    for member in members:
        target = target[member]
    del target[last]
    return definition, pointer(definition, name, *members, last)


@pytest.mark.parametrize("deployed", [DEPLOYED, NO_KEY, BOTH_KEYS], ids=["key", "no key", "both keys"])
def test_the_shipped_definition_may_start_with_and_without_keys(deployed: dict[str, str]) -> None:
    assert judge(shipped(), deployed=deployed) == []


@pytest.mark.parametrize("place", [*OUTPUTS, *VOLUMES], ids="/".join)
def test_a_job_without_the_deployments_key_is_refused_with_what_to_write(place: tuple[str, ...]) -> None:
    definition, at = without(place)
    name = "VolumeKmsKeyId" if place in VOLUMES else "OutputKmsKeyId"
    said = said_at(judge(definition, deployed=BOTH_KEYS), at)
    assert said == f'missing; write {{"Get": "Parameters.{name}"}} [rule encryption]'
    definition, at = put(place, "")
    assert "[rule encryption]" in said_at(judge(definition, deployed=BOTH_KEYS), at)


@pytest.mark.parametrize("place", [*OUTPUTS, *VOLUMES], ids="/".join)
@pytest.mark.parametrize("foreign", FOREIGN, ids=range(len(FOREIGN)))
def test_no_key_but_the_deployments_may_be_named(place: tuple[str, ...], foreign: Any) -> None:
    for deployed in (DEPLOYED, NO_KEY, BOTH_KEYS):
        definition, at = put(place, foreign)
        assert "[rule encryption]" in said_at(judge(definition, deployed=deployed), at)


@pytest.mark.parametrize("place", [*OUTPUTS, *VOLUMES], ids="/".join)
def test_the_key_itself_may_be_written_and_none_where_there_is_none(place: tuple[str, ...]) -> None:
    assert judge(put(place, DATA_KEY)[0], deployed=BOTH_KEYS) == []
    assert judge(put(place, "")[0], deployed=NO_KEY) == []
    assert judge(without(place)[0], deployed=NO_KEY) == []


def test_a_value_given_at_the_start_brings_no_foreign_key() -> None:
    for name in ("OutputKmsKeyId", "VolumeKmsKeyId"):
        said = [each.message for each in judge(shipped(), given={name: FOREIGN[0]}, deployed=NO_KEY)]
        assert len(said) == 5
        for each in said:
            assert f'Parameters.{name} is "{FOREIGN[0]}", not the deployment\'s' in each
            assert each.endswith("leave its value to the deployment [rule encryption]")


def test_a_key_where_there_is_nothing_to_write_is_not_asked_for() -> None:
    definition = shipped()
    step = arguments(definition, "EvaluateSpot")
    del step["ProcessingOutputConfig"]
    at = pointer(definition, "EvaluateSpot", "ProcessingOutputConfig")
    assert not [each for each in judge(definition) if each.pointer.startswith(at)]
