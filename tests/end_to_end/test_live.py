"""The whole way on the AWS that your environment names: deploy first, then `pytest -m live`.

What has to be so for it is named in docs/live-checks.md; `python -m tools.live_checks` pays nothing.

Costs what an execution costs. CV_STACK names the stack (default: cv-birds), CV_DATA_URL the data (default:
data/ of the stack's bucket), CV_DEFINITION the definition (default: the shipped one; a deployment with a VPC
needs one that `python -m pipeline_definition --subnets N` wrote). Runs as well against `python -m local up`,
whose env file sets the environment.
"""

import os
from pathlib import Path

import boto3
import pytest
from rich.console import Console

from local.run import DEFINITION
from ops.aws import roles, stack
from ops.output import report
from ops.output.watch import follow
from ops.uploads import upload
from ops.uploads.start import wait_for_start

pytestmark = pytest.mark.live


def test_an_upload_registers_two_models_that_are_equal(tmp_path_factory: pytest.TempPathFactory) -> None:
    session = boto3.session.Session()
    deployed = stack.deployment(session.client("cloudformation"), os.environ.get("CV_STACK", "cv-birds"))
    outputs = deployed.outputs
    s3 = roles.uploader(session, deployed).client("s3")
    parameters = {"InputDataUrl": os.environ["CV_DATA_URL"]} if "CV_DATA_URL" in os.environ else {}
    definition = Path(os.environ.get("CV_DEFINITION", DEFINITION))
    uploaded = upload.upload_definition(s3, outputs["BucketName"], definition, parameters)
    sagemaker = session.client("sagemaker")
    execution = wait_for_start(
        s3,
        session.client("sqs"),
        uploaded,
        outputs["FailureQueueUrl"],
        600.0,
    )
    assert follow(sagemaker, session.client("logs"), execution, Console()) == "Succeeded"
    summary = report.write_report(session, execution, tmp_path_factory.mktemp("live") / "report")
    assert len(set(summary.model_packages)) == 2
    spot, on_demand = summary.trainings["Spot"], summary.trainings["OnDemand"]
    assert spot.model_sha256 == on_demand.model_sha256
    assert (spot.billable_seconds or 0) <= (spot.training_seconds or 0)
    listed = sagemaker.get_paginator("list_pipeline_execution_steps").paginate(PipelineExecutionArn=execution)
    jobs = {each["StepName"]: each["Metadata"] for page in listed for each in page["PipelineExecutionSteps"]}
    for step, training_type in (("TrainSpot", "Spot"), ("TrainOnDemand", "OnDemand")):
        arn = jobs[step]["TrainingJob"]["Arn"]
        # What the role's statements and its bill are scoped by.
        assert ":training-job/pipelines-" in arn
        tags = {each["Key"]: each["Value"] for each in sagemaker.list_tags(ResourceArn=arn)["Tags"]}
        assert tags["TrainingType"] == training_type
        assert tags["project"] == outputs["ModelPackageGroupName"]
        assert tags["execution"] == execution.rpartition("/")[2]


def test_the_bucket_notifies_the_function_and_the_function_its_queue() -> None:
    """Costs nothing: reads what CloudFormation made of the deployment."""
    session = boto3.session.Session()
    name = os.environ.get("CV_STACK", "cv-birds")
    cloudformation = session.client("cloudformation")
    outputs = stack.outputs(cloudformation, name)
    function = stack.function_name(cloudformation, name)
    s3 = session.client("s3")
    notified = s3.get_bucket_notification_configuration(Bucket=outputs["BucketName"])
    (configuration,) = notified["LambdaFunctionConfigurations"]
    assert configuration["LambdaFunctionArn"].endswith(f":function:{function}")
    assert configuration["Events"] == ["s3:ObjectCreated:*"]
    assert s3.get_bucket_versioning(Bucket=outputs["BucketName"])["Status"] == "Enabled"
    asynchronous = session.client("lambda").get_function_event_invoke_config(
        FunctionName=function, Qualifier="$LATEST"
    )
    queue = outputs["FailureQueueUrl"].rpartition("/")[2]
    assert asynchronous["DestinationConfig"]["OnFailure"]["Destination"].endswith(f":{queue}")
    assert asynchronous["MaximumRetryAttempts"] == 2
