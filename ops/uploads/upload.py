"""Upload data and a definition; the definition's upload is what starts an execution.

Data goes to a prefix named after its content, `data/<digest>/`: the same data is uploaded once, and changed
data misses the step cache. The definition goes to `pipeline/pipeline.json`, or to
`pipeline/<name>/pipeline.json` for a pipeline of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from ops.errors import CannotUploadError, error_code
from ops.output.terminal import is_live
from ops.uploads import outcome, validation
from ops.uploads.data_set import DataFile, DataFiles
from ops.uploads.parameters import is_deployments, with_defaults
from pipeline_definition.checks.values import defaults
from upload_trigger.definition import walk

if TYPE_CHECKING:
    from upload_trigger.settings import Settings

NAME = re.compile(r"[a-z0-9](-*[a-z0-9])*")
NAME_LIMIT = 100  # characters; SageMaker's 256 less the project's name, and an S3 key that people can read
CONNECTIONS = 10  # boto3's connection pool holds as many


@dataclass(frozen=True)
class DefinitionUpload:
    """One object version of a definition."""

    bucket: str
    key: str
    version_id: str

    @property
    def url(self) -> str:
        """Name the object as `s3://bucket/key`."""
        return f"s3://{self.bucket}/{self.key}"


def check_parameters(path: Path, parameters: Mapping[str, str], beside: Path | None = None) -> None:
    """Raise CannotUploadError unless AWS would take the definition at `path`, which takes `parameters`.

    `beside` is a parameters.json to be uploaded with it, which must fit and give none of `parameters` again.
    """
    _, definition = _body(path, parameters)
    validation.refuse_illegal_values(definition, ("", _given(definition, parameters)))
    if beside is None:
        return
    twice = sorted(validation.read_parameters(beside).keys() & parameters.keys())
    if twice:
        raise CannotUploadError(
            f"{beside} gives {', '.join(twice)}, too, and would win: give each value once"
        )
    values = validation.values_of(beside)
    validation.check_parameters(path, definition, values, str(beside))
    check_values(path, parameters, values, str(beside))


def check_values(path: Path, parameters: Mapping[str, str], values: bytes, beside: str) -> None:
    """Raise CannotUploadError unless an execution can run with the values that it would have.

    They are those of `parameters`, those of the parameters.json named `beside`, and the DefaultValues of the
    definition at `path`.
    """
    _, definition = _body(path, parameters)
    own, file_values = defaults(walk.parameters(definition)), outcome.json_object(values)
    validation.refuse_illegal_values(
        definition, ("", _given(definition, parameters)), (beside, file_values), (str(path), own)
    )
    # What the deployment sets is not known before the start.
    known = {name: None if is_deployments(name) else value for name, value in {**own, **file_values}.items()}
    validation.refuse_what_aws_refuses(path, definition, known)


def _given(definition: dict[str, Any], parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return the `parameters` of the command line, typed, of a definition that has them as its defaults."""
    return {
        name: value for name, value in defaults(walk.parameters(definition)).items() if name in parameters
    }


def values_beside(s3: Any, bucket: str, key: str, parameters: Mapping[str, str]) -> bytes:
    """Read the parameters.json in the bucket; raise CannotUploadError when it gives one of `parameters`."""
    beside = parameters_key(key)
    try:
        with closing(s3.get_object(Bucket=bucket, Key=beside)["Body"]) as body:
            found: bytes = body.read(validation.VALUES_LIMIT + 1)
    except ClientError as error:
        if error_code(error) not in outcome.MISSING:
            raise
        return b"{}"
    values = outcome.json_object(found)
    twice = [name for name in parameters if name in values]
    if twice:
        given = ", ".join(f"{name}={values[name]!r}" for name in twice)
        raise CannotUploadError(
            f"s3://{bucket}/{beside} gives {given}, which would win: upload another one with "
            f"--parameters FILE, or delete it: aws s3 rm s3://{bucket}/{beside}, in a hardened deployment as "
            "the uploader role"
        )
    return found


def check_start(
    path: Path, parameters: Mapping[str, str], values: bytes, settings: Settings, beside: str
) -> None:
    """Raise CannotUploadError with all that AWS and the deployment's function would refuse the upload for.

    `beside` is the file of the `values`.
    """
    validation.judge(path, _body(path, parameters)[1], values, settings, beside)


def upload_data(s3: Any, bucket: str, data: DataFiles, console: Console) -> str:
    """Upload what is not there yet of a data set that was checked, and return its `s3://` prefix."""
    prefix = f"data/{data.digest()}/"
    present = _present(s3, bucket, prefix)
    missing = [file for file in data.files if present.get(prefix + file.name) != file.size]
    if missing:
        _send(s3, bucket, prefix, missing, console)
    size = decimal(sum(file.size for file in missing))
    noun = "file" if len(missing) == 1 else "files"
    done = f"{len(missing)} {noun} ({size})" if missing else "nothing (all of it is there already)"
    console.print(
        f"Uploaded {done} of {_name(data)} to s3://{bucket}/{prefix}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return f"s3://{bucket}/{prefix}"


def upload_definition(
    s3: Any, bucket: str, path: Path, parameters: Mapping[str, str], name: str | None = None
) -> DefinitionUpload:
    """Upload the definition at `path` with `parameters` as its defaults, and name the object version it got.

    Raises:
        CannotUploadError: The definition is not sound or does not take `parameters` (nothing was uploaded
            then), or the bucket keeps no versions.
    """
    body, _ = _body(path, parameters)
    key = definition_key(name)
    answer = s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json")
    version_id = answer.get("VersionId", "null")
    if version_id == "null":
        raise CannotUploadError(
            f"bucket {bucket} keeps no versions, so one upload cannot be told from another: deploy the stack"
        )
    return DefinitionUpload(bucket, key, version_id)


def definition_key(name: str | None) -> str:
    """Return the S3 key whose upload starts the project's pipeline, or its pipeline `name`."""
    if name is None:
        return "pipeline/pipeline.json"
    if not NAME.fullmatch(name) or len(name) > NAME_LIMIT:
        raise CannotUploadError(
            f"--name {name!r}: write lower-case letters and digits, hyphens between, "
            f"at most {NAME_LIMIT} characters"
        )
    return f"pipeline/{name}/pipeline.json"


def upload_parameters(s3: Any, bucket: str, path: Path, definition_key: str) -> str:
    """Upload `path` as the parameters.json beside a definition, which starts nothing, and return its URL."""
    key = parameters_key(definition_key)
    s3.put_object(Bucket=bucket, Key=key, Body=path.read_bytes(), ContentType="application/json")
    return f"s3://{bucket}/{key}"


def parameters_key(definition_key: str) -> str:
    """Return the key of the values beside a definition."""
    return f"{definition_key.rpartition('/')[0]}/parameters.json"


def _body(path: Path, parameters: Mapping[str, str]) -> tuple[bytes, dict[str, Any]]:
    """Return what is to be uploaded, checked: the file itself, or a copy with other defaults."""
    definition = validation.read_definition(path)
    changed = with_defaults(definition, parameters)
    if changed == definition:
        return path.read_bytes(), definition
    validation.refuse_what_aws_refuses(path, changed)
    return _serialise(changed), changed


def _serialise(definition: Mapping[str, Any]) -> bytes:
    return (json.dumps(definition, indent=2, allow_nan=False) + "\n").encode()


def _name(data: DataFiles) -> str:
    return data.source.name or str(data.source)


def _present(s3: Any, bucket: str, prefix: str) -> dict[str, int]:
    """Map the keys below `prefix` to their sizes; the prefix already names the content."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", [])}


def _send(s3: Any, bucket: str, prefix: str, files: list[DataFile], console: Console) -> None:
    with (
        _progress(console, sum(file.size for file in files)) as advance,
        ThreadPoolExecutor(CONNECTIONS) as pool,
    ):
        sent = [
            pool.submit(s3.upload_file, str(file.path), bucket, prefix + file.name, Callback=advance)
            for file in files
        ]
        try:
            for file, result in zip(files, sent, strict=True):
                _finish(file, result)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class _Result(Protocol):
    def result(self) -> Any: ...


def _finish(file: DataFile, result: _Result) -> None:
    try:
        result.result()
    except (S3UploadFailedError, OSError) as error:
        raise CannotUploadError(
            f"could not upload {file.path}: {error}; run the same command again to go on"
        ) from error


class _Advance(Protocol):
    def __call__(self, count: int, /) -> None: ...


@contextmanager
def _progress(console: Console, total: int) -> Iterator[_Advance]:
    """Show a bar of bytes on a terminal, and nothing elsewhere."""
    columns = (TextColumn("Uploading data"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not is_live(console)) as progress:
        task = progress.add_task("data", total=total)
        yield lambda count: progress.update(task, advance=count)
