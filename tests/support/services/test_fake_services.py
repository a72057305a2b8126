"""The in-memory services answer as boto3 does: S3 is held against moto, SageMaker against its boto3 front."""

import itertools
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ParamValidationError
from moto import mock_aws

from tests.support.services.direct_client import DirectClient
from tests.support.services.fake_s3 import FakeS3
from tests.support.services.fake_sagemaker import FakeSageMaker

BUCKET = "cv-birds-123456789012"
DEFINITION = {"Version": "2020-12-01", "Steps": []}
PINNED = ("Versions", "DeleteMarkers", "Contents", "NextKeyMarker", "NextContinuationToken")
"""What an answer must have exactly when the other has it."""


class Script:
    """Calls a client, and remembers the answers in a form that can be compared."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.answers: list[tuple[str, Any]] = []
        self._names: dict[str, str] = {}
        self._count = itertools.count(1)

    def __call__(self, method: str, **given: Any) -> Any:
        try:
            answer = getattr(self.client, method)(**given)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            self.answers.append((method, (error.response["Error"]["Code"], status)))
            return None
        self.answers.append((method, self._plain(answer)))
        return answer

    def pages(self, method: str, **given: Any) -> None:
        for page in self.client.get_paginator(method).paginate(**given):
            self.answers.append((method, self._plain(page)))

    def _plain(self, value: Any) -> Any:
        if isinstance(value, dict):
            dropped = ("ResponseMetadata", "LastModified", "StartTime", "CreationTime", "Owner")
            kept = {name: self._plain(each) for name, each in value.items() if name not in dropped}
            return kept | {
                name: "opaque" for name in kept if name.endswith(("NextToken", "ContinuationToken"))
            }
        if isinstance(value, list):
            return [self._plain(each) for each in value]
        if hasattr(value, "read"):
            return value.read()
        if isinstance(value, str) and (value in self._names or len(value) >= 32):
            # An id is compared by when it was seen first.
            return self._names.setdefault(value, f"id {next(self._count)}")
        return value


def uploads(s3: Script) -> None:
    """Everything that the handler and the worlds ask of S3."""
    here = {"Bucket": BUCKET}
    key = {**here, "Key": "pipeline/pipeline.json"}
    first = s3("put_object", **key, Body=b"first")["VersionId"]
    second = s3("put_object", **key, Body=b"second")["VersionId"]
    for given in ({}, {"VersionId": first}, {"VersionId": second}):
        s3("get_object", **key, **given)
        s3("head_object", **key, **given)
    marker = s3("delete_object", **key)["VersionId"]
    # The marker itself is left out: moto knows no such version, where S3 answers 405 MethodNotAllowed.
    for given in ({}, {"VersionId": first}):
        s3("get_object", **key, **given)
    s3("head_object", **key)
    s3("list_objects_v2", **here, Prefix="pipeline/")
    source = f"{BUCKET}/pipeline/pipeline.json?versionId={first}"
    s3("copy_object", **here, Key="pipeline/night/pipeline.json", CopySource=source)
    s3("put_object", **here, Key="verdicts/v.json", Body=b"{}", IfNoneMatch="*")
    s3("put_object", **here, Key="verdicts/v.json", Body=b"[]", IfNoneMatch="*")
    s3("put_object", **here, Key="pipeline/other", Body=b"")
    s3("put_object", **key, Body=b"third")
    for limit in (1, 2, 3, 1000):
        s3("list_object_versions", **here, Prefix="pipeline/", MaxKeys=limit)
        s3("list_objects_v2", **here, Prefix="pipeline/", MaxKeys=limit)
        paging = {"PageSize": limit}
        if not isinstance(s3.client, DirectClient):
            s3.pages("list_object_versions", **here, PaginationConfig=paging)
            s3.pages("list_objects_v2", **here, PaginationConfig=paging)
        else:
            s3.pages("list_object_versions", **here, MaxKeys=limit)
            s3.pages("list_objects_v2", **here, MaxKeys=limit)
    s3("delete_object", **key, VersionId=second)
    s3("get_object", **key, VersionId=second)
    s3.client.delete_object(**key, VersionId=marker)  # S3 answers DeleteMarker=True, moto does not
    s3("list_object_versions", **here, Prefix="pipeline/pipeline.json")
    s3("list_object_versions", **here, Prefix="nothing/")
    s3("list_objects_v2", **here, Prefix="nothing/")
    s3("get_object", Bucket="somebody-elses", Key="x")


def pipelines(sagemaker: Script) -> None:
    """Everything that the handler and the worlds ask of SageMaker."""
    name, token = {"PipelineName": "cv-birds"}, {"ClientRequestToken": "t" * 40}
    definition = {"PipelineDefinition": json.dumps(DEFINITION), "RoleArn": "arn:aws:iam::123456789012:role/r"}
    sagemaker("update_pipeline", **name, **definition)
    sagemaker("list_pipeline_executions", **name)
    sagemaker("create_pipeline", **name, **definition, **token)
    sagemaker("create_pipeline", **name, **definition, **token)
    sagemaker("create_pipeline", **name, **definition, ClientRequestToken="u" * 40)
    sagemaker("update_pipeline", **name, **definition)
    changed = {**definition, "PipelineDefinition": json.dumps({**DEFINITION, "Parameters": []})}
    sagemaker("update_pipeline", **name, **changed)
    sagemaker("describe_pipeline", **name)
    sagemaker("describe_pipeline", **name, PipelineVersionId=1)
    sagemaker("describe_pipeline", **name, PipelineVersionId=3)
    sagemaker("list_pipeline_versions", **name, SortOrder="Ascending", MaxResults=1)
    start = {**name, "PipelineExecutionDescription": "why", "PipelineParameters": []}
    arns = []
    for number, version in enumerate((1, 1, 2, 3)):
        again = {"PipelineVersionId": version, "ClientRequestToken": f"{min(number, 1) + number // 2:040}"}
        answer = sagemaker("start_pipeline_execution", **start, **again)
        arns += [answer["PipelineExecutionArn"]] if answer else []
    wrong = [{"Name": "Epochs", "Value": "3"}]
    sagemaker("start_pipeline_execution", **name, ClientRequestToken="w" * 40, PipelineParameters=wrong)
    sagemaker(
        "list_pipeline_executions", **name, SortBy="CreationTime", SortOrder="Descending", MaxResults=100
    )
    for moment in (datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(hours=1)):
        sagemaker("list_pipeline_executions", **name, CreatedAfter=moment)
        sagemaker("list_pipeline_executions", **name, CreatedBefore=moment)
    sagemaker.pages("list_pipeline_executions", **name, MaxResults=1)
    sagemaker.pages("list_pipeline_versions", **name, MaxResults=1)
    sagemaker("describe_pipeline_execution", PipelineExecutionArn=arns[0])
    sagemaker("list_pipeline_parameters_for_execution", PipelineExecutionArn=arns[0])
    for token_of_stop in ("x", "x", "y"):
        stop = {"PipelineExecutionArn": arns[0], "ClientRequestToken": token_of_stop * 40}
        sagemaker("stop_pipeline_execution", **stop)
    sagemaker("describe_pipeline_execution", PipelineExecutionArn=arns[0])
    sagemaker("describe_pipeline_execution", PipelineExecutionArn=f"{arns[0][:-1]}9")


def agree(ours: Any, theirs: Any) -> bool:
    """Return whether an answer says nothing else than the other, which may say more."""
    if isinstance(ours, dict):
        same = all((name in ours) == (name in theirs) for name in PINNED)
        return same and all(name in theirs and agree(each, theirs[name]) for name, each in ours.items())
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(agree, ours, theirs))
    return bool(ours == theirs)


def compare(ours: Script, theirs: Script) -> None:
    for (method, mine), (_, yours) in zip(ours.answers, theirs.answers, strict=True):
        assert agree(mine, yours), f"{method}: {mine} is not {yours}"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    with mock_aws():
        yield lambda service: boto3.client(service, region_name="us-east-1")


def test_s3_answers_as_moto_does(client: Callable[[str], Any]) -> None:
    moto = client("s3")
    moto.create_bucket(Bucket=BUCKET)
    moto.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    ours, theirs = Script(DirectClient("s3", FakeS3(BUCKET), strict=True)), Script(moto)

    for script in (theirs, ours):
        uploads(script)

    compare(ours, theirs)


def test_sagemaker_answers_directly_as_it_does_behind_boto3(client: Callable[[str], Any]) -> None:
    behind, boto = FakeSageMaker(), client("sagemaker")
    behind.attach(boto)
    ours, theirs = Script(DirectClient("sagemaker", FakeSageMaker(), strict=True)), Script(boto)

    for script in (theirs, ours):
        pipelines(script)

    compare(ours, theirs)
    compare(theirs, ours)


def test_sequencers_grow_as_s3_compares_them_and_differ_in_length() -> None:
    s3 = FakeS3(BUCKET)
    sequencers = [s3.put("k", b"")["s3"]["object"]["sequencer"] for _ in range(300)]

    assert len({len(each) for each in sequencers}) > 2
    padded = [each.ljust(16, "0") for each in sequencers]
    assert padded == sorted(set(padded))
    assert [int(each, 16) for each in sequencers] != sorted(int(each, 16) for each in sequencers)


def test_a_list_of_executions_may_lag_behind() -> None:
    sagemaker = FakeSageMaker(lag=2)
    client = DirectClient("sagemaker", sagemaker)
    client.create_pipeline(
        PipelineName="p", PipelineDefinition=json.dumps(DEFINITION), RoleArn="r", ClientRequestToken="c"
    )
    client.start_pipeline_execution(PipelineName="p", ClientRequestToken="s")

    shown = [client.list_pipeline_executions(PipelineName="p")["PipelineExecutionSummaries"] for _ in "123"]

    assert list(map(len, shown)) == [0, 0, 1]


def test_a_strict_client_refuses_what_botocore_refuses() -> None:
    client = DirectClient("sagemaker", FakeSageMaker(), strict=True)
    with pytest.raises(ParamValidationError, match="PipelineVersionId"):
        client.start_pipeline_execution(PipelineName="p", ClientRequestToken="s" * 40, PipelineVersionId="1")
    with pytest.raises(ParamValidationError, match="Missing required parameter"):
        client.stop_pipeline_execution()
    with pytest.raises(ParamValidationError, match="Pipeline_Name"):
        client.describe_pipeline(PipelineName="p", Pipeline_Name="p")
