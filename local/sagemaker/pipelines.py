"""Pipelines and their versions: CreatePipeline, UpdatePipeline, ListPipelineVersions and their like."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from local.engine.definition import DefinitionError, parse
from local.engine.jobs.records import now
from local.sagemaker.errors import ConflictError, ResourceNotFoundError, ValidationError
from local.sagemaker.listing import between, in_order, page
from local.sagemaker.pipeline import Pipeline, PipelineVersion
from local.sagemaker.requests import Call
from local.sagemaker.runtime import ServiceRuntime
from local.sagemaker.tokens import Tokens

_LONGEST_MESSAGE = 8192
"""Characters. The first fault may be longer, so that at least one is told."""


class Pipelines:
    """All pipelines of one account and region."""

    def __init__(self, runtime: ServiceRuntime) -> None:
        self.runtime = runtime
        self.lock = threading.RLock()
        self.by_name: dict[str, Pipeline] = {}
        self._tokens = Tokens()
        self._changing: set[str] = set()

    @contextmanager
    def changing(self, name_or_arn: str) -> Iterator[None]:
        """Change or start a pipeline; somebody who does so at the same time gets ConflictError."""
        name = name_or_arn.rpartition("/")[2].lower()
        with self.lock:
            if name in self._changing:
                raise ConflictError(f"Pipeline '{name}' is being changed or started by another request.")
            self._changing.add(name)
        try:
            yield
        finally:
            with self.lock:
                self._changing.discard(name)

    def find(self, name_or_arn: str) -> Pipeline:
        """Return a pipeline by name or ARN."""
        wanted = name_or_arn.rpartition("/")[2].lower()
        for pipeline in list(self.by_name.values()):
            if pipeline.name.lower() == wanted:
                return pipeline
        raise ResourceNotFoundError(f"Pipeline '{self.runtime.arn(f'pipeline/{wanted}')}' does not exist.")

    def create(self, call: Call) -> dict[str, Any]:
        """Answer CreatePipeline."""
        call.refuse("PipelineVersionAliases")
        with self.lock:
            if answer := self._tokens.answer(call):
                return answer
        with self.changing(call["PipelineName"]):
            return self._create(call)

    def _create(self, call: Call) -> dict[str, Any]:
        text = self._definition(call)
        if text is None:
            raise ValidationError("Either PipelineDefinition or PipelineDefinitionS3Location must be given.")
        name = call["PipelineName"]
        pipeline = Pipeline(
            name=name,
            arn=self.runtime.arn(f"pipeline/{name}"),
            role_arn=call["RoleArn"],
            versions=[PipelineVersion(1, text)],
            display_name=call.get("PipelineDisplayName", name),
            description=call.get("PipelineDescription"),
            parallelism=call.get("ParallelismConfiguration"),
            tags=list(call.get("Tags", [])),
        )
        self.runtime.check_role(pipeline.role_arn, pipeline.arn)
        return self._add(pipeline, call)

    def _add(self, pipeline: Pipeline, call: Call) -> dict[str, Any]:
        with self.lock:
            if answer := self._tokens.answer(call):
                return answer  # the same request, answered since we looked
            if any(name.lower() == pipeline.name.lower() for name in self.by_name):
                raise ValidationError(
                    "Pipeline names must be unique within an AWS account and region. "
                    f"Pipeline with name ({pipeline.name}) already exists."
                )
            self.by_name[pipeline.name] = pipeline
            return self._tokens.keep(call, {"PipelineArn": pipeline.arn})

    def update(self, call: Call) -> dict[str, Any]:
        """Answer UpdatePipeline; a definition that differs becomes a new version."""
        call.refuse("PipelineVersionAliases")
        with self.changing(call["PipelineName"]):
            return self._update(call)

    def _update(self, call: Call) -> dict[str, Any]:
        pipeline = self.find(call["PipelineName"])
        text = self._definition(call)
        if role_arn := call.get("RoleArn"):
            self.runtime.check_role(role_arn, pipeline.arn)
        with self.lock:
            pipeline.role_arn = call.get("RoleArn", pipeline.role_arn)
            pipeline.display_name = call.get("PipelineDisplayName", pipeline.display_name)
            pipeline.description = call.get("PipelineDescription", pipeline.description)
            pipeline.parallelism = call.get("ParallelismConfiguration", pipeline.parallelism)
            if text is not None and text != pipeline.versions[-1].definition:
                pipeline.versions.append(PipelineVersion(len(pipeline.versions) + 1, text))
            pipeline.last_modified_time = now()
            return {"PipelineArn": pipeline.arn, "PipelineVersionId": pipeline.versions[-1].number}

    def update_version(self, call: Call) -> dict[str, Any]:
        """Answer UpdatePipelineVersion."""
        call.refuse("PipelineVersionAliasOperations")
        pipeline = self.find(call["PipelineArn"])
        version = pipeline.version(call["PipelineVersionId"])
        version.display_name = call.get("PipelineVersionDisplayName", version.display_name)
        version.description = call.get("PipelineVersionDescription", version.description)
        return {"PipelineArn": pipeline.arn, "PipelineVersionId": version.number}

    def delete(self, call: Call) -> dict[str, Any]:
        """Answer DeletePipeline; its executions go with it."""
        pipeline = self.find(call["PipelineName"])
        with self.changing(pipeline.name), self.lock:
            running = [e.arn for e in pipeline.executions.values() if e.running]
            if running:
                raise ConflictError(
                    f"Pipeline '{pipeline.arn}' has running executions; stop them first: {', '.join(running)}"
                )
            self.by_name.pop(pipeline.name, None)
        return {"PipelineArn": pipeline.arn}

    def describe(self, call: Call) -> dict[str, Any]:
        """Answer DescribePipeline."""
        call.refuse("PipelineVersionAlias")
        return self.find(call["PipelineName"]).describe(call.get("PipelineVersionId"))

    def list(self, call: Call) -> dict[str, Any]:
        """Answer ListPipelines."""
        prefix = call.get("PipelineNamePrefix", "").lower()
        found = [
            p
            for p in list(self.by_name.values())
            if p.name.lower().startswith(prefix)
            and between(call, p.creation_time, "CreatedAfter", "CreatedBefore")
        ]
        by_name = call.get("SortBy") == "Name"
        ordered = in_order(call, found, lambda p: p.name if by_name else p.creation_time)
        return page(call, [p.summary() for p in ordered], "PipelineSummaries")

    def list_versions(self, call: Call) -> dict[str, Any]:
        """Answer ListPipelineVersions."""
        pipeline = self.find(call["PipelineName"])
        found = [
            v
            for v in list(pipeline.versions)
            if between(call, v.creation_time, "CreatedAfter", "CreatedBefore")
        ]
        summaries = [
            {
                "PipelineArn": pipeline.arn,
                "PipelineVersionId": version.number,
                "CreationTime": version.creation_time,
                "PipelineVersionDescription": version.description,
                "PipelineVersionDisplayName": version.display_name,
                "LastExecutionPipelineExecutionArn": version.last_execution_arn,
            }
            for version in in_order(call, found, lambda v: v.number)
        ]
        return page(call, summaries, "PipelineVersionSummaries")

    def _definition(self, call: Call) -> str | None:
        """Return the checked text of the definition that the request holds or names in S3, if any."""
        text, location = call.get("PipelineDefinition"), call.get("PipelineDefinitionS3Location")
        if text is not None and location is not None:
            raise ValidationError("Give PipelineDefinition or PipelineDefinitionS3Location, not both.")
        if location is not None:
            text = self._read(location, call)
        if text is None:
            return None
        try:
            parse(text)
        except DefinitionError as error:
            raise ValidationError(f"Unable to parse pipeline definition. {_said(error.errors)}") from error
        return str(text)

    def _read(self, location: dict[str, str], call: Call) -> str:
        """Return a definition from S3 with the rights of whoever asks."""
        host = self.runtime.host
        s3 = host.client("s3", host.role_of(call.access_key))
        version = {"VersionId": location["VersionId"]} if location.get("VersionId") else {}
        try:
            found = s3.get_object(Bucket=location["Bucket"], Key=location["ObjectKey"], **version)
            return str(found["Body"].read().decode())
        except (ClientError, UnicodeDecodeError) as error:
            where = f"s3://{location['Bucket']}/{location['ObjectKey']}"
            raise ValidationError(f"Unable to read the pipeline definition from {where}: {error}") from error


def _said(errors: list[str]) -> str:
    """Join errors to a message of bounded length, with how many it leaves out."""
    shown: list[str] = []
    for error in errors:
        if shown and sum(map(len, shown)) + len(error) > _LONGEST_MESSAGE:
            return "; ".join([*shown, f"and {len(errors) - len(shown)} more"])
        shown.append(error)
    return "; ".join(shown)
