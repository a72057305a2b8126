"""The physical names of the deployment, all derived from the project, and the prefixes of its bucket.

Literal names let every policy name exactly what it allows, and break the circle bucket -> function ->
role -> bucket. The account, region and partition are CloudFormation's to fill in: where a name has
`${AWS::...}` in it, hand it to `Fn.sub`.
"""

from __future__ import annotations

import dataclasses

DEFINITIONS = "pipeline/"
DEFINITION_SUFFIX = "pipeline.json"
PARAMETERS_SUFFIX = "parameters.json"
VERDICTS = "verdicts/"
DATA = "data/"
EXECUTIONS = "executions/"
CHECKPOINTS = "checkpoints/"


@dataclasses.dataclass(frozen=True)
class Names:
    """Names and ARNs of one project's resources."""

    project: str

    @property
    def bucket(self) -> str:
        """Give the one bucket's name, unique in the partition."""
        return f"{self.project}-${{AWS::AccountId}}-${{AWS::Region}}"

    @property
    def bucket_arn(self) -> str:
        """Give the bucket's ARN."""
        return f"arn:${{AWS::Partition}}:s3:::{self.bucket}"

    @property
    def function(self) -> str:
        """Give the name of the Lambda function that starts executions."""
        return f"{self.project}-start-execution"

    @property
    def function_log_group(self) -> str:
        """Give the name of that function's log group."""
        return f"/aws/lambda/{self.function}"

    @property
    def failure_queue(self) -> str:
        """Give the name of the queue that receives the uploads the function could not start."""
        return f"{self.project}-failures"

    @property
    def model_package_group(self) -> str:
        """Give the name of the model package group."""
        return self.project

    @property
    def pipeline(self) -> str:
        """Give the name of the SageMaker pipeline that `pipeline/pipeline.json` defines."""
        return self.project

    @property
    def function_role(self) -> str:
        """Give the function's role name; IAM is global, so it carries the region."""
        return f"{self.project}-start-execution-${{AWS::Region}}"

    @property
    def pipeline_role(self) -> str:
        """Give the pipeline execution role's name; IAM is global, so it carries the region."""
        return f"{self.project}-pipeline-${{AWS::Region}}"

    @property
    def pipeline_role_arn(self) -> str:
        """Give the pipeline execution role's ARN, for the role's own policy and the function's."""
        return f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/{self.pipeline_role}"

    @property
    def pipeline_arns(self) -> list[str]:
        """Give the ARNs of every pipeline an upload may define: `<project>` and `<project>-<name>`."""
        return [self.arn("sagemaker", f"pipeline/{self.project}{rest}") for rest in ("", "-*")]

    @property
    def execution_arn(self) -> str:
        """Give the ARN of every execution of the pipeline `<project>`; `pipeline_arns` covers the others'."""
        return self.arn("sagemaker", f"pipeline/{self.project}/execution/*")

    @property
    def reconcile_rule(self) -> str:
        """Give the name of the EventBridge rule that looks for lost uploads."""
        return f"{self.project}-reconcile"

    def arn(self, service: str, resource: str) -> str:
        """Give the ARN of `resource` in this account and region."""
        return f"arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{resource}"
