"""rollback: an earlier version is restored as a new upload, or started as it is."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from ops import __main__ as cli
from tests.support.ops.deployment import BUCKET, KEY, MotoDeployment, definition, deployment
from upload_trigger.handler import handler

__all__ = ["deployment"]  # a fixture

Captured = pytest.CaptureFixture[str]
EPOCHS = [{"Name": "Epochs", "Type": "Integer", "DefaultValue": 20}]


def rollback(capsys: Captured, *arguments: str) -> tuple[int, str]:
    """Run the command and give its exit code with everything that it said."""
    capsys.readouterr()
    code = cli.run(["rollback", *arguments])
    said = capsys.readouterr()
    return code, said.out + said.err


def succeed(deployment: MotoDeployment, *versions: int) -> None:
    """Let the executions of these versions have Succeeded, and all others have Failed."""
    for execution in deployment.sagemaker.executions:
        execution.status = "Succeeded" if execution.version in versions else "Failed"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return what lets somebody sit at the terminal and answer this."""

    def answers(text: str) -> None:
        monkeypatch.setattr("sys.stdin", Terminal(f"{text}\n"))

    return answers


class Terminal(io.StringIO):
    """Somebody who answers."""

    def isatty(self) -> bool:
        return True


def messages(deployment: MotoDeployment, pipeline: str = "cv-birds") -> list[str]:
    """Return the message of each of the pipeline's versions, which tells the definitions apart."""
    versions = deployment.sagemaker.pipelines[pipeline].versions
    return [json.loads(text)["Steps"][0]["Arguments"]["ErrorMessage"] for text in versions]


def test_the_version_before_the_newest_is_uploaded_again_and_started(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    first = deployment.put(definition("first"))
    deployment.put(definition("second"))
    succeed(deployment, 1)

    code, said = rollback(capsys)

    newest = deployment.uploaded()[0]
    bodies = [deployment.s3.get_object(Bucket=BUCKET, Key=KEY, VersionId=each) for each in (first, newest)]
    assert bodies[0]["Body"].read() == bodies[1]["Body"].read()
    assert code == 0
    assert "Uploaded version 1 of pipeline cv-birds once more" in said
    assert f"STARTED  s3://{BUCKET}/{KEY} (version {newest})" in said
    assert messages(deployment) == ["first", "second", "first"]
    assert [each.version for each in deployment.sagemaker.executions] == [1, 2, 3]


def test_rolling_back_twice_brings_back_what_there_was(deployment: MotoDeployment, capsys: Captured) -> None:
    deployment.put(definition("first"))
    deployment.put(definition("second"))
    for _ in range(2):
        succeed(deployment, 1, 2, 3)
        assert rollback(capsys)[0] == 0
    assert messages(deployment) == ["first", "second", "first", "second"]


def test_rolled_back_to_what_works_there_is_nothing_to_bring_back_that_does(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    """Version 3 is version 1 once more: going back to that would be going nowhere."""
    deployment.put(definition("first"))
    deployment.put(definition("second"))
    succeed(deployment, 1)
    assert rollback(capsys)[0] == 0
    succeed(deployment, 1, 3)
    code, said = rollback(capsys)
    assert code == 2
    assert "No version before version 3 has an execution that Succeeded" in said
    assert "cv-pipeline rollback 2" in said


def test_it_is_the_newest_version_whose_execution_succeeded_and_says_why(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    for message in ("first", "second", "third", "fourth", "fifth"):
        deployment.put(definition(message))
    succeed(deployment, 1, 2, 5)
    code, said = rollback(capsys)
    assert code == 0
    assert "Version 2 is the newest before version 5 with an execution that Succeeded, which versions" in said
    assert "3 and 4 had not" in said
    assert deployment.sagemaker.executions[1].arn in said.replace("\n", "")
    assert messages(deployment)[-1] == "second"


@pytest.mark.parametrize("options", [(), ("--start-only",)])
def test_where_none_has_succeeded_and_nobody_can_be_asked_nothing_is_started(
    deployment: MotoDeployment, capsys: Captured, options: tuple[str, ...]
) -> None:
    deployment.put(definition("first"))
    deployment.put(definition("second"))
    succeed(deployment)
    code, said = rollback(capsys, *options)
    assert code == 2
    assert "Version 1 has never Succeeded: its last execution" in said
    assert " ".join(["say cv-pipeline rollback 1", *options]) in said.replace("\n", " ")
    assert len(deployment.uploaded()) == len(deployment.sagemaker.executions) == 2


def test_where_none_has_succeeded_the_person_is_asked(
    deployment: MotoDeployment, capsys: Captured, terminal: Callable[[str], None]
) -> None:
    deployment.put(definition("first"))
    deployment.put(definition("second"))
    terminal("n")
    code, said = rollback(capsys)
    assert (code, len(deployment.uploaded())) == (2, 2)
    assert "Go back to version 1 all the same?" in said
    assert "nothing was started" in said
    terminal("y")
    assert rollback(capsys)[0] == 0
    assert messages(deployment)[-1] == "first"


def test_a_version_that_is_named_is_taken_and_its_failures_are_told(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    deployment.put(definition("first"))
    deployment.put(definition("second"))
    succeed(deployment)
    code, said = rollback(capsys, "1")
    assert code == 0
    assert "Version 1 has never Succeeded" in said
    assert messages(deployment)[-1] == "first"


def test_a_rejected_upload_in_between_is_no_version(deployment: MotoDeployment, capsys: Captured) -> None:
    deployment.put(definition("first"))
    deployment.put(definition("second"))
    deployment.put({"Version": "2020-12-01", "Steps": [{"Name": "A", "Type": "Lambda"}]})
    succeed(deployment, 1)
    assert rollback(capsys)[0] == 0
    assert messages(deployment)[-1] == "first"


def test_a_version_is_named_by_its_number_or_by_its_upload(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    uploads = [deployment.put(definition(message)) for message in ("first", "second", "third")]
    assert rollback(capsys, "1")[0] == 0
    assert messages(deployment)[-1] == "first"
    assert rollback(capsys, uploads[1])[0] == 0
    assert messages(deployment)[-1] == "second"
    assert rollback(capsys, uploads[2][:8])[0] == 0
    assert messages(deployment)[-1] == "third"


def test_an_unknown_version_lists_the_known_ones_and_uploads_nothing(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    deployment.put(definition("first"))
    deployment.put(definition("second"))
    for unknown in ("7", "no-such-upload", "0"):
        code, said = rollback(capsys, unknown)
        assert code == 2
        assert f"no version {unknown} that ever ran; it has: 2 (last 2" in said
        assert ", 1 (last 2" in said
        assert "cv-pipeline history" in said
    assert len(deployment.uploaded()) == 2


@pytest.mark.parametrize("uploads", [0, 1])
def test_without_an_earlier_version_there_is_nothing_to_go_back_to(
    deployment: MotoDeployment, capsys: Captured, uploads: int
) -> None:
    for _ in range(uploads):
        deployment.put(definition())
        deployment.put(definition())  # the same again is the same version
    code, said = rollback(capsys)
    assert code == 2
    assert "no version before the newest one" in said


def test_a_version_whose_upload_has_expired_comes_from_sagemaker(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    first = deployment.put(definition("first"))
    deployment.put(definition("second"))
    deployment.s3.delete_object(Bucket=BUCKET, Key=KEY, VersionId=first)
    assert rollback(capsys, "1")[0] == 0
    assert messages(deployment) == ["first", "second", "first"]


def test_a_version_stored_by_hand_can_be_restored_too(deployment: MotoDeployment, capsys: Captured) -> None:
    deployment.put(definition("first"))
    deployment.sagemaker.pipelines["cv-birds"].versions.append(json.dumps(definition("by hand")))
    deployment.put(definition("third"))
    assert rollback(capsys, "2")[0] == 0
    assert messages(deployment)[-1] == "by hand"


def test_a_copy_that_is_rejected_today_says_why_and_ends_with_1(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    deployment.put(definition("first"))
    deployment.put(definition("second"))
    succeed(deployment, 1)
    deployment.put(b'{"Epochs": 3}', "pipeline/parameters.json")
    code, said = rollback(capsys)
    assert code == 1
    assert "REJECTED" in said
    assert "\n  parameters.json#/Epochs: " in said
    assert messages(deployment) == ["first", "second"]


def test_values_that_differ_from_the_execution_then_are_told(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    deployment.put(b'{"Epochs": 3}', "pipeline/parameters.json")
    deployment.put(definition("first", EPOCHS))
    deployment.put(b'{"Epochs": 5}', "pipeline/parameters.json")
    deployment.put(definition("second", EPOCHS))
    succeed(deployment, 1)
    code, said = rollback(capsys)
    assert code == 0
    assert "Other than the execution then: Epochs is '5', was '3'" in said


def test_another_pipeline_is_rolled_back_by_name(deployment: MotoDeployment, capsys: Captured) -> None:
    for message in ("first", "second"):
        deployment.put(definition(message), "pipeline/trial/pipeline.json")
    deployment.put(definition("mine"))
    succeed(deployment, 1)
    assert rollback(capsys, "--name", "trial")[0] == 0
    assert messages(deployment, "cv-birds-trial")[-1] == "first"
    assert messages(deployment) == ["mine"]


def test_without_waiting_the_upload_is_all(deployment: MotoDeployment, capsys: Captured) -> None:
    deployment.put(definition("first"))
    deployment.put(definition("second"))
    succeed(deployment, 1)
    deployment.delivers = False
    code, said = rollback(capsys, "--no-wait")
    assert code == 0
    assert "STARTED" not in said
    assert len(deployment.uploaded()) == 3


def test_start_only_starts_the_pinned_version_and_leaves_the_newest_in_place(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    deployment.put(b'{"Epochs": 3}', "pipeline/parameters.json")
    deployment.put(definition("first", EPOCHS))
    deployment.put(definition("second", EPOCHS))
    succeed(deployment, 1)

    code, said = rollback(capsys, "--start-only")

    execution = deployment.sagemaker.executions[-1]
    assert code == 0
    assert f"Started version 1 of pipeline cv-birds as it is: {execution.arn}" in said
    assert f"cv-pipeline watch {execution.arn}" in said
    assert (execution.version, execution.parameters["Epochs"]) == (1, "3")
    assert messages(deployment) == ["first", "second"]
    assert len(deployment.uploaded()) == 2


def test_start_only_takes_the_parameters_of_the_last_execution(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    for epochs in (3, 5):
        deployment.put(json.dumps({"Epochs": epochs}).encode(), "pipeline/parameters.json")
        deployment.put(definition("same", EPOCHS))
    assert rollback(capsys, "1", "--start-only")[0] == 0
    assert deployment.sagemaker.executions[-1].parameters["Epochs"] == "5"


def test_start_only_prefers_the_parameters_that_succeeded(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    for epochs in (3, 5, 7):
        deployment.put(json.dumps({"Epochs": epochs}).encode(), "pipeline/parameters.json")
        deployment.put(definition("same", EPOCHS))
    for execution, status in zip(
        deployment.sagemaker.executions, ("Succeeded", "Succeeded", "Failed"), strict=True
    ):
        execution.status = status
    assert rollback(capsys, "1", "--start-only")[0] == 0
    assert deployment.sagemaker.executions[-1].parameters["Epochs"] == "5"


def test_start_only_leaves_out_empty_values_which_sagemaker_refuses_at_a_start(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    deployment.put(definition("first", [*EPOCHS, {"Name": "Key", "Type": "String", "DefaultValue": ""}]))
    assert rollback(capsys, "1", "--start-only")[0] == 0
    again = deployment.sagemaker.executions[-1]
    assert "Key" not in again.parameters
    assert again.values["Key"] == ""


def test_start_only_of_what_never_ran_says_what_to_do_instead(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    deployment.put(definition("first"))
    deployment.sagemaker.pipelines["cv-birds"].versions.append(json.dumps(definition("by hand")))
    code, said = rollback(capsys, "2", "--start-only")
    assert code == 2
    assert "`cv-pipeline rollback 2`" in said


def test_an_execution_started_alone_is_not_taken_for_the_uploads(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    """The handler looks for an upload's own execution by its description."""
    deployment.put(definition("first"))
    deployment.put(definition("second"))
    rollback(capsys, "1", "--start-only")
    deployment.s3.delete_object(Bucket=BUCKET, Key=f"verdicts/{KEY}/{deployment.uploaded()[1]}.json")
    verdicts: list[dict[str, Any]] = handler({"reconcile": {}}, None)
    assert [each["executionArn"] for each in verdicts if each["verdict"] == "STARTED"] == [
        deployment.sagemaker.executions[0].arn
    ]
