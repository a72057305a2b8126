"""Start the pipeline that was uploaded: an S3 event becomes one execution of exactly those bytes.

Lambda calls `handler` for each upload below `pipeline/`. The definition is read in the very version that
the event names, checked before SageMaker hears of it, stored as a pipeline version, and that version is
started with a token made from the upload: however often the event is delivered, one execution comes of it.
Whatever fails is raised, so that Lambda tries again and at last leaves the event in the failure queue.
"""

import functools
import hashlib
import json
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

import pipeline_document
import pipeline_versions
from pipeline_document import InvalidDefinition, Problem

log = logging.getLogger("start_execution")
log.setLevel(logging.INFO)

# Three attempts of one call (connect + read, and the pauses) stay below the function's 60 s.
CLIENT_CONFIG = Config(
    connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3}
)
PIPELINE_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,255}")
KEY = re.compile(r"pipeline/(?:(?P<name>[^/]+)/)?pipeline\.json")


class UploadError(ValueError):
    """An event, an object or a setting that no retry can turn into an execution."""


class StartError(RuntimeError):
    """Some uploads of the event started nothing; the message names each with its reason."""


class Clients(NamedTuple):
    """The two services this function talks to."""

    s3: Any
    sagemaker: Any


@functools.cache
def clients() -> Clients:
    """Make the boto3 clients at the first event, once for the life of the process."""
    return Clients(*(boto3.client(service, config=CLIENT_CONFIG) for service in ("s3", "sagemaker")))


@dataclass(frozen=True)
class Settings:
    """What the stack tells the function through its environment."""

    pipeline_name: str
    role_arn: str
    parameters: Mapping[str, str]
    """Passed wherever the definition declares them; they win over its defaults."""
    parameter_defaults: Mapping[str, str]
    """Passed only where the definition declares a parameter without a DefaultValue."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the function's environment or say which variables are missing."""
        names = ("PIPELINE_NAME", "PIPELINE_ROLE_ARN", "PIPELINE_PARAMETERS", "PIPELINE_PARAMETER_DEFAULTS")
        missing = [name for name in names if not environment.get(name)]
        if missing:
            raise UploadError(
                f"the function's environment lacks {', '.join(missing)}; deploy the stack again"
            )
        pipeline_name, role_arn, *given = (environment[name] for name in names)
        parameters, defaults = (_json_object(name, text) for name, text in zip(names[2:], given, strict=True))
        return cls(pipeline_name, role_arn, parameters, defaults)


@dataclass(frozen=True)
class Upload:
    """One object version as an S3 event names it; without versioning the event has no version."""

    bucket: str
    key: str
    version_id: str | None
    sequencer: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key} (version {self.version_id or 'latest'})"


@dataclass(frozen=True)
class Definition:
    """A checked definition and the object version it was read from."""

    document: dict[str, Any]
    text: str
    version_id: str
    sha256: str
    """Of the bytes as uploaded."""


def handler(event: dict[str, Any], context: object) -> list[dict[str, Any]]:  # noqa: ARG001 - Lambda's signature
    """Start an execution for each upload in the event; raise `StartError` at the end if any failed."""
    records = read_event(event)
    if not records:
        return []
    settings = Settings.read(os.environ)
    started, failures = [], []
    for record in records:
        name: object = f"record {record}"
        try:
            upload = read_record(record)
            if upload:
                name = upload
                started.append(start(upload, settings, clients()))
        except (BotoCoreError, ClientError, InvalidDefinition, UploadError) as error:
            log.exception("nothing started for %s", name, extra={"upload": str(name)})
            failures.append((name, error))
    if failures:
        reasons = "\n".join(f"{name}: {type(error).__name__}: {error}" for name, error in failures)
        count = f"{len(failures)} of {len(records)} records started no execution"
        raise StartError(f"{count}:\n{reasons}") from failures[0][1]
    return started


def start(upload: Upload, settings: Settings, services: Clients) -> dict[str, Any]:
    """Bring one upload to its execution; done twice, it is the same execution."""
    name = pipeline_name(upload.key, settings.pipeline_name)
    definition = fetch(upload, services.s3)
    parameters = execution_parameters(definition.document, settings)
    token = request_token(upload.bucket, upload.key, definition.version_id)
    version = pipeline_versions.store(services.sagemaker, name, definition.text, settings.role_arn, token)
    response = services.sagemaker.start_pipeline_execution(
        PipelineName=name,
        PipelineVersionId=version,
        PipelineParameters=parameters,
        PipelineExecutionDescription=description(upload, definition),
        ClientRequestToken=token,
    )
    started = {
        "pipelineName": name,
        "pipelineVersionId": version,
        "executionArn": response["PipelineExecutionArn"],
    }
    log.info("started %s for %s", started["executionArn"], upload, extra={**asdict(upload), **started})
    return started


def read_event(event: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Give the records of an S3 event; none for the test event that S3 sends when it is set up."""
    if event.get("Event") == "s3:TestEvent":
        log.info("s3:TestEvent: the notification is set up", extra={"bucket": event.get("Bucket")})
        return []
    records = event.get("Records")
    if not isinstance(records, list):
        raise UploadError('no S3 event: it has no "Records"; only the bucket is to call this function')
    return records


def read_record(record: Mapping[str, Any]) -> Upload | None:
    """Read which object version was uploaded; None for a record of anything else, such as a deletion."""
    version, name = str(record.get("eventVersion")), str(record.get("eventName"))
    if version.partition(".")[0] != "2":
        raise UploadError(f"an event of version {version}: this function reads S3's event version 2.x")
    try:
        bucket, entry = record["s3"]["bucket"]["name"], record["s3"]["object"]
        key = unquote_plus(entry["key"])
    except KeyError as error:
        raise UploadError(f"an S3 record without {error}: s3.bucket.name, s3.object.key are due") from error
    upload = Upload(bucket, key, entry.get("versionId") or None, entry.get("sequencer", ""))
    if not name.startswith("ObjectCreated:"):
        log.info("%s of %s starts nothing", name, upload, extra={"eventName": name, **asdict(upload)})
        return None
    return upload


def pipeline_name(key: str, project_pipeline: str) -> str:
    """Name the pipeline that a key stands for: `pipeline/<name>/pipeline.json` is `<project>-<name>`."""
    match = KEY.fullmatch(key)
    if not match:
        raise UploadError(
            f'the key "{key}" stands for no pipeline; upload to pipeline/pipeline.json '
            "or pipeline/<name>/pipeline.json"
        )
    name = project_pipeline if match["name"] is None else f"{project_pipeline}-{match['name']}"
    if len(name) > 256 or not PIPELINE_NAME.fullmatch(name):
        raise UploadError(
            f'"{name}" (from the key "{key}") is no name of a pipeline: letters, digits and single hyphens, '
            "with a letter or digit at both ends, at most 256 characters"
        )
    return name


def fetch(upload: Upload, s3: Any) -> Definition:
    """Read and check exactly the version uploaded, its size known before the first byte is read."""
    version = {"VersionId": upload.version_id} if upload.version_id else {}
    response = s3.get_object(Bucket=upload.bucket, Key=upload.key, **version)
    with response["Body"] as body:
        if response["ContentLength"] > pipeline_document.MAX_BYTES:
            raise UploadError(
                f"{response['ContentLength']:,} bytes; a pipeline definition has at most "
                f"{pipeline_document.MAX_BYTES:,}"
            )
        content = body.read(pipeline_document.MAX_BYTES + 1)
    version_id = upload.version_id or response.get("VersionId")
    if version_id in (None, "null"):
        raise UploadError(
            f"the object has no version, so its execution could not be told from the next; "
            f"turn on versioning: aws s3api put-bucket-versioning --bucket {upload.bucket} "
            "--versioning-configuration Status=Enabled"
        )
    document = pipeline_document.load(content)
    problems = pipeline_document.check(document)
    if problems:
        raise InvalidDefinition(problems)
    text = pipeline_document.serialise(document)
    return Definition(document, text, str(version_id), hashlib.sha256(content).hexdigest())


def execution_parameters(definition: Mapping[str, Any], settings: Settings) -> list[dict[str, str]]:
    """Choose the values to start with, in the definition's order; refuse a parameter without any."""
    chosen, problems = [], []
    for index, parameter in enumerate(definition.get("Parameters", [])):
        name = parameter["Name"]
        if name in settings.parameters:
            chosen.append({"Name": name, "Value": settings.parameters[name]})
        elif "DefaultValue" in parameter:
            continue
        elif name in settings.parameter_defaults:
            chosen.append({"Name": name, "Value": settings.parameter_defaults[name]})
        else:
            given = ", ".join(sorted({*settings.parameters, *settings.parameter_defaults}))
            message = f"{name} needs a DefaultValue: this deployment gives values to {given} only"
            problems.append(Problem(f"/Parameters/{index}", message))
    if problems:
        raise InvalidDefinition(problems)
    return chosen


def request_token(bucket: str, key: str, version_id: str) -> str:
    """Make the token that is the same for every delivery of one upload (64 hexadecimal digits)."""
    return hashlib.sha256("\0".join((bucket, key, version_id)).encode()).hexdigest()


def description(upload: Upload, definition: Definition) -> str:
    """Write where the execution comes from, as JSON: redrive and the reports read it back."""
    origin = {
        "bucket": upload.bucket,
        "key": upload.key,
        "versionId": definition.version_id,
        "sequencer": upload.sequencer,
        "sha256": definition.sha256,
    }
    return json.dumps(origin, separators=(",", ":"))


def _json_object(name: str, text: str) -> dict[str, str]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UploadError(f"the function's {name} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise UploadError(f"the function's {name} must be a JSON object, not {text}")
    return {key: str(each) for key, each in value.items()}
