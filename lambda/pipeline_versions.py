"""Keep a definition in SageMaker: create or update the pipeline, and know which version holds it."""

from typing import Any

from botocore.exceptions import ClientError


def store(sagemaker: Any, name: str, text: str, role_arn: str, token: str) -> int:
    """Create or update the pipeline and give the id of the version that holds this definition."""
    content = {"PipelineName": name, "PipelineDefinition": text, "RoleArn": role_arn}
    if not exists(sagemaker, name):
        try:
            sagemaker.create_pipeline(**content, ClientRequestToken=token)
        except ClientError:
            # The name may have been taken since we looked. SageMaker says that with a general
            # ValidationException, so look again instead of reading its text.
            if not exists(sagemaker, name):
                raise
        else:
            return first_version(sagemaker, name)
    # An unchanged definition makes no new version: the answer names the one that holds it.
    return int(sagemaker.update_pipeline(**content)["PipelineVersionId"])


def exists(sagemaker: Any, name: str) -> bool:
    """Tell whether the pipeline is there."""
    try:
        sagemaker.describe_pipeline(PipelineName=name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFound":
            raise
        return False
    return True


def first_version(sagemaker: Any, name: str) -> int:
    """Find the version that CreatePipeline made, since its answer does not name it."""
    page = sagemaker.list_pipeline_versions(PipelineName=name, SortOrder="Ascending", MaxResults=1)
    return int(page["PipelineVersionSummaries"][0]["PipelineVersionId"])
