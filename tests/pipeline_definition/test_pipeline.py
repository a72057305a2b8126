"""The committed pipeline.json: its steps and their order, and that it carries nothing of one account."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline_definition import picture
from pipeline_definition.parameters import hyper_parameters, parameters
from training.hyper_parameters import TABLE

COMMITTED = Path(__file__).parents[2] / "pipeline_definition" / "pipeline.json"
TEXT = COMMITTED.read_text(encoding="utf-8")
DEFINITION: dict[str, Any] = json.loads(TEXT)
JOB_TYPES = {"Processing", "Training"}


def all_steps(listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for step in listed:
        found.append(step)
        for branch in ("IfSteps", "ElseSteps"):
            found += all_steps(step["Arguments"].get(branch, []))
    return found


STEPS = {step["Name"]: step for step in all_steps(DEFINITION["Steps"])}
JOBS = {name: step for name, step in STEPS.items() if step["Type"] in JOB_TYPES}


def test_the_steps_are_there_in_the_order_that_everything_names_them() -> None:
    assert [(name, step["Type"]) for name, step in STEPS.items()] == [
        ("CheckParameters", "Condition"),
        ("Preprocess", "Processing"),
        ("ParameterOutOfRange", "Fail"),
        ("TrainSpot", "Training"),
        ("TrainOnDemand", "Training"),
        ("EvaluateSpot", "Processing"),
        ("EvaluateOnDemand", "Processing"),
        ("CheckSpotAccuracy", "Condition"),
        ("RegisterSpot", "RegisterModel"),
        ("CheckOnDemandAccuracy", "Condition"),
        ("RegisterOnDemand", "RegisterModel"),
        ("CheckAnyAccuracy", "Condition"),
        ("AccuracyTooLow", "Fail"),
    ]


def test_studio_shows_each_step_under_its_own_name_with_a_description() -> None:
    for name, step in STEPS.items():
        assert step["DisplayName"] == name
        assert step["Description"].endswith(".")


def test_the_parameters_are_those_of_the_table_in_its_order() -> None:
    expected = []
    for each in parameters():
        entry: dict[str, Any] = {"Name": each.name, "Type": each.type}
        if each.default is not None:
            entry["DefaultValue"] = each.default
        if each.enum:
            entry["EnumValues"] = list(each.enum)
        expected.append(entry)
    assert DEFINITION["Parameters"] == expected


def test_nothing_of_an_account_is_inside() -> None:
    assert not re.search(r"\d{12}|arn:|amazonaws|us-east-1|given-at-start", TEXT)
    assert re.findall(r"s3://\w", TEXT) == []


def test_every_job_runs_our_image_as_our_role_cut_off_from_the_network() -> None:
    for step in JOBS.values():
        job = step["Arguments"]
        specification = job.get("AppSpecification") or job["AlgorithmSpecification"]
        network = job.get("NetworkConfig") or job
        image = specification.get("ImageUri") or specification["TrainingImage"]
        assert image == {"Get": "Parameters.TrainingImageUri"}
        assert job["RoleArn"] == {"Get": "Parameters.ExecutionRoleArn"}
        assert network["EnableNetworkIsolation"] is True
        assert network["EnableInterContainerTrafficEncryption"] is True
        assert specification["ContainerEntrypoint"][:2] == ["python", "-m"]


def test_what_jobs_write_and_their_volumes_have_the_key_that_the_deployment_gives() -> None:
    for step in JOBS.values():
        job = step["Arguments"]
        output = job.get("ProcessingOutputConfig") or job["OutputDataConfig"]
        cluster = job.get("ResourceConfig") or job["ProcessingResources"]["ClusterConfig"]
        assert output["KmsKeyId"] == {"Get": "Parameters.OutputKmsKeyId"}
        assert cluster["VolumeKmsKeyId"] == {"Get": "Parameters.VolumeKmsKeyId"}
    defaults = {each["Name"]: each.get("DefaultValue") for each in DEFINITION["Parameters"]}
    assert (defaults["OutputKmsKeyId"], defaults["VolumeKmsKeyId"]) == ("", "")


def test_every_job_is_cached_for_thirty_days_and_retried() -> None:
    for step in JOBS.values():
        assert step["CacheConfig"] == {"Enabled": True, "ExpireAfter": "P30D"}
        kinds = {kind for policy in step["RetryPolicies"] for kind in policy["ExceptionType"]}
        assert kinds == {
            "Step.SERVICE_FAULT",
            "Step.THROTTLING",
            "SageMaker.JOB_INTERNAL_ERROR",
            "SageMaker.CAPACITY_ERROR",
            "SageMaker.RESOURCE_LIMIT",
        }


def test_everything_that_bills_is_tagged_with_its_deployment_and_execution() -> None:
    for step in JOBS.values():
        tags = {each["Key"]: each["Value"] for each in step["Arguments"]["Tags"]}
        assert tags["project"] == {"Get": "Parameters.ModelPackageGroupName"}
        assert tags["execution"] == {"Get": "Execution.PipelineExecutionId"}


def test_everything_that_bills_is_tagged_with_its_training_type() -> None:
    tags = {name: step["Arguments"]["Tags"] for name, step in JOBS.items()}
    types = {
        name: {each["Key"]: each["Value"] for each in listed}["TrainingType"] for name, listed in tags.items()
    }
    assert types == {
        "Preprocess": "Shared",
        "TrainSpot": "Spot",
        "TrainOnDemand": "OnDemand",
        "EvaluateSpot": "Spot",
        "EvaluateOnDemand": "OnDemand",
    }


def joined(expression: dict[str, Any]) -> str:
    """Write a Std:Join with its references in brackets."""
    parts = expression["Std:Join"]["Values"]
    texts = [f"<{part['Get']}>" if isinstance(part, dict) else part for part in parts]
    return str(expression["Std:Join"]["On"]).join(texts)


def test_outputs_belong_to_the_execution_and_checkpoints_to_the_pipeline() -> None:
    uris = [
        output["S3Output"]["S3Uri"]
        for step in JOBS.values()
        for output in step["Arguments"].get("ProcessingOutputConfig", {}).get("Outputs", [])
    ]
    uris += [
        STEPS[name]["Arguments"]["OutputDataConfig"]["S3OutputPath"]
        for name in ("TrainSpot", "TrainOnDemand")
    ]
    own = "s3://<Parameters.ArtifactBucket>/executions/<Execution.PipelineExecutionId>/"
    assert sorted(joined(uri) for uri in uris) == [
        own + rest
        for rest in (
            "evaluation/on-demand",
            "evaluation/spot",
            "preprocess/manifest",
            "preprocess/test",
            "preprocess/train",
            "preprocess/validation",
            "training/on-demand",
            "training/spot",
        )
    ]
    checkpoints = STEPS["TrainSpot"]["Arguments"]["CheckpointConfig"]
    assert joined(checkpoints["S3Uri"]) == (
        "s3://<Parameters.ArtifactBucket>/checkpoints/<Execution.PipelineName>/spot"
    )


def test_the_two_trainings_differ_only_in_how_they_are_paid_and_where_they_write() -> None:
    spot, on_demand = (dict(STEPS[name]["Arguments"]) for name in ("TrainSpot", "TrainOnDemand"))
    assert spot.pop("EnableManagedSpotTraining") is True
    assert on_demand.pop("EnableManagedSpotTraining") is False
    waits = spot.pop("StoppingCondition"), on_demand.pop("StoppingCondition")
    assert waits[0]["MaxWaitTimeInSeconds"] >= waits[0]["MaxRuntimeInSeconds"]
    assert waits[0]["MaxRuntimeInSeconds"] == waits[1]["MaxRuntimeInSeconds"]
    for different in ("CheckpointConfig", "OutputDataConfig", "Tags"):
        spot.pop(different)
        on_demand.pop(different, None)
    assert spot == on_demand


def test_both_trainings_run_on_what_the_parameters_say() -> None:
    for name in ("TrainSpot", "TrainOnDemand"):
        resources = STEPS[name]["Arguments"]["ResourceConfig"]
        assert resources["InstanceType"] == {"Get": "Parameters.TrainingInstanceType"}
        assert resources["InstanceCount"] == {"Get": "Parameters.TrainingInstanceCount"}


def test_every_hyper_parameter_is_passed_as_text_under_its_own_name() -> None:
    passed = STEPS["TrainSpot"]["Arguments"]["HyperParameters"]
    assert passed.keys() == TABLE.keys()
    for each in hyper_parameters():
        value = passed[each.hyper_parameter]
        if each.type == "String":
            assert value == {"Get": f"Parameters.{each.name}"}
        else:
            assert joined(value) == f"<Parameters.{each.name}>"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("train:loss", "0.4312"),
        ("train:progress", "13.6"),
        ("validation:loss", "5.1e-05"),
        ("validation:accuracy", "0.8750"),
    ],
)
def test_a_metric_is_found_in_the_log_line_and_not_inside_another_name(name: str, found: str) -> None:
    line = "epoch=3/22 mean_train_loss=9 phase=head train_loss=0.4312 validation_loss=5.1e-05 "
    line += "validation_accuracy=0.8750 images_per_second=1512.0 progress=13.6 eta_seconds=12"
    definitions = STEPS["TrainSpot"]["Arguments"]["AlgorithmSpecification"]["MetricDefinitions"]
    (regex,) = [each["Regex"] for each in definitions if each["Name"] == name]
    assert re.findall(regex, line) == [found]


def test_a_model_is_registered_only_behind_its_own_accuracy() -> None:
    for kind in ("Spot", "OnDemand"):
        check = STEPS[f"Check{kind}Accuracy"]["Arguments"]
        (condition,) = check["Conditions"]
        file = f"Steps.Evaluate{kind}.PropertyFiles.Evaluation{kind}"
        assert condition["Type"] == "GreaterThanOrEqualTo"
        assert condition["LeftValue"]["Std:JsonGet"] == {
            "PropertyFile": {"Get": file},
            "Path": "multiclass_classification_metrics.accuracy.value",
        }
        assert condition["RightValue"] == {"Get": "Parameters.AccuracyThreshold"}
        assert [each["Name"] for each in check["IfSteps"]] == [f"Register{kind}"]
        assert check["ElseSteps"] == []


def test_a_registered_model_says_what_it_takes_and_how_good_it_is() -> None:
    package = STEPS["RegisterSpot"]["Arguments"]
    # tests/training/test_serve.py compares all of them with what is served.
    assert "application/x-image" in package["InferenceSpecification"]["SupportedContentTypes"]
    assert package["InferenceSpecification"]["SupportedResponseMIMETypes"] == ["application/json"]
    assert package["ModelApprovalStatus"] == {"Get": "Parameters.ModelApprovalStatus"}
    statistics = package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"]
    evaluation = "<Steps.EvaluateSpot.ProcessingOutputConfig.Outputs['evaluation'].S3Output.S3Uri>"
    assert joined(statistics) == f"{evaluation}/evaluation.json"


@pytest.mark.parametrize("kind", ["Spot", "OnDemand"])
def test_a_registered_model_says_where_it_comes_from(kind: str) -> None:
    properties = dict(STEPS[f"Register{kind}"]["Arguments"]["CustomerMetadataProperties"])
    assert properties.pop("TrainingType") == kind
    assert properties.pop("PipelineExecutionArn") == {"Get": "Execution.PipelineExecutionArn"}
    evaluation = f"<Steps.Evaluate{kind}.ProcessingOutputConfig.Outputs['evaluation'].S3Output.S3Uri>"
    assert joined(properties.pop("ModelCard")) == f"{evaluation}/model-card.json"
    file = {"Get": f"Steps.Evaluate{kind}.PropertyFiles.Evaluation{kind}"}
    assert properties == {
        name: {"Std:JsonGet": {"PropertyFile": file, "Path": f"lineage.{member}"}}
        for name, member in {
            "Backbone": "backbone",
            "PretrainedSha256": "pretrained_sha256",
            "PretrainedLicence": "pretrained_licence",
            "WeightsSha256": "weights_sha256",
            "DataDigest": "data_digest",
            "TrainingCodeSha256": "training_code_sha256",
        }.items()
    }


def test_the_failure_says_which_threshold_was_missed() -> None:
    (condition,) = STEPS["CheckAnyAccuracy"]["Arguments"]["Conditions"]
    assert condition["Type"] == "Not"
    assert len(condition["Condition"]["Conditions"]) == 2
    assert "<Parameters.AccuracyThreshold>" in joined(STEPS["AccuracyTooLow"]["Arguments"]["ErrorMessage"])


def test_the_variant_has_one_more_parameter_after_the_data() -> None:
    names = [each.name for each in parameters(pretrained_channel=True)]
    assert names[names.index("InputDataUrl") + 1] == "PretrainedUrl"
    assert [name for name in names if name != "PretrainedUrl"] == [each.name for each in parameters()]


def test_the_variant_for_a_vpc_has_a_parameter_for_each_of_its_ids() -> None:
    names = [each.name for each in parameters(subnets=2, security_groups=1)]
    after = names.index("VolumeKmsKeyId") + 1
    assert names[after : after + 3] == ["SubnetId1", "SubnetId2", "SecurityGroupId1"]
    assert names[:after] + names[after + 3 :] == [each.name for each in parameters()]


def test_the_picture_shows_every_step_and_only_the_shortest_arrows() -> None:
    drawn = picture.blocks()["pipeline"]
    for name in STEPS:
        assert f"<b>{name}</b>" in drawn
    arrows = re.findall(r"^ +(\w+) -->(?:\|(\w+)\|)? (\w+)$", drawn, re.MULTILINE)
    assert {(source, target): answer for source, answer, target in arrows} == {
        ("CheckParameters", "Preprocess"): "yes",
        ("CheckParameters", "ParameterOutOfRange"): "no",
        ("Preprocess", "TrainSpot"): "",
        ("Preprocess", "TrainOnDemand"): "",
        ("TrainSpot", "EvaluateSpot"): "",
        ("TrainOnDemand", "EvaluateOnDemand"): "",
        ("EvaluateSpot", "CheckSpotAccuracy"): "",
        ("EvaluateOnDemand", "CheckOnDemandAccuracy"): "",
        ("EvaluateSpot", "CheckAnyAccuracy"): "",
        ("EvaluateOnDemand", "CheckAnyAccuracy"): "",
        ("CheckSpotAccuracy", "RegisterSpot"): "yes",
        ("CheckOnDemandAccuracy", "RegisterOnDemand"): "yes",
        ("CheckAnyAccuracy", "AccuracyTooLow"): "no",
    }


def test_the_table_has_a_row_for_each_parameter() -> None:
    rows = picture.blocks()["parameters"].splitlines()[2:]
    assert [row.split("|")[1].strip(" `") for row in rows] == [each.name for each in parameters()]
    assert "| `AccuracyThreshold` | Float | `0.7` |" in "\n".join(rows)
