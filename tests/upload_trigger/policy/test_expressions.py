"""What the policy makes of expressions: known values are judged, what only the run will tell is not."""

from typing import Any

import pytest

from tests.support.definitions.policy_cases import (
    DATA,
    EXECUTION,
    Definition,
    arguments,
    joined,
    judge,
    output,
    own,
    pointer,
    said_at,
    shipped,
)
from tests.support.delivery.handler_uploads import BUCKET, ROLE
from upload_trigger.definition.problems import Problem

LATER = "write a value that is known when the execution starts"
OURS = {"Get": "Parameters.ArtifactBucket"}


def declare(definition: Definition, name: str, kind: str, default: object = None) -> dict[str, str]:
    """Add a parameter and refer to it."""
    parameter = {"Name": name, "Type": kind} | ({} if default is None else {"DefaultValue": default})
    definition["Parameters"].append(parameter)
    return {"Get": f"Parameters.{name}"}


def reading(uri: Any) -> list[Problem]:
    """Judge the shipped definition with other data for Preprocess."""
    definition = shipped()
    arguments(definition, "Preprocess")["ProcessingInputs"][0]["S3Input"]["S3Uri"] = uri
    return judge(definition)


def with_volume(definition: Definition, size: Any) -> list[Problem]:
    arguments(definition, "TrainSpot")["ResourceConfig"]["VolumeSizeInGB"] = size
    return judge(definition)


AT_VOLUME = pointer(shipped(), "TrainSpot", "ResourceConfig", "VolumeSizeInGB")
AT_DATA = pointer(shipped(), "Preprocess", "ProcessingInputs", 0, "S3Input", "S3Uri")


@pytest.mark.parametrize(
    "uri",
    [
        DATA,
        f"s3://{BUCKET}/data/birds",
        joined("s3:/", BUCKET, "data", "birds"),
        joined("s3:/", OURS, "data", ""),
        joined("s3:/", OURS, joined("data", "birds"), ""),
        {"Std:Join": {"On": "", "Values": [{"Get": "Parameters.InputDataUrl"}, 2011, "/"]}},
        joined("s3:/", OURS, "executions", EXECUTION, "x"),
        joined("s3:/", OURS, "checkpoints", {"Get": "Execution.PipelineName"}),
    ],
)
def test_a_location_is_judged_by_what_its_parts_come_to(uri: Any) -> None:
    assert reading(uri) == []


@pytest.mark.parametrize(
    "uri",
    [
        joined("s3:/", "another-bucket", "data"),
        joined("s3:/", OURS, "pipeline"),
        joined("s3:/", OURS, "data"),  # and data-of-others
        {"Std:Join": {"On": "", "Values": ["s3://", OURS, "-other/data/"]}},
        {"Std:Join": {"On": "", "Values": ["s3://", OURS, "@evil/data/"]}},
        # Parts that only the run will tell could be anything.
        joined("s3:/", OURS, {"Get": "Execution.PipelineExecutionId"}),
        joined("s3:/", OURS, "data", {"Get": "Execution.StartDateTime"}),
        joined("s3:/", OURS, "data", {"Get": "Execution.PipelineExecutionArn"}),
        joined("s3:/", {"Get": "Execution.PipelineName"}, "data"),
        joined("s3:/", OURS, "data", 0.5),
        joined("s3:/", OURS, "data", True),
        joined("s3:/", OURS, "data", {"Get": "Steps.TrainSpot.TrainingJobName"}),
        joined({"Get": "Steps.TrainSpot.OutputDataConfig.S3OutputPath"}, "x"),
        {"Get": "Steps.Preprocess.ProcessingOutputConfig.Outputs[0].S3Output.S3Uri"},
        {"Get": "Steps.Preprocess.ProcessingInputs['data'].S3Input.S3Uri"},
        {
            "Std:JsonGet": {
                "PropertyFile": {"Get": "Steps.EvaluateSpot.PropertyFiles.EvaluationSpot"},
                "Path": "a",
            }
        },
        # Expressions that mean nothing, or that mean something else to somebody else.
        {"Get": "Parameters.NotDeclared"},
        {"Get": "Data.Everything"},
        {"Get": 7},
        {"Get": "Parameters.InputDataUrl", "Std:Join": {"On": "", "Values": []}},
        {"Std:Join": {"On": "/", "Values": DATA}},
        {"Std:Join": {"On": OURS, "Values": [DATA]}},
        {"Std:Join": {"On": "", "Values": [DATA], "Upper": True}},
        {"Std:Join": {"On": "", "Values": [DATA, None]}},
        {"Std:Lower": DATA},
        {},
        [],
        None,
        7,
    ],
)
def test_what_cannot_be_judged_before_the_execution_is_refused(uri: Any) -> None:
    problems = reading(uri)
    assert {problem.pointer for problem in problems} == {AT_DATA}
    assert "[rule locations]" in said_at(problems, AT_DATA)


def test_the_message_says_where_a_value_comes_from() -> None:
    definition = shipped()
    given = {"InputDataUrl": "s3://another-bucket/data/"}
    said = said_at(judge(definition, given=given), AT_DATA)
    assert said.startswith(
        'Parameters.InputDataUrl is "s3://another-bucket/data/", which is not in the deployment'
    )
    assert f"jobs read below s3://{BUCKET}/data/" in said


@pytest.mark.parametrize(
    ("kind", "value", "size"),
    [
        ("Integer", 100, 100),
        ("Integer", 101, None),
        ("Integer", "100", 100),
        ("Integer", "0100", 100),
        ("Integer", "101", None),
        ("Integer", "1e1", None),
        ("Integer", "99999999999999999999", None),
        ("Integer", True, None),
        ("Float", 30.0, None),
        ("Float", "nan", None),
        ("String", "30", None),
        ("Boolean", "true", None),
        ("Tuple", 30, None),
    ],
)
def test_a_parameter_counts_as_its_declared_type_reads_it(kind: str, value: object, size: int | None) -> None:
    definition = shipped()
    reference = declare(definition, "Volume", kind, value)
    assert (with_volume(definition, reference) == []) is (size is not None)


def test_a_value_given_at_the_start_counts_and_not_the_default() -> None:
    definition = shipped()
    reference = declare(definition, "Volume", "Integer", 30)
    arguments(definition, "TrainSpot")["ResourceConfig"]["VolumeSizeInGB"] = reference
    assert judge(definition) == []
    said = said_at(judge(definition, given={"Volume": "1000"}), AT_VOLUME)
    assert "Parameters.Volume is 1000; it must be a whole number from 1 to 100 (max_volume_gb)" in said


def test_a_parameter_without_a_value_is_refused_where_it_is_used() -> None:
    definition = shipped()
    reference = declare(definition, "Volume", "Integer")
    said = said_at(with_volume(definition, reference), AT_VOLUME)
    assert 'parameter "Volume" has no value' in said
    assert LATER in said


def test_flags_are_read_as_the_service_writes_them() -> None:
    for value, allowed in ((True, True), ("True", True), ("true", True), ("false", False), ("yes", False)):
        definition = shipped()
        reference = declare(definition, "Isolated", "Boolean", value)
        arguments(definition, "TrainSpot")["EnableNetworkIsolation"] = reference
        assert (judge(definition) == []) is allowed, value


def test_a_text_that_says_true_is_not_true() -> None:
    for value in ("true", 1, {"Get": "Parameters.Isolated"}):
        definition = shipped()
        declare(definition, "Isolated", "String", "true")
        arguments(definition, "TrainSpot")["EnableNetworkIsolation"] = value
        at = pointer(definition, "TrainSpot", "EnableNetworkIsolation")
        assert "write true [rule network]" in said_at(judge(definition), at)


@pytest.mark.parametrize(
    "text",
    [
        "\0Execution.PipelineExecutionId\0",
        "executions/\0Execution.PipelineExecutionId\0",
        "\0Steps/Preprocess/Outputs/train\0",
    ],
)
def test_no_text_can_pass_for_what_only_the_run_will_tell(text: str) -> None:
    definition = shipped()
    outputs = arguments(definition, "Preprocess")["ProcessingOutputConfig"]["Outputs"]
    outputs[0]["S3Output"]["S3Uri"] = f"s3://{BUCKET}/{text}/x"
    at = pointer(definition, "Preprocess", "ProcessingOutputConfig", "Outputs", 0, "S3Output", "S3Uri")
    assert "NUL character" in said_at(judge(definition), at)
    reference = declare(definition, "Folder", "String", text)
    outputs[0]["S3Output"]["S3Uri"] = joined("s3:/", OURS, reference)
    assert "Parameters.Folder is" in said_at(judge(definition), at)


@pytest.mark.parametrize(
    "target",
    [
        "Steps.Preprocess.Outputs.train",
        "Steps/Preprocess/Outputs/train",
        "Steps.Preprocess/Outputs/train",
        "Steps.Preprocess.ProcessingOutputConfig.Outputs['train']",
        "Steps.Preprocess.ProcessingOutputConfig.Outputs['train'].S3Output.S3Uri.x",
    ],
)
def test_no_other_reference_can_pass_for_a_steps_output(target: str) -> None:
    definition = shipped()
    source = arguments(definition, "TrainSpot")["InputDataConfig"][0]["DataSource"]["S3DataSource"]
    source["S3Uri"] = {"Get": target}
    at = pointer(definition, "TrainSpot", "InputDataConfig", 0, "DataSource", "S3DataSource", "S3Uri")
    assert "[rule locations]" in said_at(judge(definition), at)


@pytest.mark.parametrize("target", ["Steps.TrainSpot.ModelArtifacts", "Steps/TrainSpot/ModelArtifacts"])
def test_no_other_reference_can_pass_for_a_steps_model(target: str) -> None:
    definition = shipped()
    arguments(definition, "EvaluateSpot")["ProcessingInputs"][0]["S3Input"]["S3Uri"] = {"Get": target}
    at = pointer(definition, "EvaluateSpot", "ProcessingInputs", 0, "S3Input", "S3Uri")
    assert "[rule registration]" in said_at(judge(definition), at)


def test_either_kind_of_quotes_names_an_output() -> None:
    definition = shipped()
    for source in (
        each["DataSource"]["S3DataSource"] for each in arguments(definition, "TrainSpot")["InputDataConfig"]
    ):
        source["S3Uri"] = {"Get": source["S3Uri"]["Get"].replace("'", '"')}
    assert judge(definition) == []


def test_a_text_longer_than_any_location_is_not_even_looked_at() -> None:
    long = "x" * 4097
    for text in (long, joined(*["x" * 100] * 60), {"Get": f"Parameters.{long}"}):
        assert said_at(reading(text), AT_DATA)


def test_a_text_for_our_own_code_has_an_end_as_well() -> None:
    for text in ("x" * 4097, joined(*["x" * 100] * 60)):
        definition = shipped()
        arguments(definition, "TrainSpot")["HyperParameters"]["backbone"] = text
        assert said_at(judge(definition), pointer(definition, "TrainSpot", "HyperParameters", "backbone"))


def test_an_output_that_stands_for_another_steps_output_is_no_location() -> None:
    definition = shipped()
    outputs = arguments(definition, "EvaluateSpot")["ProcessingOutputConfig"]["Outputs"]
    outputs[0]["S3Output"]["S3Uri"] = joined(output("Preprocess", "test"), "x")
    at = pointer(definition, "EvaluateSpot", "ProcessingOutputConfig", "Outputs", 0, "S3Output", "S3Uri")
    assert "which is what another step makes" in said_at(judge(definition), at)


def test_an_output_that_no_step_makes_is_named() -> None:
    definition = shipped()
    channel = arguments(definition, "TrainSpot")["InputDataConfig"][0]["DataSource"]["S3DataSource"]
    for uri, what in (
        (output("Preprocess", "other"), 'no step Preprocess here makes an output "other"'),
        (output("Nobody", "train"), 'no step Nobody here makes an output "train"'),
        (
            {"Get": "Steps.Preprocess.ModelArtifacts.S3ModelArtifacts"},
            "no step Preprocess here makes a model",
        ),
    ):
        channel["S3Uri"] = uri
        at = pointer(definition, "TrainSpot", "InputDataConfig", 0, "DataSource", "S3DataSource", "S3Uri")
        assert what in said_at(judge(definition), at)


def test_a_constant_that_equals_the_deployments_own_is_as_good_as_the_parameter() -> None:
    definition = shipped()
    arguments(definition, "TrainSpot")["RoleArn"] = ROLE
    arguments(definition, "TrainSpot")["OutputDataConfig"]["S3OutputPath"] = joined(
        "s3:/", BUCKET, "executions", EXECUTION, "training", "spot"
    )
    assert judge(definition) == []


def test_own_locations_may_be_read_back() -> None:
    assert reading(own("anything")) == []
