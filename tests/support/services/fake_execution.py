"""A SageMaker in memory that plays one execution by a clock, behind real boto3 clients.

The client is boto3's own, so parameters are validated, pages are followed and errors are ClientErrors; only
the request never leaves: botocore asks `ScriptedSageMaker` for the answer instead. The executions it plays
are in tests/support/services/fake_execution_scenarios.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
from botocore.config import Config

DEFINITION = Path(__file__).resolve().parents[3] / "pipeline_definition" / "pipeline.json"
REGION, ACCOUNT, PIPELINE, BUCKET = "us-east-1", "123456789012", "cv-birds", "cv-birds-123456789012"
START = datetime(2026, 3, 4, 9, 30, 12, tzinfo=UTC)
PREFIX = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
PAGE_SIZE = 3
ENDS = {"Succeeded": "Completed"}
"""How a job ends whose step ends so, where the words differ."""


@dataclass
class FakeStep:
    """One step: `begin` and `end` in seconds after the execution's start, the rest as SageMaker answers."""

    name: str
    begin: float
    end: float | None
    status: str = "Succeeded"
    metadata: dict[str, Any] = field(default_factory=dict)
    reason: str | None = None
    attempts: int = 1
    cache_source: str | None = None

    def at(self, clock: float) -> dict[str, Any]:
        ended = self.end is not None and clock >= self.end
        entry: dict[str, Any] = {
            "StepName": self.name,
            "StartTime": moment(self.begin),
            "StepStatus": self.status if ended else "Executing",
            "AttemptCount": self.attempts,
            "Metadata": self.metadata,
        }
        if ended and self.end is not None:
            entry["EndTime"] = moment(self.end)
        if ended and self.reason:
            entry["FailureReason"] = self.reason
        if self.cache_source:
            entry["CacheHitResult"] = {"SourcePipelineExecutionArn": self.cache_source}
        return entry


@dataclass
class FakeTraining:
    """One training job; `interrupted` holds (lost, training again) in seconds after the execution's start."""

    name: str
    begin: float
    end: float
    spot: bool = False
    interrupted: tuple[tuple[float, float], ...] = ()
    accuracy: float = 0.9375
    status: str = "Completed"
    output: str = ""
    metric: str = "validation:accuracy"
    """What the definition calls it."""
    instance_type: str = "ml.c5.4xlarge"
    instance_count: int = 1
    epochs: int = 20
    inputs: str = "executions/one/data/train"
    started: bool = True
    """Whether it got an instance; one that did not tells no times."""

    def at(self, clock: float) -> dict[str, Any]:
        ended = clock >= self.end
        seconds = round(self.end - self.begin - 2)
        resources = {"InstanceCount": self.instance_count, "InstanceType": self.instance_type}
        job: dict[str, Any] = {
            "TrainingJobName": self.name,
            "TrainingJobArn": f"{PREFIX}:training-job/{self.name.lower()}",
            "TrainingJobStatus": self.status if ended else "InProgress",
            "SecondaryStatus": "Completed" if ended else "Training",
            "CreationTime": moment(self.begin),
            "EnableManagedSpotTraining": self.spot,
            "AlgorithmSpecification": {
                "TrainingImage": "training:1",
                "TrainingInputMode": "File",
                "MetricDefinitions": [
                    {"Name": "train:loss", "Regex": "train_loss=(\\S+)"},
                    {"Name": "validation:accuracy", "Regex": "validation_accuracy=(\\S+)"},
                ],
            },
            "ResourceConfig": {**resources, "VolumeSizeInGB": 30},
            "InputDataConfig": [_channel("train", f"s3://{BUCKET}/{self.inputs}")],
            "HyperParameters": {"epochs": str(self.epochs)},
            "SecondaryStatusTransitions": self._transitions(clock),
            "FinalMetricDataList": self._metrics(clock),
        }
        if self.started and clock >= self.begin + 1:
            job["TrainingStartTime"] = moment(self.begin + 1)
        if ended and self.started:
            job |= {
                "TrainingTimeInSeconds": seconds,
                "BillableTimeInSeconds": round(seconds * (0.3 if self.spot else 1)),
            }
            job["ModelArtifacts"] = {"S3ModelArtifacts": f"{self.output}/{self.name}/output/model.tar.gz"}
        return job

    def _transitions(self, clock: float) -> list[dict[str, Any]]:
        marks = [
            (self.begin, "Starting", "Preparing the instances"),
            (self.begin + 1, "Training", "Training image running"),
        ]
        for lost, again in self.interrupted:
            marks += [
                (lost, "Interrupted", "Spot capacity was reclaimed"),
                (lost + 1, "Starting", "Restarting from the checkpoint"),
            ]
            marks += [(again, "Training", "Training image running")]
        marks += [
            (self.end - 1, "Uploading", "Uploading the model"),
            (self.end, "Completed", "Training job completed"),
        ]
        marks.sort()
        return [
            {"Status": status, "StartTime": moment(at), "StatusMessage": message}
            for at, status, message in marks
            if at <= clock
        ]

    def _metrics(self, clock: float) -> list[dict[str, Any]]:
        share = min(1.0, max(0.0, (clock - self.begin - 1) / (self.end - self.begin - 2)))
        values = {
            "train:progress": 100 * share,
            "train:loss": 2.1 - 1.95 * share,
            "validation:loss": 2.0 - 1.72 * share,
            self.metric: 0.125 + (self.accuracy - 0.125) * share,
        }
        return (
            [
                {"MetricName": name, "Value": value, "Timestamp": moment(clock)}
                for name, value in values.items()
            ]
            if share
            else []
        )


@dataclass
class FakeProcessing:
    """One processing job; without `end` it never ends, and one that did not start tells no times."""

    name: str
    begin: float
    end: float | None
    status: str = "Completed"
    instance_type: str = "ml.m5.xlarge"
    instance_count: int = 1
    started: bool = True

    def at(self, clock: float) -> dict[str, Any]:
        ended = self.end is not None and clock >= self.end
        cluster = {"InstanceCount": self.instance_count, "InstanceType": self.instance_type}
        job: dict[str, Any] = {
            "ProcessingJobName": self.name,
            "ProcessingJobArn": f"{PREFIX}:processing-job/{self.name.lower()}",
            "ProcessingJobStatus": self.status if ended else "InProgress",
            "CreationTime": moment(self.begin),
            "ProcessingResources": {"ClusterConfig": {**cluster, "VolumeSizeInGB": 30}},
        }
        if self.started and clock >= self.begin:
            job["ProcessingStartTime"] = moment(self.begin)
        if ended and self.end is not None:
            job["ProcessingEndTime"] = moment(self.end)
        return job


@dataclass
class ScriptedExecution:
    """One execution: its end decides the final status."""

    id: str
    steps: list[FakeStep]
    trainings: list[FakeTraining]
    end: float
    status: str = "Succeeded"
    reason: str | None = None
    description: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    created: datetime = START
    processings: list[FakeProcessing] = field(default_factory=list)
    """Those that a step does not name, such as attempts that were retried, or that are not as usual."""

    @property
    def processing_jobs(self) -> list[FakeProcessing]:
        """Return every processing job: those of `processings`, and of each other step one as long as it."""
        told = {each.name.lower() for each in self.processings}
        made = [
            FakeProcessing(
                name, step.begin, step.end, "Completed" if step.status == "Succeeded" else "Failed"
            )
            for step in self.steps
            if (name := step.metadata.get("ProcessingJob", {}).get("Arn", "").rpartition("/")[2])
            and f"-{self.id}-" in name
            and name.lower() not in told
        ]
        return [*self.processings, *made]

    @property
    def arn(self) -> str:
        return f"{PREFIX}:pipeline/{PIPELINE}/execution/{self.id}"


class ScriptedSageMaker:
    """Answers for its executions as they are at `clock` seconds after START."""

    def __init__(self, *executions: ScriptedExecution, definition: dict[str, Any] | None = None) -> None:
        self.executions = {execution.arn: execution for execution in executions}
        self.definition = definition or json.loads(DEFINITION.read_text(encoding="utf-8"))
        self.clock = 0.0
        self.calls: list[str] = []
        self.exit_message: str | None = None  # of every processing job
        self.training_type: str | None = None  # of every model package, or else what its step is called after
        self.model_metrics: dict[str, str] = {}  # the URL of evaluation.json, by model package
        self.package_properties: dict[str, str] = {}  # of every model package
        self.statuses = {"RegisterSpot": "PendingManualApproval", "RegisterOnDemand": "PendingManualApproval"}
        self.denied: set[str] = set()
        """Operations that whoever asks has no right to."""

    def client(self) -> Any:
        client = client_of("sagemaker")
        client.meta.events.register_first("before-call.sagemaker", self._answer)
        return client

    def sleep(self, seconds: float) -> None:
        self.clock += seconds

    def now(self) -> datetime:
        return moment(self.clock)

    def _answer(self, model: Any, params: dict[str, Any], **_: Any) -> tuple[SimpleNamespace, dict[str, Any]]:
        self.calls.append(model.name)
        request = json.loads(params["body"])
        if model.name in self.denied:
            denial = {"Code": "AccessDeniedException", "Message": f"may not sagemaker:{model.name}"}
            answer = {"Error": denial, "ResponseMetadata": {"HTTPStatusCode": 400}}
            return SimpleNamespace(status_code=400), answer
        try:
            body = getattr(self, f"_{model.name}")(request)
        except LookupError as error:
            absent = {"Error": {"Code": "ResourceNotFound", "Message": f"{error.args[0]} does not exist"}}
            return SimpleNamespace(status_code=400), {**absent, "ResponseMetadata": {"HTTPStatusCode": 400}}
        return SimpleNamespace(status_code=200), {**body, "ResponseMetadata": {"HTTPStatusCode": 200}}

    def _execution(self, request: dict[str, Any]) -> ScriptedExecution:
        return self.executions[request["PipelineExecutionArn"]]

    def _status(self, execution: ScriptedExecution) -> str:
        return execution.status if self.clock >= execution.end else "Executing"

    def _DescribePipelineExecution(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        execution = self._execution(request)
        status = self._status(execution)
        answer = {
            "PipelineExecutionArn": execution.arn,
            "PipelineArn": f"{PREFIX}:pipeline/{PIPELINE}",
            "PipelineExecutionStatus": status,
            "PipelineExecutionDescription": execution.description,
            "CreationTime": execution.created,
            "LastModifiedTime": moment(min(self.clock, execution.end)),
        }
        return answer | (
            {"FailureReason": execution.reason} if execution.reason and status != "Executing" else {}
        )

    def _DescribePipelineDefinitionForExecution(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        self._execution(request)
        return {"PipelineDefinition": json.dumps(self.definition), "CreationTime": START}

    def _ListPipelineExecutions(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if request["PipelineName"] != PIPELINE:
            raise LookupError(request["PipelineName"])
        newest = sorted(self.executions.values(), key=lambda each: each.created, reverse=True)
        summaries = [
            {
                "PipelineExecutionArn": each.arn,
                "StartTime": each.created,
                "PipelineExecutionStatus": self._status(each),
                "PipelineExecutionDescription": each.description,
            }
            for each in newest
        ]
        return page(summaries, request, "PipelineExecutionSummaries")

    def _ListPipelineExecutionSteps(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        started = [step for step in self._execution(request).steps if step.begin <= self.clock]
        newest_first = sorted(
            started, key=lambda step: step.begin, reverse=request.get("SortOrder") != "Ascending"
        )
        return page([step.at(self.clock) for step in newest_first], request, "PipelineExecutionSteps")

    def _ListPipelineParametersForExecution(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        values = self._execution(request).parameters
        return page(
            [{"Name": name, "Value": value} for name, value in values.items()], request, "PipelineParameters"
        )

    def _DescribeTrainingJob(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        name = request[
            "TrainingJobName"
        ].lower()  # names are unique whatever their case; ARNs are lower-cased
        jobs = {job.name.lower(): job for each in self.executions.values() for job in each.trainings}
        return jobs[name].at(self.clock)

    def _DescribeProcessingJob(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        name = request["ProcessingJobName"]
        kind = "spot" if "evaluatespot" in name else "on-demand"
        execution_id = name.split("-")[1]
        uri = f"s3://{BUCKET}/executions/{execution_id}/evaluation/{kind}"
        output = {
            "OutputName": "evaluation",
            "S3Output": {"S3Uri": uri, "LocalPath": "/", "S3UploadMode": "EndOfJob"},
        }
        jobs = {job.name.lower(): job for each in self.executions.values() for job in each.processing_jobs}
        answer = {**jobs[name.lower()].at(self.clock), "ProcessingOutputConfig": {"Outputs": [output]}}
        return answer | ({"ExitMessage": self.exit_message} if self.exit_message else {})

    def _ListTrainingJobs(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        jobs = [job for each in self.executions.values() for job in each.trainings]
        return self._list(request, jobs, "TrainingJob")

    def _ListProcessingJobs(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        jobs = [job for each in self.executions.values() for job in each.processing_jobs]
        return self._list(request, jobs, "ProcessingJob")

    def _list(
        self, request: dict[str, Any], jobs: Sequence[FakeTraining | FakeProcessing], noun: str
    ) -> dict[str, Any]:
        members = [f"{noun}Name", f"{noun}Arn", f"{noun}Status", "CreationTime"]
        after = datetime.fromtimestamp(request["CreationTimeAfter"], UTC)
        named = [
            job.at(self.clock)
            for job in jobs
            if request["NameContains"].lower() in job.name.lower()
            and job.begin <= self.clock
            and moment(job.begin) >= after
        ]
        return page([{each: job[each] for each in members} for job in named], request, f"{noun}Summaries")

    def _DescribeModelPackage(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        arn = request["ModelPackageName"]
        for execution in self.executions.values():
            for step in execution.steps:
                if step.metadata.get("RegisterModel", {}).get("Arn") == arn:
                    kind = self.training_type or step.name.removeprefix("Register")
                    status = self.statuses.get(step.name, "PendingManualApproval")
                    return {
                        "ModelPackageArn": arn,
                        "ModelApprovalStatus": status,
                        "CustomerMetadataProperties": {"TrainingType": kind} | self.package_properties,
                        **_model_metrics(self.model_metrics.get(arn)),
                    }
        raise LookupError(arn)


def _model_metrics(url: str | None) -> dict[str, Any]:
    statistics = {"ContentType": "application/json", "S3Uri": url}
    return {"ModelMetrics": {"ModelQuality": {"Statistics": statistics}}} if url else {}


def _channel(name: str, uri: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "InputMode": "File"}


def page(entries: list[dict[str, Any]], request: dict[str, Any], key: str) -> dict[str, Any]:
    """Return three entries and a token for the rest, whatever was asked for."""
    begin = int(request.get("NextToken") or 0)
    answer: dict[str, Any] = {key: entries[begin : begin + PAGE_SIZE]}
    if begin + PAGE_SIZE < len(entries):
        answer["NextToken"] = str(begin + PAGE_SIZE)
    return answer


def moment(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def client_of(service: str, config: Config | None = None) -> Any:
    """Make a boto3 client with keys that open nothing."""
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    return _session().client(service, region_name=REGION, config=config, **keys)


@cache
def _session() -> Any:
    """Read the services' descriptions once: SageMaker's is large."""
    return boto3.Session()
