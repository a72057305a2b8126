"""The shipped pipeline in subnets of the account with encrypted volumes, on local AWS."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from local.aws import LocalAWS
from local.deploy import deploy
from local.engine.jobs.session import JobSettings
from local.run import STACK
from ops.errors import StartFailedError
from tests.support.definitions.in_vpc import COMMAND, in_vpc
from tests.support.iam.role_policies import without
from tests.support.local_aws.deployed import DeployedStack
from tests.support.local_aws.toy_pipeline import IMAGE, SHIPPED

SEEDS = itertools.count(100)
NEEDED = {
    "JoinNetwork": "ec2:CreateNetworkInterface",
    "LendInterfaces": "ec2:(Create|Delete)NetworkInterface(Permission)?",
    "SeeNetwork": r"ec2:Describe\w+",
    "LendVolumeKey": "kms:CreateGrant",
}


@pytest.fixture(scope="module")
def running(synthesis: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployedStack]:
    """Local AWS with a stack whose jobs run in two subnets of a VPC that somebody made before."""
    jobs = JobSettings(interruptions=0, source=str(IMAGE))
    with LocalAWS(work_dir=tmp_path_factory.mktemp("aws"), jobs=jobs) as aws:
        ec2 = aws.client("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
        subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.1.{each}.0/24")["Subnet"] for each in (0, 1)]
        group = ec2.create_security_group(GroupName="jobs", Description="Jobs of birds", VpcId=vpc)
        context = {
            "subnet_ids": [each["SubnetId"] for each in subnets],
            "security_group_ids": [group["GroupId"]],
            "encryption_key": "own",
            "encrypt_volumes": True,
        }
        template = tmp_path_factory.mktemp("template") / "template.json"
        template.write_text(synthesis.render(synthesis.synthesise(context)))
        started = DeployedStack(aws, deploy(aws, template, STACK))
        url = started.put_object("data/toy/images.txt", b"1 a/a.jpg\n")
        started.data_url = url.removesuffix("images.txt")
        yield started


@pytest.fixture(scope="module")
def definition(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("definition") / "pipeline.json"
    path.write_text(json.dumps(in_vpc()))
    return path


def failure_of(running: DeployedStack, definition: Path) -> str:
    execution = running.run(definition, Seed=str(next(SEEDS)))
    reasons = [step.get("FailureReason", "") for step in running.steps(execution).values()]
    return "\n".join(filter(None, reasons))


@pytest.mark.slow
def test_every_job_runs_in_the_subnets_with_the_keys(running: DeployedStack, definition: Path) -> None:
    execution = running.run(definition)
    assert running.describe(execution)["PipelineExecutionStatus"] == "Succeeded"
    parameters = json.loads(variables(running)["PIPELINE_PARAMETERS"])
    network = {
        "Subnets": [parameters["SubnetId1"], parameters["SubnetId2"]],
        "SecurityGroupIds": [parameters["SecurityGroupId1"]],
    }
    key = parameters["OutputKmsKeyId"]
    assert parameters["VolumeKmsKeyId"] == key
    for step in ("TrainSpot", "TrainOnDemand"):
        job = running.training_job(execution, step)
        assert job["VpcConfig"] == network
        assert job["OutputDataConfig"]["KmsKeyId"] == key
        assert job["ResourceConfig"]["VolumeKmsKeyId"] == key
    for step in ("Preprocess", "EvaluateSpot", "EvaluateOnDemand"):
        arn = running.steps(execution)[step]["Metadata"]["ProcessingJob"]["Arn"]
        done = running.sagemaker.describe_processing_job(ProcessingJobName=arn.rpartition("/")[2])
        assert done["NetworkConfig"]["VpcConfig"] == network
        assert done["ProcessingOutputConfig"]["KmsKeyId"] == key
        assert done["ProcessingResources"]["ClusterConfig"]["VolumeKmsKeyId"] == key
    written = objects(running, f"executions/{execution.rpartition('/')[2]}/")
    assert written
    assert {(head["ServerSideEncryption"], head["SSEKMSKeyId"]) for head in written} == {("aws:kms", key)}


@pytest.mark.slow
def test_a_definition_for_no_vpc_is_rejected_with_the_command_that_writes_one(running: DeployedStack) -> None:
    with pytest.raises(StartFailedError) as refused:
        running.start(SHIPPED)
    assert COMMAND in refused.value.message
    assert "[rule vpc]" in refused.value.message


@pytest.mark.slow
@pytest.mark.parametrize("sid", NEEDED)
def test_the_run_fails_without_the_statement(running: DeployedStack, definition: Path, sid: str) -> None:
    with without(running.aws.client("iam"), f"{STACK}-pipeline-us-east-1", sid):
        failure = failure_of(running, definition)
    assert re.search(rf"AccessDenied: .* is not authorized to perform: {NEEDED[sid]} on resource: ", failure)


def variables(running: DeployedStack) -> dict[str, str]:
    """Return the function's environment."""
    name = f"{STACK}-start-execution"
    configuration = running.aws.client("lambda").get_function_configuration(FunctionName=name)
    found: dict[str, str] = configuration["Environment"]["Variables"]
    return found


def objects(running: DeployedStack, prefix: str) -> list[dict[str, Any]]:
    """Return the heads of all objects below a prefix."""
    s3, bucket = running.aws.client("s3"), running.outputs["BucketName"]
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
    return [s3.head_object(Bucket=bucket, Key=each["Key"]) for each in listed]
