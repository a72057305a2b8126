"""The models of an execution and of the registry: packages, and the artifacts of training jobs.

An artifact is downloaded, and hashed or unpacked file by file: nothing else of what others packed is touched.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import shlex
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urlsplit

from boto3.exceptions import Boto3Error
from botocore.exceptions import ClientError

from ops.errors import DENIED, AbsentError, OpsError, error_code, error_message
from ops.executions.execution import ABSENT
from ops.executions.snapshot import Snapshot

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
UNPACKED_LIMIT = 4 << 30  # bytes read of one archive; a bomb of 200 MB fits in 194 KB
CHUNK = 1 << 20
EXECUTION_PROPERTY = "PipelineExecutionArn"
"""The property by which the pipeline's register steps name their execution."""


@dataclass(frozen=True)
class RegisteredModel:
    """One model package, as DescribeModelPackage tells it; what it does not tell is None or empty."""

    arn: str
    training_type: str
    approval_status: str
    version: int | None = None
    approval_description: str = ""
    created: datetime | None = None
    image: str | None = None
    model_data_url: str | None = None
    evaluation_url: str | None = None
    """Of the evaluation.json that its ModelMetrics name."""
    properties: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return `group/version`."""
        return self.arn.partition(":model-package/")[2] or self.arn

    @property
    def group(self) -> str:
        """Name the model package group."""
        return self.name.rpartition("/")[0] or self.name

    @property
    def execution_arn(self) -> str | None:
        """Return the execution that registered it, where it says so."""
        return self.properties.get(EXECUTION_PROPERTY)

    @property
    def approve_command(self) -> str:
        """Return the command that approves it."""
        return f"cv-pipeline approve {shlex.quote(self.name)}"


def read_packages(sagemaker: Any, snapshot: Snapshot) -> list[RegisteredModel]:
    """List the packages in the order of their register steps, each with its status now."""
    arns = [step.model_package for step in snapshot.execution.steps if step.model_package]
    return [_package(sagemaker, arn) for arn in arns]


def _package(sagemaker: Any, arn: str) -> RegisteredModel:
    try:
        return read_package(sagemaker, arn)
    except AbsentError:
        pass
    except ClientError as error:
        if error_code(error) not in DENIED:
            raise
    return RegisteredModel(arn, "unknown", "unknown: it was deleted, or you may not read it")


def read_package(sagemaker: Any, arn: str) -> RegisteredModel:
    """Describe a model package.

    Raises:
        AbsentError: There is no such model package.
    """
    try:
        answer = sagemaker.describe_model_package(ModelPackageName=arn)
    except ClientError as error:
        if error_code(error) in ABSENT | {"ValidationException"}:
            raise AbsentError(f"no model package {arn}: {error_message(error)}") from error
        raise
    properties = answer.get("CustomerMetadataProperties") or {}
    containers = (answer.get("InferenceSpecification") or {}).get("Containers") or [{}]
    quality = (answer.get("ModelMetrics") or {}).get("ModelQuality") or {}
    return RegisteredModel(
        arn=answer.get("ModelPackageArn", arn),
        training_type=properties.get("TrainingType", "unknown"),
        approval_status=answer.get("ModelApprovalStatus", "unknown"),
        version=answer.get("ModelPackageVersion"),
        approval_description=answer.get("ApprovalDescription", ""),
        created=answer.get("CreationTime"),
        image=containers[0].get("Image"),
        model_data_url=containers[0].get("ModelDataUrl"),
        evaluation_url=(quality.get("Statistics") or {}).get("S3Uri"),
        properties=properties,
    )


def list_packages(
    sagemaker: Any, group: str, status: str | None = None, limit: int | None = None
) -> list[RegisteredModel]:
    """Describe the versions of a model package group, the newest first; one that cannot be read says so.

    Raises:
        AbsentError: There is no such group.
    """
    newest_first = sorted(_versions(sagemaker, group, status).items(), reverse=True)
    return [_package(sagemaker, arn) for _, arn in newest_first[:limit]]


def _versions(sagemaker: Any, group: str, status: str | None = None) -> dict[int, str]:
    """Return the ARN of each version of a group, or of those with an approval status."""
    request = {"ModelPackageGroupName": group} | ({"ModelApprovalStatus": status} if status else {})
    try:
        pages = sagemaker.get_paginator("list_model_packages").paginate(**request)
        packages = [each for page in pages for each in page["ModelPackageSummaryList"]]
    except ClientError as error:
        if error_code(error) in ABSENT | {"ValidationException"}:
            raise AbsentError(f"no model package group {group}: {error_message(error)}") from error
        raise
    return {each["ModelPackageVersion"]: str(each["ModelPackageArn"]) for each in packages}


class ArtifactError(ValueError):
    """A model.tar.gz that is not what a training job of this pipeline leaves."""


def folder_name(training_type: str) -> str:
    """Write a training type as a file name: OnDemand -> on-demand; nothing but a-z, 0-9 and hyphens."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", training_type).lower()
    return re.sub(r"[^a-z0-9]+", "-", spaced).strip("-") or "model"


def download(s3: Any, snapshot: Snapshot, directory: Path) -> tuple[dict[str, str], list[str]]:
    """Fetch every training's model.tar.gz to `directory`/<type>/ and hash its weights.

    Returns the sha256 of model.safetensors by training type, and for each that is not there why.
    """
    digests, missing = {}, []
    for step_name, training in snapshot.trainings.items():
        if not training.artifacts or training.status != "Completed":
            missing.append(
                f"no model of {training.type}: the training job of step {step_name} is {training.status}"
            )
            continue
        target = directory / folder_name(training.type) / "model.tar.gz"
        target.parent.mkdir(parents=True, exist_ok=True)
        parts = urlsplit(training.artifacts, allow_fragments=False)
        try:
            s3.download_file(parts.netloc, parts.path.lstrip("/"), str(target))
            digests[training.type] = weights_sha256(target)
        except ClientError as error:
            reason = f"{error_code(error)} {error_message(error)}"
            missing.append(f"no model of {training.type}: {training.artifacts}: {reason}")
        except (Boto3Error, ArtifactError) as error:
            missing.append(f"no model digest of {training.type}: {training.artifacts}: {error}")
    return digests, missing


def weights_sha256(archive: Path) -> str:
    """Hash model.safetensors inside a model.tar.gz, reading that member only, as a stream.

    Raises:
        ArtifactError: There is no such regular file in it, it is damaged, or it unpacks to more than 4 GiB.
    """
    with _files(archive) as files:
        for name, content in files:
            if name == WEIGHTS:
                return _sha256(content)
    raise ArtifactError(f"no {WEIGHTS} in it")


def unpack(archive: Path, directory: Path) -> None:
    """Write the two files that a model consists of to `directory`, and no other file of the archive.

    Raises:
        ArtifactError: One of them is missing, the archive is damaged, or it unpacks to more than 4 GiB.
    """
    missing = {DESCRIPTION, WEIGHTS}
    with _files(archive) as files:
        for name, content in files:
            if name in missing:
                with (directory / name).open("wb") as file:
                    shutil.copyfileobj(content, file, CHUNK)
                missing.remove(name)
            if not missing:
                return
    raise ArtifactError(f"no {' and no '.join(sorted(missing))} in it")


@contextmanager
def _files(archive: Path) -> Iterator[Iterator[tuple[str, IO[bytes]]]]:
    """Read the regular files of an archive one after the other, each by its name, up to the limit."""
    try:
        with (
            gzip.open(archive) as stream,
            tarfile.open(fileobj=cast(IO[bytes], _Capped(stream)), mode="r|", bufsize=CHUNK) as members,
        ):
            yield (
                (member.name.removeprefix("./"), content)
                for member in members
                if member.isreg() and (content := members.extractfile(member))
            )
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ArtifactError(f"damaged archive ({error})") from error


class _Capped:
    """A stream that ends in an error once it has given more than a model can have."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream, self._left = stream, UNPACKED_LIMIT

    def read(self, size: int = -1, /) -> bytes:
        """Read on, up to the limit."""
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise ArtifactError(f"unpacks to more than {UNPACKED_LIMIT >> 30} GiB")
        return data


def find_package(sagemaker: Any, group: str, version: int) -> str:
    """Return the ARN of a version of a model package group.

    Raises:
        AbsentError: The group has no such version.
    """
    arns = _versions(sagemaker, group)
    if version in arns:
        return arns[version]
    known = ", ".join(map(str, sorted(arns))) or "none"
    raise AbsentError(f"model package group {group} has no version {version} (it has: {known})")


def model_data(model: RegisteredModel) -> str:
    """Return the S3 URL of a registered model's model.tar.gz."""
    if model.model_data_url:
        return model.model_data_url
    raise AbsentError(f"model package {model.name} has no ModelDataUrl: it has no model.tar.gz")


def fetch(s3: Any, url: str, target: Path, *, limit: int | None = None) -> None:
    """Download an object by its s3:// URL, if it has at most `limit` bytes.

    Raises:
        OpsError: S3 refuses it, the object is larger, or the connection broke; nothing stays at `target`.
    """
    parts = urlsplit(url, allow_fragments=False)
    if parts.scheme != "s3":
        raise OpsError(f"cannot download {url}: it is no s3:// URL")
    which = {"Bucket": parts.netloc, "Key": parts.path.lstrip("/")}
    try:
        size = s3.head_object(**which)["ContentLength"]
        if limit is not None and size > limit:
            raise OpsError(f"{url} has {size:,} bytes, more than the {limit >> 30} GiB that a model may have")
        s3.download_file(*which.values(), str(target))
    except ClientError as error:
        raise OpsError(f"cannot download {url}: {_refusal(error)}") from error
    except Boto3Error as error:
        raise OpsError(f"cannot download {url}: {error}; the same command tries again") from error


def _refusal(error: ClientError) -> str:
    """Say why S3 refuses an object; the answer to a HEAD has no text of its own."""
    match error_code(error):
        case "404" | "NoSuchKey" | "NoSuchBucket":
            return "there is no such object"
        case "403" | "AccessDenied":
            return "S3 refuses it (ask for s3:GetObject on it, or set AWS_PROFILE)"
    return f"{error_code(error)} {error_message(error)}"


def _sha256(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
