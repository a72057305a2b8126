"""What becomes of each upload: its verdict, whatever the order and the number of its events."""

import json
import logging
from typing import Any

import pytest

from tests.support.delivery.handler_uploads import (
    BUCKET,
    KEY,
    HandlerBench,
    bench,
    definition,
    handle,
    reconcile,
    services,
)
from tests.support.services.fake_sagemaker import FakeServiceError, Fault
from upload_trigger import handler
from upload_trigger.handler import StartError

__all__ = ["bench", "services"]  # fixtures

EPOCHS: list[dict[str, Any]] = [
    {"Name": "Epochs", "Type": "Integer", "DefaultValue": 3},
    {"Name": "Backbone", "Type": "String", "DefaultValue": "small", "EnumValues": ["small", "large"]},
    {"Name": "ArtifactBucket", "Type": "String"},
]


def version(upload: dict[str, Any]) -> str:
    return str(upload["s3"]["object"]["versionId"])


def latest(bench: HandlerBench, pipeline: str = "cv-birds") -> Any:
    return json.loads(bench.sagemaker.pipelines[pipeline].versions[-1])


def test_a_started_upload_is_told_its_execution_and_what_it_started_with(bench: HandlerBench) -> None:
    upload = bench.put(definition(parameters=EPOCHS))
    handle(upload)

    verdict = bench.verdict(upload)

    (execution,) = bench.sagemaker.executions
    assert verdict["verdict"] == "STARTED"
    assert verdict["executionArn"] == execution.arn
    assert execution.parameters == {"ArtifactBucket": BUCKET}
    assert verdict["parameters"] == {"Epochs": "3", "Backbone": "small", "ArtifactBucket": BUCKET}
    origin = {name: verdict[name] for name in ("bucket", "key", "versionId", "sequencer", "sha256")}
    assert origin == json.loads(execution.description)


def test_an_older_event_that_comes_late_is_superseded_and_not_run(bench: HandlerBench) -> None:
    old, new = bench.put(definition("old")), bench.put(definition("new"))
    handle(new)

    (verdict,) = handle(old)

    (execution,) = bench.sagemaker.executions
    assert verdict["verdict"] == "SUPERSEDED"
    assert verdict["supersededBy"] == {"versionId": version(new), "executionArn": execution.arn}
    assert latest(bench) == definition("new")


def test_sequencers_of_different_length_are_compared_as_s3_pads_them(bench: HandlerBench) -> None:
    old, new = bench.put(definition("old")), bench.put(definition("new"))
    old["s3"]["object"]["sequencer"], new["s3"]["object"]["sequencer"] = "0061E7F", "0061E8"
    handle(new)

    assert handle(old)[0]["verdict"] == "SUPERSEDED"


def test_an_invalid_newer_upload_supersedes_nothing(bench: HandlerBench) -> None:
    old, broken = bench.put(definition("old")), bench.put(b"{")
    handle(broken)

    assert handle(old)[0]["verdict"] == "STARTED"
    assert bench.verdict(broken)["verdict"] == "REJECTED"
    assert latest(bench) == definition("old")


def test_a_newer_upload_whose_event_was_lost_is_found_by_the_next_delivery(bench: HandlerBench) -> None:
    old, lost = bench.put(definition("old")), bench.put(definition("lost"))

    handle(old)

    assert bench.verdict(lost)["verdict"] == "STARTED"
    assert latest(bench) == definition("lost")
    assert handle(lost)[0]["executionArn"] == bench.verdict(lost)["executionArn"]
    assert len(bench.sagemaker.executions) == 2


def test_uploads_in_quick_succession_all_run_whatever_event_comes_first(bench: HandlerBench) -> None:
    uploads = [bench.put(definition(text)) for text in ("first", "second", "third")]

    handle(uploads[0])
    handle(uploads[2], uploads[1])

    assert [json.loads(each.definition) for each in bench.sagemaker.executions] == [
        definition("first"),
        definition("second"),
        definition("third"),
    ]
    assert {bench.verdict(upload)["verdict"] for upload in uploads} == {"STARTED"}


def test_whoever_stored_an_older_definition_last_stores_the_newest_again(bench: HandlerBench) -> None:
    old, new = bench.put(definition("old")), bench.put(definition("new"))
    # The older event is at work when the newer one overtakes it.
    bench.sagemaker.interludes["UpdatePipeline"] = lambda: handle(new)

    handle(old)

    assert [json.loads(each.definition) for each in bench.sagemaker.executions] == [
        definition("new"),
        definition("old"),
    ]
    assert latest(bench) == definition("new")


def test_a_verdict_is_given_once_even_when_the_token_is_forgotten(bench: HandlerBench) -> None:
    upload = bench.put(definition())
    first = handle(upload)
    bench.sagemaker._tokens.clear()

    assert handle(upload) == first
    bench.s3.delete_object(Bucket=BUCKET, Key=f"verdicts/{KEY}/{version(upload)}.json")
    assert handle(upload)[0]["executionArn"] == first[0]["executionArn"]
    assert len(bench.sagemaker.executions) == 1


def test_something_else_in_a_verdict_s_place_is_replaced(bench: HandlerBench) -> None:
    upload = bench.put(definition())
    bench.s3.put_object(Bucket=BUCKET, Key=f"verdicts/{KEY}/{version(upload)}.json", Body=b"[1")

    handle(upload)

    assert bench.verdict(upload)["verdict"] == "STARTED"


def test_reconciling_settles_the_newest_lost_upload_and_supersedes_the_others(bench: HandlerBench) -> None:
    lost = [bench.put(definition(text)) for text in ("first", "second", "third")]
    named = bench.put(definition("named"), key="pipeline/named/pipeline.json")

    verdicts = reconcile()

    assert len(verdicts) == 4
    given = [bench.verdict(upload)["verdict"] for upload in [*lost, named]]
    assert given == ["SUPERSEDED", "SUPERSEDED", "STARTED", "STARTED"]
    assert latest(bench) == definition("third")
    assert reconcile() == []
    assert len(bench.sagemaker.executions) == 2


def test_reconciling_stores_the_newest_definition_again_where_somebody_changed_it(
    bench: HandlerBench,
) -> None:
    handle(bench.put(definition("ours")))
    bench.sagemaker.pipelines["cv-birds"].versions.append("{}")

    assert reconcile() == []

    assert latest(bench) == definition("ours")
    assert len(bench.sagemaker.executions) == 1


def test_reconciling_leaves_young_uploads_to_their_own_events(bench: HandlerBench) -> None:
    bench.put(definition())

    assert reconcile(minimum_age=900) == []
    assert bench.verdicts() == []


def test_reconciling_stops_when_the_time_is_short_and_says_so(bench: HandlerBench) -> None:
    class ShortContext:
        def get_remaining_time_in_millis(self) -> int:
            return 10_000

    bench.put(definition())

    with pytest.raises(StartError, match="not the rest, for which there was no time"):
        handler.handler({"reconcile": {}}, ShortContext())


@pytest.mark.parametrize("given", [{"minimumAgeSeconds": -1}, {"minimumAgeSeconds": "1"}, {"failed": "yes"}])
def test_a_wrong_request_to_reconcile_says_what_is_due(bench: HandlerBench, given: dict[str, Any]) -> None:
    with pytest.raises(StartError, match="minimumAgeSeconds"):
        handler.handler({"reconcile": given}, None)


def test_values_in_parameters_json_are_passed_to_the_execution(bench: HandlerBench) -> None:
    bench.put({"Epochs": 5, "Backbone": "large"}, key="pipeline/parameters.json")
    upload = bench.put(definition(parameters=EPOCHS))

    (verdict,) = handle(upload)

    assert bench.sagemaker.executions[0].parameters == verdict["parameters"]
    assert verdict["parameters"] == {"Epochs": "5", "Backbone": "large", "ArtifactBucket": BUCKET}


@pytest.mark.parametrize(
    ("values", "pointer", "message"),
    [
        ({"Epoch": 5}, "parameters.json#/Epoch", "did you mean Epochs?"),
        ({"Epochs": "many"}, "parameters.json#/Epochs", '"many" is no Integer'),
        ({"Epochs": 1.5}, "parameters.json#/Epochs", "1.5 is no Integer"),
        ({"Epochs": True}, "parameters.json#/Epochs", "true is no Integer"),
        ({"Backbone": "huge"}, "parameters.json#/Backbone", "not one of EnumValues"),
        ({"ArtifactBucket": "mine"}, "parameters.json#/ArtifactBucket", "the deployment itself"),
        (b"[]", "parameters.json#", "JSON object"),
        (b"{", "parameters.json#", "not JSON"),
        (b" " * 262_145, "parameters.json#", "262,145 bytes"),
    ],
)
def test_a_wrong_value_in_parameters_json_is_rejected_with_its_place(
    bench: HandlerBench, values: Any, pointer: str, message: str
) -> None:
    bench.put(values, key="pipeline/parameters.json")

    (verdict,) = handle(bench.put(definition(parameters=EPOCHS)))

    assert verdict["verdict"] == "REJECTED"
    assert verdict["reasons"][0]["pointer"] == pointer
    assert message in verdict["reasons"][0]["message"]
    assert "UpdatePipeline" not in bench.sagemaker.calls


def test_a_verdict_tells_what_runs_even_when_the_values_beside_it_have_changed_since(
    bench: HandlerBench,
) -> None:
    bench.put({"Epochs": 5}, key="pipeline/parameters.json")
    upload = bench.put(definition(parameters=EPOCHS))
    handle(upload)
    verdict_key = bench.verdicts()[0]
    before = bench.verdict(upload)
    bench.s3.delete_object(Bucket=BUCKET, Key=verdict_key)  # as if killed before it was written
    bench.put({"Epochs": "wrong"}, key="pipeline/parameters.json")

    handle(upload)

    after = bench.verdict(upload)
    told = ("verdict", "executionArn", "pipelineVersionId", "parameters")
    assert [after[name] for name in told] == [before[name] for name in told]
    assert after["parameters"]["Epochs"] == "5"


@pytest.mark.parametrize("looked_at", ["by its event", "by redrive", "by the schedule"])
def test_parameters_that_could_not_be_asked_are_added_when_the_upload_is_looked_at_again(
    bench: HandlerBench, looked_at: str
) -> None:
    denied = FakeServiceError("AccessDeniedException", "not authorized")
    operation = "ListPipelineParametersForExecution"
    bench.sagemaker.faults += [Fault(operation, denied), Fault(operation, denied)]
    upload = bench.put(definition(parameters=EPOCHS))
    before = handle(upload)[0]
    assert "parameters" not in before
    assert operation in before["warnings"][0]["message"]

    # While it is refused still, there is nothing new to tell.
    assert reconcile() == []
    assert bench.verdict(upload) == before
    again = handle(upload) if looked_at == "by its event" else reconcile(failed=looked_at == "by redrive")

    told = {"parameters": {"Epochs": "3", "Backbone": "small", "ArtifactBucket": BUCKET}, "warnings": []}
    assert again == [{**before, **told}]
    assert bench.verdict(upload) == again[0]
    assert reconcile(failed=True) == reconcile() == []
    assert len(bench.sagemaker.executions) == 1


def test_a_pipeline_that_somebody_deleted_is_made_again(bench: HandlerBench) -> None:
    upload = bench.put(definition())
    handle(upload)
    del bench.sagemaker.pipelines["cv-birds"]

    reconcile()

    assert latest(bench) == definition()


def test_one_key_that_cannot_be_reconciled_keeps_no_other_from_it(bench: HandlerBench) -> None:
    handle(bench.put(definition()))
    bench.sagemaker.faults.append(Fault("DescribePipeline", FakeServiceError("ThrottlingException", "wait")))
    lost = bench.put(definition(), key="pipeline/second/pipeline.json")

    with pytest.raises(StartError, match=r"UnfinishedError: 1 uploads .* not pipeline/pipeline\.json"):
        reconcile()

    assert bench.verdict(lost)["verdict"] == "STARTED"


def test_deleted_values_and_those_of_other_pipelines_are_not_used(bench: HandlerBench) -> None:
    bench.put({"Epochs": 5}, key="pipeline/named/parameters.json")
    bench.put({"Epochs": 6}, key="pipeline/parameters.json.old")
    bench.put({"Epochs": 7}, key="pipeline/parameters.json")
    bench.s3.delete_object(Bucket=BUCKET, Key="pipeline/parameters.json")

    handle(bench.put(definition(parameters=EPOCHS)))

    assert bench.sagemaker.executions[0].parameters == {"ArtifactBucket": BUCKET}


def test_an_upload_may_stop_what_runs_but_not_what_is_newer(
    bench: HandlerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ON_RUNNING", "stop")
    first, second = (bench.put(definition(text)) for text in ("first", "second"))
    handle(first)
    executions = {each.definition: each for each in bench.sagemaker.executions}
    statuses = {
        json.loads(text)["Steps"][0]["Arguments"]["ErrorMessage"]: each for text, each in executions.items()
    }
    # Looking again has started the newer upload already, which stopped the first one's execution.
    assert statuses["first"].status == "Stopping"

    bench.s3.delete_object(Bucket=BUCKET, Key=f"verdicts/{KEY}/{version(second)}.json")
    handle(second)
    handle(first)
    assert statuses["second"].status == "Executing"


def test_uploads_run_in_parallel_unless_it_is_configured_otherwise(bench: HandlerBench) -> None:
    handle(bench.put(definition("first")))
    handle(bench.put(definition("second")))

    assert [each.status for each in bench.sagemaker.executions] == ["Executing", "Executing"]
    assert "StopPipelineExecution" not in bench.sagemaker.calls


def test_the_log_names_every_verdict(bench: HandlerBench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="upload_trigger")
    handle(bench.put(b"{"))
    assert "REJECTED: s3://" in caplog.text
