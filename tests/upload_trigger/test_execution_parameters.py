"""The values that an execution starts with: the deployment's, those of parameters.json, the defaults."""

import dataclasses
from typing import Any

import pytest

from tests.support.definitions.small import small, step
from tests.support.services.direct_client import DirectClient
from tests.support.services.fake_s3 import FakeS3
from upload_trigger import admission
from upload_trigger.settings import PARALLEL, Policy, Settings
from upload_trigger.uploads import Upload

SETTINGS = Settings(
    pipeline_name="cv-birds",
    role_arn="role",
    parameters={"ArtifactBucket": "bucket", "ExecutionRoleArn": "role"},
    parameter_defaults={"InputDataUrl": "s3://bucket/data/"},
    policy=Policy(),
    on_running=PARALLEL,
)


def declared(*parameters: dict[str, Any]) -> dict[str, Any]:
    return small(step(), Parameters=list(parameters))


def text(name: str, **members: Any) -> dict[str, Any]:
    return {"Name": name, "Type": "String"} | members


def one(kind: str, **members: Any) -> dict[str, Any]:
    return declared({"Name": "P", "Type": kind} | members)


def problems(definition: dict[str, Any], values: dict[str, Any]) -> list[tuple[str, str]]:
    found = admission.value_problems(definition, values, SETTINGS)
    return [(each.pointer, each.message) for each in found]


def chosen(definition: dict[str, Any], values: dict[str, Any]) -> dict[str, str]:
    assert problems(definition, values) == []
    return admission.choose(definition, values, SETTINGS)


ALL = declared(
    text("InputDataUrl"),
    text("ArtifactBucket", DefaultValue="other"),
    text("Note", DefaultValue="none"),
    {"Name": "Epochs", "Type": "Integer", "DefaultValue": 3},
    text("Needed"),
)


def test_the_deployment_wins_over_the_given_the_given_over_the_default_and_that_over_the_deployment_s() -> (
    None
):
    assert chosen(ALL, {"Needed": "a"}) == {
        "InputDataUrl": "s3://bucket/data/",
        "ArtifactBucket": "bucket",
        "Needed": "a",
    }
    given = chosen(ALL, {"Needed": "a", "Epochs": 5, "InputDataUrl": "s3://bucket/data/birds/"})
    assert (given["Epochs"], given["InputDataUrl"]) == ("5", "s3://bucket/data/birds/")
    own = declared(text("InputDataUrl", DefaultValue="s3://bucket/data/own/"))
    assert chosen(own, {}) == {}


def test_what_the_deployment_gives_and_nobody_declares_is_left_out() -> None:
    more = {**SETTINGS.parameters, "OutputKmsKeyId": "key", "SubnetId1": "subnet"}
    deployed = dataclasses.replace(SETTINGS, parameters=more)
    assert admission.choose(declared(text("SubnetId1")), {}, deployed) == {"SubnetId1": "subnet"}
    assert admission.value_problems(declared(text("Note", DefaultValue="")), {}, deployed) == []


def test_values_are_in_the_order_of_the_definition() -> None:
    given = {"Needed": "a", "Epochs": 1, "Note": "b"}
    assert list(chosen(ALL, given)) == ["InputDataUrl", "ArtifactBucket", "Note", "Epochs", "Needed"]


def test_what_is_in_force_is_every_declared_value() -> None:
    given = chosen(ALL, {"Needed": "a"})
    assert admission.effective(ALL, given) == {
        "InputDataUrl": "s3://bucket/data/",
        "ArtifactBucket": "bucket",
        "Note": "none",
        "Epochs": 3,
        "Needed": "a",
    }


@pytest.mark.parametrize(
    ("kind", "value", "sent"),
    [
        ("String", "a", "a"),
        ("String", "a" * 1024, "a" * 1024),
        ("String", 5, "5"),
        ("String", -1, "-1"),
        ("String", 0.50, "0.5"),
        ("String", 1e-4, "0.0001"),
        ("Integer", 5, "5"),
        ("Integer", "5", "5"),
        ("Integer", -(2**63), "-9223372036854775808"),
        ("Integer", "9223372036854775807", "9223372036854775807"),
        ("Float", 0.5, "0.5"),
        ("Float", 1, "1"),
        ("Float", "1e-4", "1e-4"),
        ("Boolean", True, "true"),
        ("Boolean", False, "false"),
        ("Boolean", "true", "true"),
    ],
)
def test_a_value_of_the_type_is_sent_as_a_text(kind: str, value: Any, sent: str) -> None:
    assert chosen(one(kind), {"P": value}) == {"P": sent}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("String", True),
        ("String", [5]),
        ("String", None),
        ("String", {"Get": "Parameters.Q"}),
        ("Integer", 1.5),
        ("Integer", True),
        ("Integer", "1.0"),
        ("Integer", ""),
        ("Integer", " 5"),
        ("Integer", "5\n"),
        ("Integer", "0x5"),
        ("Integer", "9223372036854775808"),
        ("Integer", "-9223372036854775809"),
        ("Integer", "1" * 400),
        ("Integer", "1" * 5_000),
        ("Integer", "[" * 100_000),
        ("Float", "half"),
        ("Float", "NaN"),
        ("Float", "Infinity"),
        ("Float", "1e999"),
        ("Float", False),
        ("Float", "9" * 400),
        ("Boolean", 1),
        ("Boolean", "True"),
        ("Boolean", "yes"),
        ("Boolean", None),
    ],
)
def test_a_value_of_another_type_is_refused_at_its_place_in_the_file(kind: str, value: Any) -> None:
    ((pointer, message),) = problems(one(kind), {"P": value})
    assert pointer == "parameters.json#/P"
    assert message.endswith(f"is no {kind}")


def test_an_empty_text_is_refused_as_sagemaker_would() -> None:
    found = problems(one("String"), {"P": ""})
    assert found == [("parameters.json#/P", "SageMaker takes no empty value; leave it out")]


def test_a_text_has_1024_characters_at_most() -> None:
    found = problems(one("String"), {"P": "a" * 1025})
    assert found == [("parameters.json#/P", "1,025 characters; a value has at most 1,024")]


@pytest.mark.parametrize(
    ("kind", "legal", "value"),
    [
        ("String", ["a", "b"], "b"),
        ("String", ["auto", "3"], 3),
        ("Integer", [1, 2], 2),
        ("Integer", [1, 2], "2"),
        ("Float", [0.5, 1], "1.0"),
        ("Boolean", [True], "true"),
    ],
)
def test_a_value_may_be_any_of_the_enumerated_ones_however_it_is_written(
    kind: str, legal: Any, value: Any
) -> None:
    assert problems(one(kind, EnumValues=legal), {"P": value}) == []


@pytest.mark.parametrize(
    ("kind", "legal", "value", "message"),
    [
        ("String", ["small", "large"], "larg", 'not one of EnumValues: "larg"; did you mean large?'),
        ("String", ["1"], "01", 'not one of EnumValues: "01"; '),
        ("String", ["auto"], 3, 'not one of EnumValues: "3"; '),
        ("Integer", [1, 2], 3, "not one of EnumValues: 3; legal: 1, 2"),
        ("Float", [0.5], "0.50001", 'not one of EnumValues: "0.50001"; '),
        ("Boolean", [True], False, "not one of EnumValues: false; "),
    ],
)
def test_a_value_that_is_none_of_the_enumerated_ones_is_refused(
    kind: str, legal: Any, value: Any, message: str
) -> None:
    ((pointer, said),) = problems(one(kind, EnumValues=legal), {"P": value})
    assert pointer == "parameters.json#/P"
    assert said.startswith(message)


def test_a_name_that_is_not_declared_is_refused_with_the_nearest() -> None:
    assert problems(ALL, {"Needed": "a", "Epoch": 3, "a/b~": 1}) == [
        ("parameters.json#/Epoch", "the definition has no such parameter; did you mean Epochs?"),
        (
            "parameters.json#/a~1b~0",
            "the definition has no such parameter; legal: InputDataUrl, ArtifactBucket, Note, Epochs, Needed",
        ),
    ]


@pytest.mark.parametrize("definition", [ALL, declared(text("Needed"))], ids=["declared", "not declared"])
def test_what_the_deployment_gives_cannot_be_given(definition: dict[str, Any]) -> None:
    names = ("ExecutionRoleArn", "ArtifactBucket", "InputDataDigest")
    given = {"Needed": "a", **dict.fromkeys(names, "mine")}
    assert problems(definition, given) == [
        (f"parameters.json#/{name}", "the deployment itself gives this value; leave it out") for name in names
    ]


def test_a_parameter_that_nothing_gives_a_value_to_is_told_where_it_is_declared() -> None:
    ((pointer, message),) = problems(ALL, {})
    assert pointer == "/Parameters/4"
    assert message == (
        "Needed needs a DefaultValue, or a value in parameters.json beside the definition: "
        "this deployment gives values to ArtifactBucket, ExecutionRoleArn, InputDataDigest, InputDataUrl only"
    )


@pytest.mark.parametrize("name", ["ArtifactBucket", "InputDataUrl", "InputDataDigest"])
def test_what_the_deployment_gives_is_declared_as_a_text(name: str) -> None:
    found = problems(declared({"Name": name, "Type": "Integer"}), {})
    assert found == [("/Parameters/0/Type", 'the deployment gives this parameter a text; write "String"')]


def test_all_that_is_wrong_is_told_at_once() -> None:
    given = {"Epochs": "many", "Note": True, "ArtifactBucket": "mine", "Unheard": 1}
    assert sorted(pointer for pointer, _ in problems(ALL, given)) == [
        "/Parameters/4",
        "parameters.json#/ArtifactBucket",
        "parameters.json#/Epochs",
        "parameters.json#/Note",
        "parameters.json#/Unheard",
    ]


def test_a_hundred_problems_are_told_and_no_more() -> None:
    assert len(problems(ALL, {f"n{number}": 0 for number in range(1_000)})) == 100


@pytest.mark.parametrize(
    "parameters",
    [
        None,
        {},
        "P",
        [None, 1, "P", [], {}],
        [{"Name": 5, "Type": "String"}],
        [{"Name": "P", "Type": ["String"]}],
        [{"Name": "P", "Type": "Text", "EnumValues": 5}],
        [{"Name": "P", "Type": "String", "EnumValues": {"a": 1}}, {"Name": "P", "Type": "Integer"}],
        [{"Name": "P", "Type": "Integer", "EnumValues": ["a", None]}],
    ],
    ids=str,
)
def test_a_definition_that_is_wrong_itself_is_no_accident_here(parameters: Any) -> None:
    definition = small(step(), Parameters=parameters)
    found = admission.value_problems(definition, {"P": "a", "Q": 1}, SETTINGS)
    assert "parameters.json#/Q" in [each.pointer for each in found]
    values = admission.choose(definition, {"P": "a"}, SETTINGS)
    assert set(admission.effective(definition, values)) <= {"P"}


class Beside:
    """A definition in a bucket, and the parameters.json beside it."""

    def __init__(self, *bodies: bytes, key: str = "pipeline/parameters.json") -> None:
        self.s3 = FakeS3("bucket")
        self.versions = [self.s3.put(key, body)["s3"]["object"]["versionId"] for body in bodies]

    def read(self, key: str = "pipeline/pipeline.json") -> dict[str, Any]:
        body = admission.read_parameters_file(DirectClient("s3", self.s3), Upload("bucket", key, "v"))
        return admission.examine(small(step()), body, SETTINGS).file_values


def test_without_the_file_nothing_is_given() -> None:
    for beside in (
        Beside(),
        Beside(b"{", key="pipeline/night/parameters.json"),
        Beside(b"{", key="pipeline/parameters.json.bak"),
    ):
        given = beside.read()
        assert given == {}


def test_the_newest_version_of_the_file_is_read() -> None:
    beside = Beside(b'{"Epochs": 1}', b'{"Epochs": 2}')
    given = beside.read()
    assert given == {"Epochs": 2}


def test_a_named_pipeline_has_a_file_of_its_own() -> None:
    beside = Beside(b'{"Epochs": 1}', key="pipeline/night/parameters.json")
    assert beside.read("pipeline/night/pipeline.json") == {"Epochs": 1}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "parameters.json#: empty; it must be a JSON object"),
        (b"[]", "parameters.json#: it must be a JSON object"),
        (b'{"Epochs": 1, "Epochs": 2}', "parameters.json#/Epochs: this key is given more than once"),
        (b'{"Rate": NaN}', "parameters.json#/Rate: not a finite number of 64 bits"),
        (b"[" * 200_000, "parameters.json#: nested deeper than 400 levels"),
        (b" " * 262_145, "parameters.json#: 262,145 bytes; at most 262,144 are read"),
    ],
)
def test_a_file_that_is_no_strict_json_is_refused_with_its_name(body: bytes, message: str) -> None:
    judgement = admission.examine(small(step()), body, SETTINGS)
    assert judgement.file_values == {}
    assert str(judgement.problems[0]).startswith(message)
