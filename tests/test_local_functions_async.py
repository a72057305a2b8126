"""Asynchronous invocations on the laptop: retried, reported to a destination, ended with the laptop."""

import functools
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from botocore.exceptions import ClientError

from laptop_functions import (
    LOGGING,
    SENDING,
    Make,
    call,
    client,
    log_of,
    make_function,
    queue,
    receive,
    running,
)
from local.aws import functions
from local.aws.function_service import FunctionService
from local.aws import LocalAWS


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    with (
        LocalAWS(work_dir=tmp_path_factory.mktemp("aws")) as aws,
        closing(functions.install(aws, retry_speed=600)),
    ):
        yield aws


@pytest.fixture
def make(aws: LocalAWS) -> Make:
    return functools.partial(make_function, aws)


def test_an_asynchronous_failure_is_retried_twice_and_then_reported_to_its_destination(
    aws: LocalAWS, make: Make
) -> None:
    url, arn = queue(aws, "failed")
    name = make("def handler(event, context):\n    raise ValueError('no')\n", statements=(LOGGING, SENDING))
    client(aws, "lambda").put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnFailure": {"Destination": arn}}
    )
    _, answer = call(aws, name, {"key": "value"}, InvocationType="Event")
    assert answer["StatusCode"] == 202
    record = receive(aws, url)
    context = record["requestContext"]
    assert context["condition"] == "RetriesExhausted"
    assert context["approximateInvokeCount"] == 3
    assert context["functionArn"] == f"arn:aws:lambda:us-east-1:123456789012:function:{name}:$LATEST"
    assert record["requestPayload"] == {"key": "value"}
    assert record["responseContext"]["functionError"] == "Unhandled"
    assert record["responsePayload"]["errorMessage"] == "no"
    starts = [line for line in log_of(aws, name) if line.startswith("START")]
    assert len(starts) == 3
    assert all(context["requestId"] in line for line in starts)


def test_an_asynchronous_failure_that_a_retry_heals_reports_success(aws: LocalAWS, make: Make) -> None:
    url, arn = queue(aws, "healed")
    name = make(
        "count = 0\n"
        "def handler(event, context):\n"
        "    global count\n"
        "    count += 1\n"
        "    if count == 1:\n"
        "        raise RuntimeError('once')\n"
        "    return count\n",
        statements=(LOGGING, SENDING),
    )
    client(aws, "lambda").put_function_event_invoke_config(
        FunctionName=name,
        MaximumRetryAttempts=1,
        DestinationConfig={"OnSuccess": {"Destination": arn}, "OnFailure": {"Destination": arn}},
    )
    call(aws, name, {}, InvocationType="Event")
    record = receive(aws, url)
    assert record["requestContext"]["condition"] == "Success"
    assert record["requestContext"]["approximateInvokeCount"] == 2
    assert record["responsePayload"] == 2


def test_an_event_that_would_be_too_old_on_aws_is_given_up(aws: LocalAWS, make: Make) -> None:
    url, arn = queue(aws, "aged")
    name = make("def handler(event, context):\n    1 / 0\n", statements=(LOGGING, SENDING))
    client(aws, "lambda").put_function_event_invoke_config(
        FunctionName=name, MaximumEventAgeInSeconds=60, DestinationConfig={"OnFailure": {"Destination": arn}}
    )
    call(aws, name, {}, InvocationType="Event")
    record = receive(aws, url)
    assert record["requestContext"]["condition"] == "EventAgeExceeded"
    assert record["requestContext"]["approximateInvokeCount"] == 1


def test_a_destination_that_the_role_may_not_send_to_is_refused(aws: LocalAWS, make: Make) -> None:
    _, arn = queue(aws, "forbidden")
    name = make("def handler(event, context): pass\n")
    with pytest.raises(ClientError, match="sqs:SendMessage") as refused:
        client(aws, "lambda").put_function_event_invoke_config(
            FunctionName=name, DestinationConfig={"OnFailure": {"Destination": arn}}
        )
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValueException"
    assert arn in str(refused.value)


def test_closing_ends_every_process_and_what_was_running_is_not_reported_as_success(
    aws: LocalAWS, make: Make, tmp_path: Any
) -> None:
    before = FunctionService.current
    service = functions.install(aws)
    try:
        source = (
            "import os, time\n"
            "def handler(event, context):\n"
            "    with open(event + str(os.getpid()), 'w'): pass\n"
            "    time.sleep(60)\n"
        )
        name = make(source, Timeout=100)
        call(aws, name, str(tmp_path) + "/", InvocationType="Event")
        deadline = time.monotonic() + 20
        while not (started := list(tmp_path.iterdir())) and time.monotonic() < deadline:
            time.sleep(0.05)
        (process,) = [int(path.name) for path in started]
        assert running(process)
        service.close()
        assert not running(process)
        assert not [item for item in threading.enumerate() if item.name.startswith(f"lambda-delivery-{name}")]
    finally:
        FunctionService.current = before


def test_an_event_that_failed_needs_the_functions_rights_on_the_queues_key(
    aws: LocalAWS, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    url, arn = queue(aws, "secret")
    key = client(aws, "kms").create_key()["KeyMetadata"]["Arn"]
    client(aws, "sqs").set_queue_attributes(QueueUrl=url, Attributes={"KmsMasterKeyId": key})
    using = {"Effect": "Allow", "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": key}
    for missing in ("kms:GenerateDataKey", "kms:Decrypt", ""):
        allowed = {**using, "Action": [action for action in using["Action"] if action != missing]}
        name = make(
            "def handler(event, context):\n    raise ValueError\n", statements=(SENDING, LOGGING, allowed)
        )
        client(aws, "lambda").put_function_event_invoke_config(
            FunctionName=name,
            MaximumRetryAttempts=0,
            DestinationConfig={"OnFailure": {"Destination": arn}},
        )
        call(aws, name, missing, InvocationType="Event")
        if not missing:
            assert receive(aws, url)["requestPayload"] == ""
            continue
        deadline = time.monotonic() + 20
        while f"perform: {missing} on resource: {key}" not in caplog.text:
            assert time.monotonic() < deadline, caplog.text
            time.sleep(0.05)
