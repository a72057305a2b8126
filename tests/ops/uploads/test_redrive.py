"""failures, redrive, reconcile: what failed is listed, tried again, and settled once."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ops import __main__ as cli
from tests.support.delivery.handler_uploads import record
from tests.support.ops.deployment import BUCKET, KEY, MotoDeployment, definition, deployment

__all__ = ["deployment"]  # a fixture

Captured = pytest.CaptureFixture[str]


def run(capsys: Captured, *arguments: str) -> tuple[int, str]:
    """Run a command and give its exit code with everything that it said."""
    capsys.readouterr()
    code = cli.run(list(arguments))
    said = capsys.readouterr()
    return code, said.out + said.err


def test_nothing_failed_is_said(deployment: MotoDeployment, capsys: Captured) -> None:
    deployment.put(definition())
    assert run(capsys, "failures") == (
        0,
        "Nothing failed: the failure queue is empty and no verdict is FAILED\n",
    )


def test_failures_lists_what_is_queued_and_what_failed_and_takes_nothing(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    deployment.put(definition("first"))
    deployment.throttle()
    throttled = deployment.put(definition("second"))
    deployment.deny()
    denied = deployment.put(definition(), "pipeline/trial/pipeline.json")

    for _ in range(2):
        code, said = run(capsys, "failures")
        queued, failed = (
            next(line for line in said.splitlines() if line.startswith(kind)) for kind in ("queue", "verdict")
        )
        assert code == 0
        assert f"s3://{BUCKET}/{KEY} (version {throttled})" in queued
        assert "ThrottlingException" in queued
        assert f"s3://{BUCKET}/pipeline/trial/pipeline.json (version {denied})" in failed
        assert "iam:PassRole" in failed
        assert "cv-pipeline redrive" in said
        assert deployment.queued() == (1, 0), "whoever looks next sees the message at once"


def test_failures_tells_how_often_a_message_was_received(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    deployment.throttle()
    deployment.put(definition())
    counts = []
    for _ in range(3):
        header, row, *_ = run(capsys, "failures")[1].splitlines()
        counts.append(row[header.index("received") :].split()[0])
    assert counts == ["1", "2", "3"]


def test_more_messages_than_one_request_brings_are_all_listed(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    for number in range(23):
        deployment.fail({"Records": [record(KEY, f"version-{number}")]}, RuntimeError("no"))
    said = run(capsys, "failures")[1]
    assert all(f"(version version-{number})" in said for number in range(23))
    assert deployment.queued() == (23, 0)


def test_messages_that_hold_no_upload_are_named_as_what_they_are(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    deployment.sqs.send_message(QueueUrl=deployment.queue_url, MessageBody="somebody else's")
    deployment.fail({"reconcile": {"minimumAgeSeconds": 900}}, RuntimeError("too slow"))
    said = run(capsys, "failures")[1]
    assert "which holds no event" in said
    assert "a reconciliation" in said
    assert "RuntimeError: too slow" in said


def test_redrive_settles_what_was_given_up_and_empties_the_queue(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    deployment.throttle()
    version = deployment.put(definition())
    assert not deployment.sagemaker.executions

    code, said = run(capsys, "redrive")

    (execution,) = deployment.sagemaker.executions
    assert code == 0
    assert f"STARTED  s3://{BUCKET}/{KEY} (version {version})\n  execution {execution.arn}\n" in said
    assert said.endswith("1 event replayed, 0 left in the queue; 1 upload settled: 1 STARTED\n")
    assert deployment.queued() == (0, 0)


def test_redrive_done_twice_starts_nothing_twice(deployment: MotoDeployment, capsys: Captured) -> None:
    deployment.throttle()
    deployment.put(definition())
    event = {"Records": [deployment.records[deployment.uploaded()[0]]]}
    deployment.fail(event, RuntimeError("a duplicate"))

    assert run(capsys, "redrive")[0] == 0
    assert run(capsys, "redrive") == (0, "The failure queue was empty; nothing was without a verdict\n")
    assert len(deployment.sagemaker.executions) == 1


def test_redrive_tries_failed_uploads_again(deployment: MotoDeployment, capsys: Captured) -> None:
    deployment.deny()
    deployment.put(definition())
    code, said = run(capsys, "redrive")
    assert code == 0
    assert "The failure queue was empty; 1 upload settled: 1 STARTED" in said
    assert len(deployment.sagemaker.executions) == 1


def test_what_fails_still_stays_in_the_queue_and_is_said(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    broken = {"Records": [{"eventVersion": "3.0"}]}
    deployment.fail(broken, RuntimeError("of yesterday"))
    deployment.sqs.send_message(QueueUrl=deployment.queue_url, MessageBody="somebody else's")

    code, said = run(capsys, "redrive")

    assert code == 1
    assert said.count("Still failing, and left in the queue") == 2
    assert "StartError" in said
    assert "holds no event" in said
    assert "2 events replayed, 2 left in the queue; nothing was without a verdict" in said
    assert deployment.queued() == (2, 0)


def test_an_upload_that_failed_again_ends_with_1(deployment: MotoDeployment, capsys: Captured) -> None:
    deployment.deny()
    deployment.put(definition())
    deployment.deny()
    code, said = run(capsys, "redrive")
    assert code == 1
    assert "FAILED" in said
    assert "iam:PassRole" in said


def test_a_message_whose_upload_reconciling_settled_does_not_stay(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    deployment.throttle(2)  # the delivery's and the replay's
    deployment.put(definition())
    code, said = run(capsys, "redrive")
    assert code == 0
    assert "1 event replayed, 0 left in the queue; 1 upload settled: 1 STARTED" in said
    assert deployment.queued() == (0, 0)


def test_a_refused_invocation_leaves_every_message_in_sight(
    deployment: MotoDeployment, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        error = {
            "Code": "AccessDeniedException",
            "Message": "not authorized to perform: lambda:InvokeFunction",
        }
        raise ClientError({"Error": error}, "Invoke")

    deployment.fail({"Records": []}, RuntimeError("no"))
    monkeypatch.setattr(deployment.function, "invoke", refuse)
    code, said = run(capsys, "redrive")
    assert code == 2
    assert "AWS refused Invoke: not authorized to perform: lambda:InvokeFunction" in said
    assert deployment.queued() == (1, 0)


def test_reconcile_settles_what_has_no_verdict_and_sums_up(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    deployment.delivers = False
    for message in ("first", "second", "third"):
        deployment.put(definition(message))
    code, said = run(capsys, "reconcile")
    assert code == 0
    assert said.endswith("3 uploads settled: 1 STARTED, 2 SUPERSEDED\n")
    assert deployment.function.events == [{"reconcile": {"failed": False}}]
    assert run(capsys, "reconcile") == (0, "nothing was without a verdict\n")


def test_reconcile_shows_every_reason_of_a_rejection(deployment: MotoDeployment, capsys: Captured) -> None:
    deployment.delivers = False
    deployment.put({"Version": "2020-12-01", "Steps": [{"Name": "A", "Type": "Fale"}], "Parameters": 7})
    code, said = run(capsys, "reconcile")
    assert code == 0, "a rejection is a settled upload"
    assert "\n  /Steps/0/Type: " in said
    assert "\n  /Parameters: " in said


def test_reconcile_ends_with_1_when_an_upload_fails(deployment: MotoDeployment, capsys: Captured) -> None:
    deployment.put(definition("first"))
    deployment.delivers = False
    deployment.put(definition("second"))
    deployment.deny()
    code, said = run(capsys, "reconcile")
    assert code == 1
    assert "1 upload settled: 1 FAILED" in said
    assert "cv-pipeline redrive" in said


def test_a_function_that_runs_out_of_time_is_asked_to_go_on(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    deployment.delivers = False
    deployment.put(definition())
    deployment.function.timeouts = 2
    assert run(capsys, "reconcile")[0] == 0
    assert len(deployment.function.events) == 3
    deployment.function.timeouts = 10_000
    code, said = run(capsys, "reconcile")
    assert code == 1
    assert "run the command again" in said


def test_an_error_of_the_function_is_told_with_its_log_group(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    def broken(**_: Any) -> dict[str, Any]:
        payload = json.dumps({"errorType": "Sandbox.Timedout", "errorMessage": "timed out after 300 seconds"})
        return {"FunctionError": "Unhandled", "Payload": io.BytesIO(payload.encode())}

    deployment.function.invoke = broken  # type: ignore[method-assign]
    code, said = run(capsys, "reconcile")
    assert code == 1
    assert "Sandbox.Timedout: timed out after 300 seconds" in said
    assert "/aws/lambda/cv-birds-start-execution" in said


def test_a_function_that_always_fails_leaves_everything_and_is_told(
    deployment: MotoDeployment, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DEPLOYMENT_POLICY")
    deployment.put(definition())
    code, said = run(capsys, "redrive")
    assert code == 1
    assert "The function could not settle the rest: StartError: SettingsError: " in said
    assert "1 event replayed, 1 left in the queue; nothing was settled" in said
    assert deployment.queued() == (1, 0)
