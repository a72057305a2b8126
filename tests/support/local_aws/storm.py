"""Uploads to local AWS while faults happen, and what must hold once they cease.

The promises are those of `delivery/promises.py`: what boto3 tells of local AWS is put into the shape that it
knows from the worlds of `tests/support/delivery/world.py`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from local.aws import LocalAWS
from local.deploy import SOURCE, deploy
from local.run import STACK, TEMPLATE
from ops.uploads import redrive
from tests.support.delivery import storm_uploads
from tests.support.delivery.promises import Watch, broken_promises
from tests.support.delivery.storm_uploads import BODIES, UploadedDefinition
from tests.support.local_aws.clients import uploader
from tests.support.services.fake_s3 import FakeS3
from tests.support.services.fake_sagemaker import FakeExecution, FakePipeline, FakeSageMaker

SCHEDULE_SPEED = 1800
"""Makes the schedule come every two seconds, and settle whatever has no verdict, however young."""
PATIENCE_SECONDS = 4.0
"""How long the schedule may take to settle everything under faults; people and a calm AWS do the rest."""
RULE = f"{STACK}-reconcile"


@dataclass
class Storm:
    """The deployed stack, and what was uploaded to it."""

    aws: LocalAWS
    outputs: Mapping[str, str]
    uploads: dict[str, UploadedDefinition] = field(default_factory=dict)
    """By versionId, in the order in which they were uploaded; `watch` adds the sequencers."""
    parameters: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    moment: int = 0

    def __post_init__(self) -> None:
        self.s3, self.sagemaker = self.aws.client("s3"), self.aws.client("sagemaker")
        self.uploader = uploader(self.aws)
        self.bucket = self.outputs["BucketName"]

    def upload(self, kind: str, key: str) -> None:
        """UploadedDefinition a definition; its event is in the hands of the faults."""
        self.moment += 1
        version = self.uploader.put_object(Bucket=self.bucket, Key=key, Body=BODIES[kind])["VersionId"]
        self.uploads[version] = UploadedDefinition(key, version, "", kind, self.moment)

    def upload_parameters(self, kind: str, key: str) -> None:
        """UploadedDefinition the parameters.json beside a definition."""
        self.moment += 1
        beside, body = storm_uploads.parameters_key(key), storm_uploads.PARAMETERS[kind]
        self.uploader.put_object(Bucket=self.bucket, Key=beside, Body=body)
        self.parameters.setdefault(key, []).append((self.moment, kind))

    def rest_schedule(self) -> None:
        """Keep the schedule away from the uploads that follow."""
        self.aws.client("events").disable_rule(Name=RULE)

    def resume_schedule(self) -> None:
        """Let the schedule come again, once every event is delivered or lost."""
        _until(self.aws.is_idle, 60)
        self.aws.client("events").enable_rule(Name=RULE)

    def broken(self) -> list[str]:
        """Let everything settle, and name every promise that does not hold then."""
        _until(lambda: self.aws.is_idle() and len(self.verdicts()) == len(self.uploads), PATIENCE_SECONDS)
        self.aws.cease_faults()
        self.aws.client("events").disable_rule(Name=RULE)
        _until(self.aws.is_idle, 60)
        before = self.watch()
        redriven = list(self._redrive())
        after = self.watch()
        state = _at_rest(after)
        invoke = self._invoke()
        again = invoke({"reconcile": {"failed": False}})
        unrest = (
            ["G4: reconciling what is at rest changes it"] if again or _at_rest(self.watch()) != state else []
        )
        return [*redriven, *_late(before, after), *broken_promises(after), *unrest]

    def _redrive(self) -> Iterator[str]:
        invoke, sqs = self._invoke(), self.aws.client("sqs")
        for replayed in redrive.replay(sqs, self.outputs["FailureQueueUrl"], invoke):
            if replayed.error:
                yield f"G3: without faults a redrive fails all the same: {replayed.error}"
        redrive.settle_uploads(invoke, failed=True)

    def _invoke(self) -> redrive.Invoke:
        return redrive.invocation(self.aws.client("lambda"), f"{STACK}-start-execution")

    def verdicts(self) -> list[str]:
        """List the keys of all verdicts."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix="verdicts/")
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def watch(self) -> Watch:
        """Read everything that the promises are about."""
        s3, sagemaker = FakeS3(self.bucket), FakeSageMaker()
        origins = []
        for key in self.verdicts():
            body = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
            s3.put(key, body)
            origins.append(json.loads(body))
        for summary in self.sagemaker.list_pipelines()["PipelineSummaries"]:
            name = summary["PipelineName"]
            sagemaker.pipelines[name] = FakePipeline(summary["RoleArn"], self._versions(name))
            sagemaker.executions += self._executions(name)
        watch = Watch(s3, sagemaker, moment=self.moment)
        origins += [json.loads(each.description) for each in sagemaker.executions]
        told = {each["versionId"]: each["sequencer"] for each in origins if each.get("sequencer")}
        watch.uploads = {
            name: replace(each, sequencer=told.get(name, "")) for name, each in self.uploads.items()
        }
        known = [each.sequencer for each in watch.uploads.values() if each.sequencer]
        assert known == sorted(known), "sequencers are not in the order of the uploads"
        for key, given in self.parameters.items():
            watch.parameters[key] += given
        return watch

    def _versions(self, name: str) -> list[str]:
        pages = self.sagemaker.get_paginator("list_pipeline_versions").paginate(
            PipelineName=name, SortOrder="Ascending"
        )
        numbers = [each["PipelineVersionId"] for page in pages for each in page["PipelineVersionSummaries"]]
        describe = self.sagemaker.describe_pipeline
        return [
            describe(PipelineName=name, PipelineVersionId=number)["PipelineDefinition"] for number in numbers
        ]

    def _executions(self, name: str) -> Iterator[FakeExecution]:
        pages = self.sagemaker.get_paginator("list_pipeline_executions").paginate(
            PipelineName=name, SortOrder="Ascending"
        )
        for summary in (each for page in pages for each in page["PipelineExecutionSummaries"]):
            arn = {"PipelineExecutionArn": summary["PipelineExecutionArn"]}
            described = self.sagemaker.describe_pipeline_execution(**arn)
            stored = self.sagemaker.describe_pipeline_definition_for_execution(**arn)["PipelineDefinition"]
            stopped = described["PipelineExecutionStatus"] in ("Stopping", "Stopped")
            yield FakeExecution(
                arn=summary["PipelineExecutionArn"],
                pipeline=name,
                version=described["PipelineVersionId"],
                definition=stored,
                parameters=self._given(arn, json.loads(stored)),
                description=summary["PipelineExecutionDescription"],
                status="Stopped" if stopped else "Executing",
            )

    def _given(self, arn: Mapping[str, str], definition: Mapping[str, Any]) -> dict[str, str]:
        """Return the parameters of an execution without those that have their default."""
        listed = self.sagemaker.list_pipeline_parameters_for_execution(**arn)["PipelineParameters"]
        defaults = {each["Name"]: str(each.get("DefaultValue")) for each in definition.get("Parameters", [])}
        return {each["Name"]: each["Value"] for each in listed if each["Value"] != defaults[each["Name"]]}


def _late(before: Watch, after: Watch) -> Iterator[str]:
    """Name what was started, when nothing was on its way any more, although a newer upload had started."""
    for upload in after.uploads.values():
        newer = [
            each
            for each in before.uploads.values()
            if each.key == upload.key and each.moment > upload.moment and before.executions(each)
        ]
        if newer and after.executions(upload) and not before.executions(upload):
            yield f"G2: {upload} was started although the newer {newer[0]} had started"


def _at_rest(watch: Watch) -> dict[str, Any]:
    uploads = list(watch.uploads.values())
    return {
        "verdicts": [watch.verdict(each) for each in uploads],
        "executions": [len(watch.executions(each)) for each in uploads],
        "pipelines": {name: each.versions for name, each in watch.sagemaker.pipelines.items()},
    }


def _until(done: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.1)


@contextmanager
def storm(work_dir: Path, seed: int, source: Path = SOURCE) -> Iterator[Storm]:
    """Bring up local AWS with the faults of a seed, the committed template and the function's code."""
    with LocalAWS(work_dir=work_dir, faults=seed, schedule_speed=SCHEDULE_SPEED) as aws:
        yield Storm(aws, deploy(aws, TEMPLATE, STACK, source=source))
