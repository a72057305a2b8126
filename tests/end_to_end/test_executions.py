"""From an upload to the registry on local AWS: order, Spot, cache, gate, events; with toy containers."""

import json
import time
from typing import Any

import pytest

from ops.errors import StartFailedError
from ops.uploads.start import wait_for_start
from ops.uploads.upload import DefinitionUpload
from tests.support.local_aws.deployed import DeployedStack
from tests.support.local_aws.toy_pipeline import SHIPPED

JOB_STEPS = {"Preprocess", "TrainSpot", "TrainOnDemand", "EvaluateSpot", "EvaluateOnDemand"}


@pytest.fixture(scope="module")
def first(deployed: DeployedStack) -> str:
    """The execution of a first upload."""
    return deployed.run(SHIPPED)


def test_an_upload_registers_both_models_pending_approval(deployed: DeployedStack, first: str) -> None:
    assert deployed.describe(first)["PipelineExecutionStatus"] == "Succeeded"
    steps = deployed.steps(first)
    registered = {
        steps[name]["Metadata"]["RegisterModel"]["Arn"] for name in ("RegisterSpot", "RegisterOnDemand")
    }
    assert len(registered) == 2
    for arn in registered:
        package = deployed.sagemaker.describe_model_package(ModelPackageName=arn)
        assert package["ModelApprovalStatus"] == "PendingManualApproval"
        assert "application/x-image" in package["InferenceSpecification"]["SupportedContentTypes"]
        assert package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"].endswith("evaluation.json")


def test_the_two_trainings_overlap_and_only_spot_was_interrupted(deployed: DeployedStack, first: str) -> None:
    steps = deployed.steps(first)
    spot, on_demand = steps["TrainSpot"], steps["TrainOnDemand"]
    assert spot["StartTime"] < on_demand["EndTime"]
    assert on_demand["StartTime"] < spot["EndTime"]
    statuses = {
        step: [item["Status"] for item in deployed.training_job(first, step)["SecondaryStatusTransitions"]]
        for step in ("TrainSpot", "TrainOnDemand")
    }
    assert statuses["TrainSpot"].count("Interrupted") == 1
    assert "Interrupted" not in statuses["TrainOnDemand"]
    job = deployed.training_job(first, "TrainSpot")
    assert job["BillableTimeInSeconds"] <= job["TrainingTimeInSeconds"]


def test_a_second_upload_of_the_same_is_another_execution_from_cache(
    deployed: DeployedStack, first: str
) -> None:
    second = deployed.run(SHIPPED)
    assert second != first
    steps = deployed.steps(second)
    for name in JOB_STEPS:
        assert steps[name]["CacheHitResult"]["SourcePipelineExecutionArn"] == first, name
    notes = cache_notes(deployed, second)
    assert {name for name in JOB_STEPS if notes[name]["hit"] and notes[name]["reason"]} == JOB_STEPS
    versions = deployed.sagemaker.list_pipeline_versions(PipelineName=deployed.outputs["PipelineName"])
    assert len(versions["PipelineVersionSummaries"]) == 1, "an unchanged definition made a new version"


def test_another_class_selection_misses_everywhere_and_says_why(deployed: DeployedStack, first: str) -> None:
    other = deployed.run(SHIPPED, ClassSelection="13, 17")
    steps = deployed.steps(other)
    assert not {name for name in JOB_STEPS if "CacheHitResult" in steps[name]}
    notes = cache_notes(deployed, other)
    assert "ContainerArguments" in notes["Preprocess"]["reason"]
    assert "InputDataConfig" in notes["TrainSpot"]["reason"]


def test_data_that_was_overwritten_is_read_again(deployed: DeployedStack) -> None:
    key = "data/changing/images.txt"
    url = deployed.put_object(key, b"1 a.jpg").removesuffix("images.txt")

    def cached() -> bool:
        steps = deployed.steps(deployed.run(SHIPPED, InputDataUrl=url))
        return "CacheHitResult" in steps["Preprocess"]

    assert [cached(), cached()] == [False, True]
    deployed.put_object(key, b"1 b.jpg")
    assert [cached(), cached()] == [False, True]


def test_both_trainings_use_as_many_instances_as_asked_for(deployed: DeployedStack) -> None:
    # The toy training goes on from whatever checkpoint it finds.
    step_file = {"Bucket": deployed.outputs["BucketName"], "Key": "checkpoints/cv-birds/spot/step.txt"}
    deployed.aws.client("s3").delete_object(**step_file)
    few = {"TrainingInstanceCount": "2", "TrainingInstanceType": "ml.c5.2xlarge", "ClassSelection": "13, 18"}
    execution = deployed.run(SHIPPED, **few)
    assert deployed.describe(execution)["PipelineExecutionStatus"] == "Succeeded"
    for step in ("TrainSpot", "TrainOnDemand"):
        job = deployed.training_job(execution, step)
        assert job["ResourceConfig"]["InstanceCount"] == 2
        hosts = [training_log(deployed, f"{job['TrainingJobName']}/{host}-") for host in ("algo-1", "algo-2")]
        starts = [[line for line in lines if line.startswith("starting at")] for lines in hosts]
        assert starts[0] == starts[1], "after an interruption both go on from the first one's checkpoint"
        assert len(starts[0]) == (2 if step == "TrainSpot" else 1)
        assert starts[0][0] == "starting at step 0"
        assert any("progress=100" in line for line in hosts[0])
        assert not any("progress" in line for line in hosts[1])


def training_log(deployed: DeployedStack, prefix: str) -> list[str]:
    """Return the lines of the training jobs' streams whose names begin so."""
    logs, group = deployed.aws.client("logs"), "/aws/sagemaker/TrainingJobs"
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=prefix)["logStreams"]
    pages = [
        logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)
        for stream in streams
    ]
    return [event["message"] for page in pages for event in page["events"]]


def test_a_model_below_the_threshold_fails_the_execution_with_the_number(
    deployed: DeployedStack, first: str
) -> None:
    execution = deployed.run(SHIPPED, AccuracyThreshold="0.95")
    assert deployed.describe(execution)["PipelineExecutionStatus"] == "Failed"
    steps = deployed.steps(execution)
    assert "0.95" in steps["AccuracyTooLow"]["FailureReason"]
    assert not {"RegisterSpot", "RegisterOnDemand"} & steps.keys()


def test_a_value_out_of_range_ends_a_plain_upload_before_any_job(deployed: DeployedStack, first: str) -> None:
    bucket, s3 = deployed.outputs["BucketName"], deployed.uploader.client("s3")
    key = "pipeline/values/pipeline.json"
    values = {"Epochs": -1, "InputDataUrl": deployed.data_url}
    deployed.put_object("pipeline/values/parameters.json", json.dumps(values).encode())
    before = deployed.sagemaker.list_processing_jobs(MaxResults=100)["ProcessingJobSummaries"]
    version = s3.put_object(Bucket=bucket, Key=key, Body=SHIPPED.read_bytes())["VersionId"]
    uploaded = DefinitionUpload(bucket, key, version)
    execution = wait_for_start(
        s3, deployed.uploader.client("sqs"), uploaded, deployed.outputs["FailureQueueUrl"], 30.0
    )
    deployed.follow(execution)
    assert deployed.describe(execution)["PipelineExecutionStatus"] == "Failed"
    steps = deployed.steps(execution)
    assert steps.keys() == {"CheckParameters", "ParameterOutOfRange"}
    reason = steps["ParameterOutOfRange"]["FailureReason"]
    assert "Epochs -1 (0 to 10000)" in reason
    assert deployed.sagemaker.list_processing_jobs(MaxResults=100)["ProcessingJobSummaries"] == before


def test_no_upload_registers_a_model_as_approved(deployed: DeployedStack) -> None:
    with pytest.raises(StartFailedError, match=r"ModelApprovalStatus.*model_approval_statuses"):
        deployed.run(SHIPPED, ModelApprovalStatus="Approved")


def test_the_role_refuses_it_to_whoever_starts_the_pipeline_without_the_function(
    deployed: DeployedStack, first: str
) -> None:
    sagemaker = deployed.sagemaker
    listed = sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=first, MaxResults=100)
    given = {each["Name"]: each["Value"] for each in listed["PipelineParameters"] if each["Value"]}
    given |= {"ModelApprovalStatus": "Approved", "Seed": "77"}
    started = sagemaker.start_pipeline_execution(
        PipelineName=deployed.outputs["PipelineName"],
        PipelineParameters=[{"Name": name, "Value": value} for name, value in given.items()],
    )
    execution = deployed.follow(started["PipelineExecutionArn"])
    reason = deployed.steps(execution)["RegisterSpot"]["FailureReason"]
    assert "AccessDenied" in reason
    assert "sagemaker:CreateModelPackage" in reason


def test_ended_executions_and_models_are_told_to_the_topic_and_nothing_else_is(
    deployed: DeployedStack, first: str
) -> None:
    url = subscribed_queue(deployed)
    failed = deployed.run(SHIPPED, AccuracyThreshold="0.96")
    package = deployed.steps(first)["RegisterSpot"]["Metadata"]["RegisterModel"]["Arn"]
    deployed.sagemaker.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved")
    told = told_until(deployed, url, {"pipelineExecutionArn": failed}, {"ModelPackageArn": package})
    (execution,) = [each for each in told if each["detail"].get("pipelineExecutionArn") == failed]
    assert execution["detail"]["currentPipelineExecutionStatus"] == "Failed"
    assert execution["detail"]["previousPipelineExecutionStatus"] == "Executing"
    assert execution["resources"] == [execution["detail"]["pipelineArn"], failed]
    (model,) = [each["detail"] for each in told if each["detail"].get("ModelPackageArn") == package]
    assert (model["ModelPackageGroupName"], model["ModelApprovalStatus"]) == ("cv-birds", "Approved")


def test_a_stopped_execution_and_its_training_jobs_are_told(deployed: DeployedStack, first: str) -> None:
    url = subscribed_queue(deployed)
    execution = deployed.start(SHIPPED, ClassSelection="13, 19")
    while not deployed.steps(execution).get("TrainSpot", {}).get("Metadata"):
        assert deployed.describe(execution)["PipelineExecutionStatus"] == "Executing"
        time.sleep(0.02)
    deployed.sagemaker.stop_pipeline_execution(PipelineExecutionArn=execution, ClientRequestToken="t" * 32)
    deployed.follow(execution)
    told = told_until(deployed, url, {"pipelineExecutionArn": execution}, {"TrainingJobStatus": "Stopped"})
    details = [event["detail"] for event in told]
    (status,) = (
        each["currentPipelineExecutionStatus"]
        for each in details
        if each.get("pipelineExecutionArn") == execution
    )
    assert status == "Stopped"
    jobs = [each for each in details if "TrainingJobStatus" in each]
    assert {job["TrainingJobStatus"] for job in jobs} == {"Stopped"}
    assert {job["Tags"]["TrainingType"] for job in jobs} <= {"Spot", "OnDemand"}


def subscribed_queue(deployed: DeployedStack) -> str:
    """Make a queue that gets what the stack's topic publishes from now on, and return its URL."""
    aws, topic = deployed.aws, deployed.outputs["NotificationTopicArn"]
    sqs, name = aws.client("sqs"), f"told-{time.monotonic_ns()}"
    queue = f"arn:aws:sqs:{aws.region}:{aws.account}:{name}"
    from_topic = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [from_topic]})
    url: str = sqs.create_queue(QueueName=name, Attributes={"Policy": policy})["QueueUrl"]
    raw = {"RawMessageDelivery": "true"}
    aws.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue, Attributes=raw)
    return url


def told_until(deployed: DeployedStack, url: str, *wanted: dict[str, str]) -> list[dict[str, Any]]:
    """Take events out of a queue until each of `wanted` is part of the detail of one."""
    sqs = deployed.aws.client("sqs")
    told: list[dict[str, Any]] = []
    while not all(any(each.items() <= event["detail"].items() for event in told) for each in wanted):
        (message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"]
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        told.append(json.loads(message["Body"]))
    return told


def test_a_key_with_a_name_makes_a_pipeline_of_its_own(deployed: DeployedStack) -> None:
    body = json.loads(SHIPPED.read_text())
    for parameter in body["Parameters"]:
        if parameter["Name"] == "InputDataUrl":
            parameter["DefaultValue"] = deployed.data_url
    deployed.put_object("pipeline/small-birds/pipeline.json", json.dumps(body).encode())
    name = f"{deployed.outputs['PipelineName']}-small-birds"
    assert wait_for_pipeline(deployed, name)


def cache_notes(deployed: DeployedStack, execution: str) -> dict[str, dict[str, Any]]:
    """What the engine said about each step's cache."""
    events = deployed.aws.client("logs").get_log_events(
        logGroupName="/local/sagemaker/pipelines",
        logStreamName=execution.rsplit("/", 1)[-1],
        startFromHead=True,
    )["events"]
    notes = [json.loads(event["message"]) for event in events]
    return {note["step"]: note for note in notes if note["event"] == "cache"}


def wait_for_pipeline(deployed: DeployedStack, name: str) -> bool:

    for _ in range(100):
        names = [p["PipelineName"] for p in deployed.sagemaker.list_pipelines()["PipelineSummaries"]]
        if name in names:
            return True
        time.sleep(0.1)
    return False
