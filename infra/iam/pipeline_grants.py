"""What the pipeline execution role may do: start bounded jobs, use its prefixes of the bucket, register.

SageMaker assumes the role to run the steps and again inside every job, so whatever the training code
could do on AWS is here too. The condition keys are those that the service authorization reference lists
for each action.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import aws_iam

from infra.deployment import Deployment
from infra.iam.grants import Grant
from infra.iam.key_grants import bucket_key_grants
from infra.iam.network_grants import network_grants
from infra.names import CHECKPOINTS, DATA, DEFINITIONS, EXECUTIONS, VERDICTS, Names
from infra.network import JobNetwork

Conditions = Mapping[str, Mapping[str, object]]

_NETWORK = ("sagemaker:VpcSubnets", "sagemaker:VpcSecurityGroupIds")


def pipeline_grants(deployment: Deployment, *, image_repository_arn: str) -> list[Grant]:
    """Return every statement of the pipeline execution role."""
    names, network, policy = deployment.names, deployment.network, deployment.config.policy
    data_key_arn, volume_key_arn = deployment.data_key_arn, deployment.volume_key_arn
    bounds = _bounds(policy.max_runtime_seconds, network, data_key_arn, volume_key_arn)
    return [
        _train(names, _of_types(policy.training_instance_types, bounds)),
        _process(names, _of_types(policy.processing_instance_types, bounds)),
        *(network_grants(names, network) if network else []),
        *([_volume_grant(volume_key_arn)] if volume_key_arn else []),
        *_job_grants(names),
        *_registry_grants(names, policy.model_approval_statuses),
        *_data_grants(names),
        *_image_grants(image_repository_arn),
        *_monitoring_grants(names),
        # Inputs, results, checkpoints: S3 asks the key with this role. Directly it decrypts nothing.
        *bucket_key_grants(deployment),
        *([_look_up_key(data_key_arn)] if data_key_arn else []),
    ]


def _training_jobs(names: Names) -> str:
    return names.arn("sagemaker", "training-job/pipelines-*")


def _processing_jobs(names: Names) -> str:
    return names.arn("sagemaker", "processing-job/pipelines-*")


_JOB_NAMES = (
    "the pipeline service names jobs pipelines-<execution id>-<step>-<random>: no project to scope by."
)


def _train(names: Names, bounds: Conditions) -> Grant:
    return Grant(
        sid="Train",
        actions=["sagemaker:CreateTrainingJob"],
        resources=[_training_jobs(names)],
        conditions={
            **bounds,
            "Null": {
                **bounds["Null"],
                # Data comes from the bucket, and from no file system that nobody judged.
                "sagemaker:FileSystemId": "true",
                # A warm pool would go on billing after the job.
                "sagemaker:KeepAlivePeriod": "true",
            },
            # No shell into a container that runs with this role.
            "BoolIfExists": {"sagemaker:EnableRemoteDebug": "false"},
        },
        wildcard=_JOB_NAMES,
    )


def _process(names: Names, bounds: Conditions) -> Grant:
    return Grant(
        sid="Process",
        actions=["sagemaker:CreateProcessingJob"],
        resources=[_processing_jobs(names)],
        conditions=bounds,
        wildcard=_JOB_NAMES,
    )


def _bounds(
    max_runtime_seconds: int,
    network: JobNetwork | None,
    output_key_arn: str | None,
    volume_key_arn: str | None,
) -> Conditions:
    """Bound a job: isolated, encrypted, for a limited time, in the deployment's network, with its keys."""
    keys = {"sagemaker:OutputKmsKeyArn": output_key_arn, "sagemaker:VolumeKmsKeyArn": volume_key_arn}
    given = {name: arn for name, arn in keys.items() if arn}
    # A definition passes "" on for a key that the deployment has not, and a Null might take that for one.
    none = {name: "" for name, arn in keys.items() if not arn}
    among: dict[str, object] = {}
    if network:
        among["sagemaker:VpcSubnets"] = list(network.subnet_ids)
        among["sagemaker:VpcSecurityGroupIds"] = list(network.security_group_ids)
    return {
        "Bool": {
            "sagemaker:InterContainerTrafficEncryption": "true",
            "sagemaker:NetworkIsolation": "true",
        },
        "NumericLessThanEquals": {"sagemaker:MaxRuntimeInSeconds": str(max_runtime_seconds)},
        "ForAllValues:StringEquals": among,
        # Without a network of the deployment's, a job is in none.
        "Null": {} if network else dict.fromkeys(_NETWORK, "true"),
        # A job that names no key has none of ours, and where we have none it names none.
        **({"ArnEquals": given} if given else {}),
        **({"StringEqualsIfExists": none} if none else {}),
    }


def _of_types(instance_types: Sequence[str], bounds: Conditions) -> Conditions:
    among = {"sagemaker:InstanceTypes": list(instance_types), **bounds["ForAllValues:StringEquals"]}
    # ForAllValues is true of no values at all, hence the Null beside it.
    return {
        **bounds,
        "ForAllValues:StringEquals": among,
        "Null": {**bounds["Null"], **dict.fromkeys(among, "false")},
    }


def _volume_grant(volume_key_arn: str) -> Grant:
    # SageMaker lets EBS use the key for as long as the job has the volume.
    return Grant(
        sid="LendVolumeKey",
        actions=["kms:CreateGrant"],
        resources=[volume_key_arn],
        conditions={"Bool": {"kms:GrantIsForAWSResource": "true"}},
    )


def _job_grants(names: Names) -> list[Grant]:
    jobs = [_processing_jobs(names), _training_jobs(names)]
    return [
        # The pipeline service watches its jobs, and stops them when the execution is stopped.
        Grant(
            sid="FollowJobs",
            actions=[
                "sagemaker:DescribeProcessingJob",
                "sagemaker:DescribeTrainingJob",
                "sagemaker:StopProcessingJob",
                "sagemaker:StopTrainingJob",
            ],
            resources=jobs,
            wildcard=_JOB_NAMES,
        ),
        # A create request with Tags needs AddTags too; at no other time may tags change.
        Grant(
            sid="TagNewJobs",
            actions=["sagemaker:AddTags"],
            resources=jobs,
            conditions={
                "StringEquals": {"sagemaker:TaggingAction": ["CreateProcessingJob", "CreateTrainingJob"]}
            },
            wildcard=_JOB_NAMES,
        ),
        # The jobs run with the pipeline's own role; there is no other one to pass.
        Grant(
            sid="PassSelf",
            actions=["iam:PassRole"],
            resources=[names.pipeline_role_arn],
            conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        ),
    ]


def _registry_grants(names: Names, approval_statuses: Sequence[str]) -> list[Grant]:
    packages = names.arn("sagemaker", f"model-package/{names.model_package_group}/*")
    group = names.arn("sagemaker", f"model-package-group/{names.model_package_group}")
    versions = "the versions of the project's own model package group."
    return [
        # Register, but never approve: that is a person's decision unless the deployment says otherwise.
        Grant(
            sid="Register",
            actions=["sagemaker:CreateModelPackage"],
            resources=[packages, group],
            conditions={
                "StringEquals": {"sagemaker:ModelApprovalStatus": list(approval_statuses)},
                # A stage, such as Production, says of a model what the approval says, in other words. No
                # life cycle is without one.
                "Null": {"sagemaker:ModelLifeCycle:Stage": "true"},
            },
            wildcard=versions,
        ),
        # The register step ends when the model package is complete.
        Grant(
            sid="FollowRegistration",
            actions=["sagemaker:DescribeModelPackage"],
            resources=[packages],
            wildcard=versions,
        ),
    ]


def _data_grants(names: Names) -> list[Grant]:
    def objects(*prefixes: str) -> list[str]:
        return [f"{names.bucket_arn}/{prefix}*" for prefix in prefixes]

    return [
        # Inputs, what earlier steps wrote, property files and checkpoints.
        Grant(
            sid="ReadData",
            actions=["s3:GetObject"],
            resources=objects(DATA, EXECUTIONS, CHECKPOINTS),
            wildcard="a prefix for each purpose; the keys in it are the data's own.",
        ),
        # A channel is a prefix, so SageMaker lists it.
        Grant(
            sid="ListData",
            actions=["s3:ListBucket"],
            resources=[names.bucket_arn],
            conditions={"StringLike": {"s3:prefix": [f"{DATA}*", f"{EXECUTIONS}*", f"{CHECKPOINTS}*"]}},
        ),
        # Outputs and checkpoints, in parts when they are large. Never the input data.
        Grant(
            sid="WriteResults",
            actions=["s3:AbortMultipartUpload", "s3:PutObject"],
            resources=objects(EXECUTIONS, CHECKPOINTS),
            wildcard="a prefix for each purpose; SageMaker and the training code name the keys in it.",
        ),
        # A job that could write a definition could start anything with this project's roles.
        Grant(
            sid="NeverTheTrigger",
            effect=aws_iam.Effect.DENY,
            actions=["s3:*"],
            resources=objects(DEFINITIONS, VERDICTS),
        ),
    ]


def _look_up_key(data_key_arn: str) -> Grant:
    """Let SageMaker look the key up that a job names for its results."""
    return Grant(sid="LookUpDataKey", actions=["kms:DescribeKey"], resources=[data_key_arn])


def _image_grants(repository_arn: str) -> list[Grant]:
    return [
        # Pull the training image, and only from its repository.
        Grant(
            sid="PullImage",
            actions=["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            resources=[repository_arn],
        ),
        Grant(
            sid="LogInToEcr",
            actions=["ecr:GetAuthorizationToken"],
            resources=["*"],
            wildcard="the action supports no resource; what may be pulled is PullImage's business.",
        ),
    ]


def _monitoring_grants(names: Names) -> list[Grant]:
    return [
        # SageMaker writes every job's log to these two groups, and makes them when they are missing.
        Grant(
            sid="JobLogs",
            actions=[
                "logs:CreateLogGroup",
                "logs:CreateLogStream",
                "logs:DescribeLogStreams",
                "logs:PutLogEvents",
            ],
            resources=[
                names.arn("logs", "log-group:/aws/sagemaker/ProcessingJobs*"),
                names.arn("logs", "log-group:/aws/sagemaker/TrainingJobs*"),
            ],
            wildcard="the group and its streams, which SageMaker names after the jobs.",
        ),
        Grant(
            sid="JobMetrics",
            actions=["cloudwatch:PutMetricData"],
            resources=["*"],
            conditions={"StringLike": {"cloudwatch:namespace": "/aws/sagemaker/*"}},
            wildcard="the action supports no resource; the namespace is its scope.",
        ),
    ]
