"""The physical names of the deployment, all derived from its name, and the prefixes of its bucket.

Literal names let every policy name exactly what it allows, and break the circle bucket -> function ->
role -> bucket. The account, region and partition are CloudFormation's to fill in, and so is the id of a
project of SageMaker Studio: hand every name to `filled`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from aws_cdk import Fn

DEFINITIONS = "pipeline/"
DEFINITION_SUFFIX = "pipeline.json"
PARAMETERS_SUFFIX = "parameters.json"
VERDICTS = "verdicts/"
DATA = "data/"
EXECUTIONS = "executions/"
CHECKPOINTS = "checkpoints/"


def filled(text: str) -> str:
    """Let CloudFormation fill in `${AWS::Region}` and its like; leave literal text and the CDK's tokens."""
    return Fn.sub(text) if re.search(r"\$\{[\w:]+\}", text) else text


def filled_each(texts: Sequence[str]) -> str | list[str]:
    """Fill every text in; one alone is no list, as policies write it."""
    given = [filled(text) for text in texts]
    return given[0] if len(given) == 1 else given


@dataclasses.dataclass(frozen=True)
class Names:
    """Names and ARNs of one deployment's resources; `project` is its name, the environment included."""

    project: str

    @property
    def stack(self) -> str:
        """Return the name of the CloudFormation stack."""
        return self.project

    @property
    def bucket(self) -> str:
        """Return the one bucket's name, unique in the partition."""
        return f"{self.project}-${{AWS::AccountId}}-${{AWS::Region}}"

    @property
    def bucket_arn(self) -> str:
        """Return the bucket's ARN."""
        return f"arn:${{AWS::Partition}}:s3:::{self.bucket}"

    @property
    def access_log_bucket(self) -> str:
        """Return the name of the bucket that receives the access logs; no project's own bucket ends so."""
        return f"{self.bucket}-logs"

    @property
    def function(self) -> str:
        """Return the name of the Lambda function that starts executions."""
        return f"{self.project}-start-execution"

    @property
    def function_log_group(self) -> str:
        """Return the name of that function's log group."""
        return f"/aws/lambda/{self.function}"

    @property
    def failure_queue(self) -> str:
        """Return the name of the queue that receives the uploads the function could not start."""
        return f"{self.project}-failures"

    @property
    def key_alias(self) -> str:
        """Return the alias of the key that the stack makes."""
        return f"alias/{self.project}"

    @property
    def model_package_group(self) -> str:
        """Return the name of the model package group."""
        return self.project

    @property
    def pipeline(self) -> str:
        """Return the name of the SageMaker pipeline that `pipeline/pipeline.json` defines."""
        return self.project

    @property
    def function_role(self) -> str:
        """Return the function's role name; IAM is global, so it carries the region."""
        return f"{self.project}-start-execution-${{AWS::Region}}"

    @property
    def pipeline_role(self) -> str:
        """Return the pipeline execution role's name; IAM is global, so it carries the region."""
        return f"{self.project}-pipeline-${{AWS::Region}}"

    @property
    def uploader_role(self) -> str:
        """Return the name of the role that people upload with."""
        return f"{self.project}-uploader-${{AWS::Region}}"

    @property
    def break_glass_role(self) -> str:
        """Return the name of the role that deletes versions of definitions and verdicts."""
        return f"{self.project}-break-glass-${{AWS::Region}}"

    @property
    def function_role_arn(self) -> str:
        """Return the ARN of the function's role, for the policies that name it."""
        return self._role_arn(self.function_role)

    @property
    def pipeline_role_arn(self) -> str:
        """Return the pipeline execution role's ARN, for the role's own policy and the function's."""
        return self._role_arn(self.pipeline_role)

    @property
    def uploader_role_arn(self) -> str:
        """Return the uploader role's ARN, for the bucket's policy."""
        return self._role_arn(self.uploader_role)

    @property
    def break_glass_role_arn(self) -> str:
        """Return the break-glass role's ARN, for the bucket's policy."""
        return self._role_arn(self.break_glass_role)

    @property
    def pipeline_arns(self) -> list[str]:
        """Return the ARNs of every pipeline an upload may define: `<project>` and `<project>-<name>`."""
        return [self.arn("sagemaker", f"pipeline/{self.project}{rest}") for rest in ("", "-*")]

    @property
    def execution_arn(self) -> str:
        """Return the ARN of all executions of `<project>`; `pipeline_arns` covers the others'."""
        return self.arn("sagemaker", f"pipeline/{self.project}/execution/*")

    @property
    def reconcile_rule(self) -> str:
        """Return the name of the EventBridge rule that looks for lost uploads."""
        return f"{self.project}-reconcile"

    @property
    def execution_rule(self) -> str:
        """Return the name of the rule that tells of executions that ended."""
        return f"{self.project}-executions"

    @property
    def training_job_rule(self) -> str:
        """Return the name of the rule that tells of training jobs that failed or were stopped."""
        return f"{self.project}-training-jobs"

    @property
    def model_package_rule(self) -> str:
        """Return the name of the rule that tells of models and their approvals."""
        return f"{self.project}-model-packages"

    @property
    def rules(self) -> dict[str, str]:
        """Return the names of all EventBridge rules, each under a word for it."""
        return {
            "Reconcile": self.reconcile_rule,
            "Executions": self.execution_rule,
            "TrainingJobs": self.training_job_rule,
            "ModelPackages": self.model_package_rule,
        }

    @property
    def notification_topic(self) -> str:
        """Return the name of the topic that people subscribe to."""
        return f"{self.project}-notifications"

    @property
    def image_repository(self) -> str:
        """Return the name of the repository of the images that the stack builds."""
        return f"{self.project}-training"

    @property
    def image_build(self) -> str:
        """Return the name of the CodeBuild project that builds the image."""
        return f"{self.project}-image"

    @property
    def image_build_log_group(self) -> str:
        """Return the name of the log group of the builds."""
        return f"/aws/codebuild/{self.image_build}"

    @property
    def image_build_role(self) -> str:
        """Return the name of the builds' role; IAM is global, so it carries the region."""
        return f"{self.project}-image-build-${{AWS::Region}}"

    @property
    def image_function(self) -> str:
        """Return the name of the function that asks for a build and tells CloudFormation of its end."""
        return f"{self.project}-image"

    @property
    def image_function_log_group(self) -> str:
        """Return the name of that function's log group."""
        return f"/aws/lambda/{self.image_function}"

    @property
    def image_function_role(self) -> str:
        """Return the name of that function's role; IAM is global, so it carries the region."""
        return f"{self.project}-image-${{AWS::Region}}"

    @property
    def image_rule(self) -> str:
        """Return the name of the rule that tells of the end of a build."""
        return f"{self.project}-image"

    @property
    def alarm_arns(self) -> str:
        """Return the ARN of every alarm of the project."""
        return self.arn("cloudwatch", f"alarm:{self.project}-*")

    @property
    def dashboard(self) -> str:
        """Return the name of the dashboard."""
        return self.project

    def _role_arn(self, name: str) -> str:
        return f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/{name}"

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of `resource` in this account and region."""
        return f"arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{resource}"


STUDIO_PREFIX = "studio"
"""Not sagemaker: AWS's own policies open every bucket and function of such a name to all users of Studio."""
STUDIO_PROJECTS = Names(f"{STUDIO_PREFIX}-p-*")
"""The names of all projects of SageMaker Studio, for policies: SageMaker's ids begin with p-."""
