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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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


@dataclass(frozen=True)
class RegisteredModel:
    """One registered model."""

    arn: str
    training_type: str
    approval_status: str

    @property
    def name(self) -> str:
        """Return `group/version`."""
        return self.arn.partition(":model-package/")[2] or self.arn

    @property
    def approve_command(self) -> str:
        """Return the AWS CLI command that approves it."""
        return (
            f"aws sagemaker update-model-package --model-package-arn {shlex.quote(self.arn)} "
            "--model-approval-status Approved"
        )


def read_packages(sagemaker: Any, snapshot: Snapshot) -> list[RegisteredModel]:
    """List the packages in the order of their register steps, each with its status now."""
    arns = [step.model_package for step in snapshot.execution.steps if step.model_package]
    return [_package(sagemaker, arn) for arn in arns]


def _package(sagemaker: Any, arn: str) -> RegisteredModel:
    try:
        answer = sagemaker.describe_model_package(ModelPackageName=arn)
    except ClientError as error:
        if error_code(error) in ABSENT | DENIED | {"ValidationException"}:
            return RegisteredModel(arn, "unknown", "unknown: it was deleted, or you may not read it")
        raise
    kind = (answer.get("CustomerMetadataProperties") or {}).get("TrainingType", "unknown")
    return RegisteredModel(arn, kind, answer.get("ModelApprovalStatus", "unknown"))


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
    pages = sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group)
    packages = [each for page in pages for each in page["ModelPackageSummaryList"]]
    arns = {each["ModelPackageVersion"]: each["ModelPackageArn"] for each in packages}
    if version in arns:
        return str(arns[version])
    known = ", ".join(map(str, sorted(arns))) or "none"
    raise AbsentError(f"model package group {group} has no version {version} (it has: {known})")


def model_data(sagemaker: Any, package: str) -> str:
    """Return the S3 URL of a model package's model.tar.gz."""
    try:
        answer = sagemaker.describe_model_package(ModelPackageName=package)
    except ClientError as error:
        if error_code(error) in ABSENT | {"ValidationException"}:
            raise AbsentError(f"no model package {package}: {error_message(error)}") from error
        raise
    containers = (answer.get("InferenceSpecification") or {}).get("Containers") or [{}]
    if not (url := containers[0].get("ModelDataUrl")):
        raise AbsentError(f"model package {package} has no ModelDataUrl: it has no model.tar.gz")
    return str(url)


def fetch(s3: Any, url: str, target: Path) -> None:
    """Download an object by its s3:// URL."""
    parts = urlsplit(url, allow_fragments=False)
    try:
        s3.download_file(parts.netloc, parts.path.lstrip("/"), str(target))
    except ClientError as error:
        raise OpsError(f"cannot download {url}: {error_code(error)} {error_message(error)}") from error
    except Boto3Error as error:
        raise OpsError(f"cannot download {url}: {error}") from error


def _sha256(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
