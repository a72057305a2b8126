"""What became of an upload: the verdict that the function leaves beside it, read and told in lines.

docs/operations.md says what each verdict means and what to do about it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any

from botocore.exceptions import ClientError

from ops.errors import DENIED, error_code
from upload_trigger import verdicts
from upload_trigger.definition.loading import Problem
from upload_trigger.verdicts import FAILED, KINDS, REJECTED, STARTED, SUPERSEDED

Verdict = Mapping[str, Any]
"""The JSON object of `verdicts/<key>/<versionId>.json`."""

MISSING = DENIED | {"NoSuchKey", "404", "403"}
"""What S3 answers for an object that is not there: 403 to whoever may not list the bucket."""
REDRIVE = "When the cause is mended: cv-pipeline redrive"
SHORT = 8  # characters of a version id that tell it from its neighbours


def read(s3: Any, bucket: str, key: str, version_id: str) -> Verdict | None:
    """Return the verdict on one object version, None while there is none."""
    try:
        return load(s3, bucket, verdicts.key(key, version_id))
    except ClientError as error:
        if error_code(error) not in MISSING:
            raise
        return None


def load(s3: Any, bucket: str, key: str) -> Verdict | None:
    """Return the verdict at a key that was listed, None when it is none after all."""
    with closing(s3.get_object(Bucket=bucket, Key=key)["Body"]) as body:
        verdict = json_object(body.read(verdicts.MAX_BYTES))
    return verdict if verdict.get("verdict") in KINDS else None


def lines(verdict: Verdict) -> list[str]:
    """Tell a verdict: what it is and of which upload, and below it everything to know about it."""
    return [f"{verdict.get('verdict')}  {upload(verdict)}", *details(verdict)]


def upload(verdict: Verdict) -> str:
    """Name the upload that a verdict is about."""
    return f"s3://{verdict.get('bucket')}/{verdict.get('key')} (version {verdict.get('versionId')})"


def details(verdict: Verdict) -> list[str]:
    """Tell everything that a verdict holds beside the upload's name, each line indented."""
    said = {STARTED: _started, SUPERSEDED: _superseded, FAILED: _failed}.get(verdict["verdict"], _rejected)
    return [f"  {line}" for line in (*said(verdict), *warnings(verdict))]


def reasons(verdict: Verdict) -> list[str]:
    """List why an upload was rejected or failed, as validating it would tell."""
    found = _problems(verdict, "reasons")
    return [str(each) if verdict["verdict"] == REJECTED else each.message for each in found]


def warnings(verdict: Verdict) -> Iterator[str]:
    """Tell what the function let pass although it does not know it."""
    for each in _problems(verdict, "warnings"):
        yield f"warning: {each if each.pointer else each.message}"


def superseded_by(verdict: Verdict) -> Mapping[str, Any]:
    """Return the versionId and the executionArn of the upload that started instead."""
    newer = verdict.get("supersededBy")
    return newer if isinstance(newer, dict) else {}


def cost(dollars: float) -> str:
    """Say what an execution can cost at most."""
    return f"at most {dollars:,.2f} USD"


def short(version_id: str) -> str:
    """Return as much of a version id as tells it from others in a table."""
    return version_id[:SHORT]


def counts(made: Iterable[Verdict], none: str = "nothing was without a verdict") -> str:
    """Sum up verdicts in one phrase, such as `3 uploads settled: 1 STARTED, 2 SUPERSEDED`."""
    found = Counter(str(each.get("verdict")) for each in made)
    if not found:
        return none
    listed = ", ".join(f"{found[kind]} {kind}" for kind in KINDS if found[kind])
    return f"{counted(found.total(), 'upload')} settled: {listed}"


def counted(number: int, noun: str) -> str:
    """Write a number of things: `1 upload`, `2 uploads`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def json_object(text: str | bytes) -> dict[str, Any]:
    """Read a JSON object; anything else, which somebody else may have written, is an empty one."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _problems(verdict: Verdict, member: str) -> list[Problem]:
    listed = verdict.get(member)
    found = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    return [Problem(str(each.get("pointer", "")), str(each.get("message"))) for each in found]


def _started(verdict: Verdict) -> list[str]:
    said = [f"execution {verdict.get('executionArn')}", f"pipeline {verdict.get('pipelineName')}"]
    if "pipelineVersionId" in verdict:
        said[1] += f", version {verdict['pipelineVersionId']}"
    parameters = verdict.get("parameters")
    if isinstance(parameters, dict) and "InputDataUrl" in parameters:
        digest = parameters.get("InputDataDigest")
        said.append(f"reads {parameters['InputDataUrl']}" + (f", digest {digest}" if digest else ""))
    if isinstance(verdict.get("worstCaseCostUSD"), int | float):
        said.append(f"costs {cost(verdict['worstCaseCostUSD'])}")
    return said


def _superseded(verdict: Verdict) -> list[str]:
    newer = superseded_by(verdict)
    return [f"version {newer.get('versionId')}, uploaded later, has started: {newer.get('executionArn')}"]


def _rejected(verdict: Verdict) -> list[str]:
    return reasons(verdict)


def _failed(verdict: Verdict) -> list[str]:
    return [*reasons(verdict), REDRIVE]
