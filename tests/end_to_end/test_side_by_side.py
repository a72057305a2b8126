"""Several deployments in one account: each upload runs its own pipeline with its own roles, and no other."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from local.aws import LocalAWS
from local.deploy import deploy
from local.engine.jobs.session import JobSettings
from local.run import TEMPLATE
from tests.support.local_aws.deployed import DeployedStack
from tests.support.local_aws.toy_pipeline import IMAGE, SHIPPED

DEPLOYMENTS: dict[str, dict[str, str]] = {
    "cv-birds": {},  # the committed template
    "staging-cv-birds": {"project": "cv-birds", "environment": "staging"},
    "cv-fish": {"project": "cv-fish"},
}

READABLE = {"pipeline": "data/toy/images.txt", "start-execution": "pipeline/toy/parameters.json"}
"""By role, what it may read in the bucket of its own deployment."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def deployments(
    synthesis: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, DeployedStack]]:
    """All of them on one local AWS, by the name of the stack."""
    folder = tmp_path_factory.mktemp("side by side")
    with LocalAWS(work_dir=folder / "aws", jobs=JobSettings(source=str(IMAGE))) as aws:
        yield {name: deploy_with_data(aws, synthesis, name, folder) for name in DEPLOYMENTS}


def deploy_with_data(aws: LocalAWS, synthesis: ModuleType, name: str, folder: Path) -> DeployedStack:
    path = TEMPLATE
    if DEPLOYMENTS[name]:
        path = folder / f"{name}.json"
        path.write_text(synthesis.render(synthesis.synthesise(DEPLOYMENTS[name])))
    deployed = DeployedStack(aws, deploy(aws, path, name))
    deployed.data_url = deployed.put_object(READABLE["pipeline"], b"1 a/a.jpg\n").removesuffix("images.txt")
    deployed.put_object(READABLE["start-execution"], b"{}")
    return deployed


def test_each_upload_runs_the_pipeline_of_its_own_deployment_alone(
    deployments: dict[str, DeployedStack],
) -> None:
    executions = {name: deployed.run(SHIPPED) for name, deployed in deployments.items()}
    for name, deployed in deployments.items():
        described = deployed.describe(executions[name])
        assert described["PipelineExecutionStatus"] == "Succeeded"
        assert described["PipelineArn"].endswith(f":pipeline/{name}")
        listed = deployed.sagemaker.list_pipeline_executions(PipelineName=name)["PipelineExecutionSummaries"]
        assert [each["PipelineExecutionArn"] for each in listed] == [executions[name]]
        job = deployed.training_job(executions[name], "TrainSpot")
        assert job["RoleArn"] == deployed.outputs["PipelineExecutionRoleArn"]
        bucket = deployed.outputs["BucketName"]
        assert bucket.startswith(f"{name}-")
        assert job["OutputDataConfig"]["S3OutputPath"].startswith(f"s3://{bucket}/")
        packages = deployed.sagemaker.list_model_packages(ModelPackageGroupName=name)[
            "ModelPackageSummaryList"
        ]
        assert len(packages) == 2


def test_no_deployment_s_roles_reach_into_another_s_bucket(deployments: dict[str, DeployedStack]) -> None:
    for deployed, (kind, key) in itertools.product(deployments.values(), READABLE.items()):
        role = deployed.outputs["PipelineExecutionRoleArn"].replace("-pipeline-", f"-{kind}-")
        client = deployed.aws.client("s3", role)
        assert client.get_object(Bucket=deployed.outputs["BucketName"], Key=key)["Body"].read()
        for other in deployments.values():
            if other is not deployed:
                with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
                    client.get_object(Bucket=other.outputs["BucketName"], Key=key)


def test_the_pipelines_that_a_project_may_define_never_belong_to_one_of_its_environments(
    deployments: dict[str, DeployedStack],
) -> None:
    deployed, staging = deployments["cv-birds"], deployments["staging-cv-birds"]
    role = deployed.outputs["PipelineExecutionRoleArn"].replace("-pipeline-", "-start-execution-")
    sagemaker = deployed.aws.client("sagemaker", role)
    with pytest.raises(sagemaker.exceptions.ClientError, match="AccessDenied"):
        sagemaker.update_pipeline(
            PipelineName=staging.outputs["PipelineName"],
            PipelineDefinition=json.dumps(json.loads(SHIPPED.read_text())),
        )
