"""Where a definition may read and write, after its expressions are evaluated."""

from typing import Any

import pytest

from tests.support.definitions.policy_cases import (
    DEFAULT,
    DEPLOYED,
    EXECUTION,
    Definition,
    Place,
    arguments,
    joined,
    judge,
    model_of,
    output,
    own,
    pointer,
    put,
    said_at,
    shipped,
    values,
)
from tests.support.delivery.handler_uploads import BUCKET
from upload_trigger import policy

OURS = {"Get": "Parameters.ArtifactBucket"}
PIPELINE = {"Get": "Execution.PipelineName"}
OUTPUT: Place = ("Preprocess", "ProcessingOutputConfig", "Outputs", 0, "S3Output", "S3Uri")
MODEL: Place = ("TrainSpot", "OutputDataConfig", "S3OutputPath")
CHECKPOINT: Place = ("TrainSpot", "CheckpointConfig", "S3Uri")
INPUT: Place = ("Preprocess", "ProcessingInputs", 0, "S3Input", "S3Uri")
CHANNEL: Place = ("TrainSpot", "InputDataConfig", 0, "DataSource", "S3DataSource", "S3Uri")
FOREIGN: list[Any] = [
    "s3://another-bucket/executions/",
    f"s3://{BUCKET}-2/data/",
    f"s3://{BUCKET}.evil/data/",
    f"s3://x@{BUCKET}/data/",
    f"https://{BUCKET}/data/",
    f"S3://{BUCKET}/data/",
    f"s3:/{BUCKET}/data/",
    f"s3:///{BUCKET}/data/",
    f"s3://{BUCKET}",
    f"s3://{BUCKET}/",
    f"s3://{BUCKET}/pipeline/",
    f"s3://{BUCKET}/verdicts/",
    f"s3://{BUCKET}/Data/",
    f"s3://{BUCKET}/data",
    f"s3://{BUCKET}//data/",
    f"s3://{BUCKET}/data/../pipeline/",
    f"s3://{BUCKET}/data/./x",
    f"s3://{BUCKET}/data//x",
    f"s3://{BUCKET}/data/x\n",
    f"s3://{BUCKET}/data/%2e%2e/",
    f"s3://{BUCKET}/data/*",
    f"s3://{BUCKET}/data/ü",
    f"s3://{BUCKET}/data/x\\y",
    "data/",
    "/opt/ml/input",
    "",
]


@pytest.mark.parametrize("uri", FOREIGN)
@pytest.mark.parametrize("place", [INPUT, OUTPUT, MODEL, CHECKPOINT])
def test_no_job_reads_or_writes_at_a_foreign_place(place: Place, uri: Any) -> None:
    definition, at = put(place, uri)
    said = said_at(judge(definition), at)
    assert said.endswith("[rule locations]")
    assert f"s3://{BUCKET}/" in said.partition("below")[2]


@pytest.mark.parametrize(
    "uri",
    [
        f"s3://{BUCKET}/data/birds/",
        f"s3://{BUCKET}/data/CUB_200_2011 (1).tgz",
        f"s3://{BUCKET}/executions/",
        f"s3://{BUCKET}/executions/abc123def456/preprocess/train",
        f"s3://{BUCKET}/checkpoints/other-pipeline/",
        own("anything"),
        output("Preprocess", "train"),
        joined(output("Preprocess", "train"), "part-1"),
        model_of("TrainSpot"),
    ],
)
def test_a_job_reads_data_and_results(uri: Any) -> None:
    definition, _ = put(("TrainOnDemand", *CHANNEL[1:]), uri)
    # Which of it a registered model may have been trained on is another rule's matter.
    assert not [each for each in judge(definition) if "[rule locations]" in each.message]


@pytest.mark.parametrize("place", [OUTPUT, MODEL, CHECKPOINT])
def test_a_job_writes_below_its_own_execution(place: Place) -> None:
    for folders in (("x",), ("x", "y", ""), ("a b", "c=d", "+", "(e)")):
        definition, _ = put(place, own(*folders))
        assert judge(definition) == []


@pytest.mark.parametrize(
    "uri",
    [
        f"s3://{BUCKET}/data/",
        f"s3://{BUCKET}/executions/",
        f"s3://{BUCKET}/executions/abc123def456/preprocess/train",
        joined("s3:/", OURS, "executions", "abc123def456", EXECUTION, "x"),
        joined("s3:/", OURS, "executions", {"Std:Join": {"On": "", "Values": [EXECUTION, "x"]}}, "y"),
        joined("s3:/", OURS, "executions", EXECUTION),
        joined("s3:/", OURS, "executions", EXECUTION, "..", "abc123def456"),
        joined("s3:/", OURS, "executions", PIPELINE, "x"),
        joined("s3:/", OURS, EXECUTION, "executions"),
    ],
)
def test_no_job_writes_into_another_execution(uri: Any) -> None:
    for place in (OUTPUT, MODEL, CHECKPOINT):
        definition, at = put(place, uri)
        assert f"s3://{BUCKET}/executions/<Execution.PipelineExecutionId>/" in said_at(judge(definition), at)


def test_checkpoints_are_kept_below_the_own_pipeline() -> None:
    for folders, allowed in (
        (("checkpoints", PIPELINE, "spot"), True),
        (("checkpoints", PIPELINE, ""), True),
        (("checkpoints", PIPELINE), False),
        (("checkpoints", "cv-birds-other", "spot"), False),
        (("checkpoints", "spot"), False),
        (("checkpoints", PIPELINE, "..", "cv-birds-other"), False),
        (("checkpoints", {"Std:Join": {"On": "", "Values": [PIPELINE, "-other"]}}, "spot"), False),
    ):
        definition, at = put(CHECKPOINT, joined("s3:/", OURS, *folders))
        problems = judge(definition)
        assert (problems == []) is allowed, folders
        if not allowed:
            assert "checkpoints/<Execution.PipelineName>/ or s3://" in said_at(problems, at)


@pytest.mark.parametrize(
    ("place", "folders"),
    [
        (OUTPUT, (PIPELINE, "evaluation")),
        (MODEL, ("models", PIPELINE)),
        (CHECKPOINT, ("checkpoints", PIPELINE)),
    ],
)
def test_the_pipelines_name_makes_no_second_name_of_a_place(place: Place, folders: tuple[Any, ...]) -> None:
    definition, at = put(place, own(*folders, ""))
    assert "has the pipeline's name in it once more; leave that out" in said_at(judge(definition), at)


def test_nothing_else_is_written_among_checkpoints() -> None:
    for place in (OUTPUT, MODEL):
        definition, at = put(place, joined("s3:/", OURS, "checkpoints", PIPELINE, "spot"))
        assert "[rule locations]" in said_at(judge(definition), at)


@pytest.mark.parametrize(
    ("one", "folders", "other", "others"),
    [
        (OUTPUT, ("x",), MODEL, ("x",)),
        (OUTPUT, ("x",), MODEL, ("x", "")),
        (OUTPUT, ("x",), MODEL, ("x", "y")),
        (OUTPUT, ("x", "y"), MODEL, ("x",)),
        (OUTPUT, ("x", "y"), CHECKPOINT, ("x",)),
        (MODEL, ("x",), CHECKPOINT, ("x", "y")),
        # A prefix is the beginning of a key, and no folder.
        (OUTPUT, ("t",), MODEL, ("train",)),
        (OUTPUT, ("t", ""), MODEL, ("train",)),
        (OUTPUT, ("evaluation", "spot", "x"), MODEL, ("y",)),
        (OUTPUT, ("",), MODEL, ("y",)),
    ],
)
def test_no_output_lies_in_another_one(
    one: Place, folders: tuple[str, ...], other: Place, others: tuple[str, ...]
) -> None:
    definition, at = put(one, own(*folders))
    name, *members = other
    target: Any = arguments(definition, str(name))
    for member in members[:-1]:
        target = target[member]
    target[members[-1]] = own(*others)
    problems = judge(definition)
    assert "begins with" in said_at(problems, at)
    assert "give each output a prefix of its own [rule locations]" in said_at(problems, at)
    assert len(problems) > 1, "both are told"


def test_another_step_cannot_write_the_evaluation() -> None:
    definition, at = put(MODEL, own("evaluation", "spot"))
    problems = judge(definition)
    assert "begins with" in said_at(problems, at)
    evaluation = pointer(definition, "EvaluateSpot", *OUTPUT[1:])
    assert "begins with" in said_at(problems, evaluation)


FOLDERS: list[tuple[str, str, int, str]] = [
    ("EvaluateSpot", "ProcessingInputs", 0, "/opt/ml/processing/output/evaluation"),
    ("EvaluateSpot", "ProcessingInputs", 0, "/opt/ml/processing/input/test"),
    ("EvaluateSpot", "ProcessingInputs", 0, "/opt/ml/processing/input"),
    ("EvaluateSpot", "ProcessingInputs", 0, "/opt/ml/processing/input/model/"),
    ("EvaluateSpot", "ProcessingInputs", 0, "/opt/ml/processing/input/test/../model"),
    ("EvaluateSpot", "ProcessingInputs", 0, "/usr/local/lib/python3.12/site-packages"),
    ("EvaluateSpot", "ProcessingInputs", 0, "model"),
    ("Preprocess", "ProcessingOutputConfig", 2, "/opt/ml/processing/output/train"),
    ("Preprocess", "ProcessingOutputConfig", 2, "/opt/ml/processing/input/data"),
    ("EvaluateSpot", "ProcessingOutputConfig", 0, "/opt/ml/processing/input/model"),
    ("EvaluateSpot", "ProcessingOutputConfig", 0, "/opt/ml/processing/output"),
]


@pytest.mark.parametrize(("name", "member", "index", "folder"), FOLDERS)
def test_a_processing_jobs_folders_have_the_names_of_what_is_in_them(
    name: str, member: str, index: int, folder: str
) -> None:
    members = (*(("Outputs",) if member.endswith("Config") else ()), index)
    target = "S3Output" if member.endswith("Config") else "S3Input"
    definition, at = put((name, member, *members, target, "LocalPath"), folder)
    kind = "output" if member.endswith("Config") else "input"
    assert f"write /opt/ml/processing/{kind}/<name> [rule locations]" in said_at(judge(definition), at)


def test_a_name_is_no_path() -> None:
    definition = shipped()
    folder = {"LocalPath": "/opt/ml/processing/input/../output/evaluation"}
    added = {"InputName": "../output/evaluation", "S3Input": _input(definition, 1)["S3Input"] | folder}
    arguments(definition, "EvaluateSpot")["ProcessingInputs"].append(added)
    problems = judge(definition)
    at = pointer(definition, "EvaluateSpot", "ProcessingInputs", 3)
    assert "must be 1 to 64 of A-Z a-z 0-9 - _" in said_at(problems, f"{at}/InputName")
    assert "is not the folder of" in said_at(problems, f"{at}/S3Input/LocalPath")


def _input(definition: Definition, index: int) -> Definition:
    found: Definition = arguments(definition, "EvaluateSpot")["ProcessingInputs"][index]
    return found


def test_a_manifest_cannot_name_further_places() -> None:
    definition = shipped()
    _input(definition, 1)["S3Input"]["S3DataType"] = "ManifestFile"
    at = pointer(definition, "EvaluateSpot", "ProcessingInputs", 1, "S3Input", "S3DataType")
    assert "allowed here: S3Prefix" in said_at(judge(definition), at)


def test_without_the_deployments_bucket_no_location_is_allowed() -> None:
    definition = shipped()
    without = {name: value for name, value in DEPLOYED.items() if name != "ArtifactBucket"}
    problems = policy.problems(definition, values(definition), without, DEFAULT)
    at = pointer(definition, "Preprocess", *INPUT[1:])
    assert "is not in the deployment's bucket" in said_at(problems, at)
