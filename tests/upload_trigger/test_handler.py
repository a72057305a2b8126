"""The promises of the upload: which execution an S3 event becomes, and what happens when a call fails."""

import hashlib
import json
import logging
from typing import Any

import pytest

from tests.support.delivery.handler_uploads import (
    BUCKET,
    ENVIRONMENT,
    HANDLERS_CONFIG,
    KEY,
    ROLE,
    HandlerBench,
    bench,
    definition,
    handle,
    reconcile,
    record,
    services,
)
from tests.support.services.fake_sagemaker import (
    MUTATING,
    REFUSED_WHEN_STARTED,
    REFUSED_WHEN_STORED,
    FakeServiceError,
    Fault,
)
from upload_trigger import handler, input_data, uploads
from upload_trigger.definition import loading
from upload_trigger.delivery import request_token
from upload_trigger.handler import StartError
from upload_trigger.uploads import Upload

__all__ = ["bench", "services"]  # fixtures


def test_the_first_upload_creates_the_pipeline_and_starts_its_first_version(bench: HandlerBench) -> None:
    (verdict,) = handle(bench.put(definition("first")))

    (execution,) = bench.sagemaker.executions
    given = (verdict["pipelineName"], verdict["pipelineVersionId"], verdict["executionArn"])
    assert (verdict["verdict"], *given) == ("STARTED", "cv-birds", 1, execution.arn)
    assert bench.sagemaker.pipelines["cv-birds"].role_arn == ROLE
    assert json.loads(execution.definition) == definition("first")


def test_a_changed_upload_becomes_a_new_version_and_that_one_is_started(bench: HandlerBench) -> None:
    handle(bench.put(definition("first")))
    handle(bench.put(definition("second")))

    assert [each.version for each in bench.sagemaker.executions] == [1, 2]
    assert json.loads(bench.sagemaker.executions[1].definition) == definition("second")


def test_an_unchanged_upload_runs_again_without_a_new_version(bench: HandlerBench) -> None:
    handle(bench.put(definition()), bench.put(definition()))

    assert [each.version for each in bench.sagemaker.executions] == [1, 1]


def test_an_upload_below_a_name_has_a_pipeline_of_its_own(bench: HandlerBench) -> None:
    handle(bench.put(definition(), key="pipeline/night-shift/pipeline.json"))

    assert list(bench.sagemaker.pipelines) == ["cv-birds-night-shift"]


def test_an_event_delivered_again_is_the_same_execution(bench: HandlerBench) -> None:
    upload = bench.put(definition())

    first, again = handle(upload), handle(upload, upload)

    assert len(bench.sagemaker.executions) == 1
    assert again == first * 2


def test_each_upload_runs_its_own_bytes_and_not_the_newest(bench: HandlerBench) -> None:
    old = bench.put(definition("old"))
    bench.put(definition("new"))

    handle(old)

    assert json.loads(bench.sagemaker.executions[0].definition) == definition("old")


def test_the_execution_says_which_upload_it_comes_from(bench: HandlerBench) -> None:
    body = json.dumps(definition(), indent=4).encode()
    upload = bench.put(body)

    handle(upload)

    assert json.loads(bench.sagemaker.executions[0].description) == {
        "bucket": BUCKET,
        "key": KEY,
        "versionId": upload["s3"]["object"]["versionId"],
        "sequencer": upload["s3"]["object"]["sequencer"],
        "sha256": hashlib.sha256(body).hexdigest(),
    }


def test_the_token_is_the_digest_of_bucket_key_and_version() -> None:
    expected = hashlib.sha256(b"bucket\0pipeline/pipeline.json\0v1").hexdigest()
    assert request_token(Upload("bucket", "pipeline/pipeline.json", "v1")) == expected


def test_parameters_come_from_the_deployment_where_the_definition_wants_them(bench: HandlerBench) -> None:
    declared: list[dict[str, Any]] = [
        {"Name": "ExecutionRoleArn", "Type": "String", "DefaultValue": "arn:of:the:author"},
        {"Name": "InputDataUrl", "Type": "String"},
        {"Name": "Epochs", "Type": "Integer", "DefaultValue": 3},
    ]
    bench.s3.put_object(Bucket=BUCKET, Key="data/birds/images.txt", Body=b"1 a.jpg")
    handle(bench.put(definition(parameters=declared)))

    assert bench.sagemaker.executions[0].parameters == {
        "ExecutionRoleArn": ROLE,
        "InputDataUrl": f"s3://{BUCKET}/data/birds/",
    }


def test_data_that_was_overwritten_is_another_value_and_misses_the_step_cache(bench: HandlerBench) -> None:
    declared = [{"Name": name, "Type": "String"} for name in ("InputDataUrl", "InputDataDigest")]
    for image in (b"old", b"old", b"new"):
        bench.s3.put_object(Bucket=BUCKET, Key="data/CUB_200_2011.tgz", Body=image)
        upload = bench.put(definition(parameters=declared))
        handle(upload)
        assert bench.verdict(upload)["parameters"] == bench.sagemaker.executions[-1].parameters

    old, again, new = (each.parameters for each in bench.sagemaker.executions)
    assert old["InputDataUrl"] == f"s3://{BUCKET}/data/CUB_200_2011.tgz"
    assert old == again
    assert old["InputDataDigest"] != new["InputDataDigest"]


def test_an_upload_without_any_data_is_refused_before_anything_changes(bench: HandlerBench) -> None:
    (verdict,) = handle(bench.put(definition(parameters=[{"Name": "InputDataUrl", "Type": "String"}])))

    assert verdict["verdict"] == "REJECTED"
    assert "holds no data set; upload one" in verdict["reasons"][0]["message"]
    assert not MUTATING.intersection(bench.sagemaker.calls)


def test_a_warning_about_the_data_is_part_of_the_verdict(
    bench: HandlerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(input_data, "MAX_OBJECTS", 1)
    for number in range(2):
        bench.s3.put_object(Bucket=BUCKET, Key=f"data/birds/{number}.jpg", Body=b"image")
    declared = [{"Name": name, "Type": "String"} for name in ("InputDataUrl", "InputDataDigest")]

    (verdict,) = handle(bench.put(definition(parameters=declared)))

    assert verdict["parameters"]["InputDataDigest"] == "unknown"
    assert "overwritten" in verdict["warnings"][0]["message"]


def test_data_that_the_author_chose_is_left_as_it_is(bench: HandlerBench) -> None:
    url = f"s3://{BUCKET}/data/mine/"
    bench.s3.put_object(Bucket=BUCKET, Key="data/mine/images.txt", Body=b"1 a.jpg")
    declared = [{"Name": "InputDataUrl", "Type": "String", "DefaultValue": url}]
    handle(bench.put(definition(parameters=declared)))

    assert bench.sagemaker.executions[0].parameters == {}


def test_a_parameter_that_nobody_gives_is_refused_before_anything_changes(bench: HandlerBench) -> None:
    upload = bench.put(definition(parameters=[{"Name": "PretrainedUrl", "Type": "String"}]))

    (verdict,) = handle(upload)

    assert verdict["verdict"] == "REJECTED"
    assert verdict["reasons"][0]["pointer"] == "/Parameters/0"
    assert verdict["reasons"][0]["message"].startswith("PretrainedUrl needs a DefaultValue")
    assert not MUTATING.intersection(bench.sagemaker.calls)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "not JSON"),
        (
            json.dumps({"Version": "2020-12-01", "Steps": [{"Name": "A", "Type": "Lambda"}]}).encode(),
            "[rule step_types]",
        ),
        (b" " * 1_048_577, "1,048,577 bytes"),
        (json.dumps(definition()).encode("utf-16"), "UTF-16, as > and Out-File write it"),
    ],
)
def test_a_refused_definition_changes_nothing_and_says_why(
    bench: HandlerBench, body: bytes, reason: str
) -> None:
    (verdict,) = handle(bench.put(body))

    assert verdict["verdict"] == "REJECTED"
    (found,) = [f"{each['pointer']}: {each['message']}" for each in verdict["reasons"]][:1]
    assert reason in found
    assert not MUTATING.intersection(bench.sagemaker.calls)


@pytest.mark.parametrize(
    ("step", "operation"),
    [(REFUSED_WHEN_STORED, "UpdatePipeline"), (REFUSED_WHEN_STARTED, "StartPipelineExecution")],
)
def test_what_sagemaker_refuses_is_rejected_with_its_words_and_leaves_the_pipeline_as_it_was(
    bench: HandlerBench, step: str, operation: str
) -> None:
    handle(bench.put(definition("sound")))
    refused = definition("refused")
    refused["Steps"][0]["Name"] = step
    upload = bench.put(refused)

    handle(upload)

    verdict = bench.verdict(upload)
    assert verdict["verdict"] == "REJECTED"
    assert verdict["reasons"] == [
        {
            "pointer": "",
            "message": f"SageMaker refuses it: {operation} failed with ValidationException: step {step} "
            "is not valid; `cv-pipeline validate FILE` may tell more",
        }
    ]
    assert len(bench.sagemaker.executions) == 1
    assert json.loads(bench.sagemaker.pipelines["cv-birds"].versions[-1]) == definition("sound")
    assert handle(upload) == [verdict]


def test_what_was_stored_and_then_rejected_leaves_the_pipeline_as_it_was(bench: HandlerBench) -> None:
    handle(bench.put(definition("sound")))
    upload = bench.put(definition("next"))
    bench.sagemaker.faults.append(
        Fault("StartPipelineExecution", FakeServiceError("ThrottlingException", "slow"))
    )
    with pytest.raises(StartError):
        handle(upload)
    bench.put({"Nope": 1}, key="pipeline/parameters.json")

    assert handle(upload)[0]["verdict"] == "REJECTED"
    assert json.loads(bench.sagemaker.pipelines["cv-birds"].versions[-1]) == definition("sound")


@pytest.mark.parametrize("step", [REFUSED_WHEN_STORED, REFUSED_WHEN_STARTED])
def test_a_first_upload_that_sagemaker_refuses_starts_nothing_and_the_next_one_takes_its_place(
    bench: HandlerBench, step: str
) -> None:
    refused = definition("refused")
    refused["Steps"][0]["Name"] = step

    assert handle(bench.put(refused))[0]["verdict"] == "REJECTED"

    # The function may delete no pipeline: what was stored and not started stays until the next upload.
    left = {name: json.loads(each.versions[-1]) for name, each in bench.sagemaker.pipelines.items()}
    assert left == ({"cv-birds": refused} if step == REFUSED_WHEN_STARTED else {})
    assert bench.sagemaker.executions == []
    assert reconcile() == []
    assert handle(bench.put(definition("sound")))[0]["verdict"] == "STARTED"
    assert json.loads(bench.sagemaker.pipelines["cv-birds"].versions[-1]) == definition("sound")


def test_a_value_that_only_sagemaker_knows_to_be_wrong_is_rejected_with_its_words(
    bench: HandlerBench,
) -> None:
    declared = [{"Name": "Note", "Type": "String"}]
    bench.put({"Note": "mine"}, key="pipeline/parameters.json")
    bench.sagemaker.faults.append(
        Fault("StartPipelineExecution", FakeServiceError("ValidationException", "Note may not be mine"))
    )

    (verdict,) = handle(bench.put(definition(parameters=declared)))

    assert verdict["verdict"] == "REJECTED"
    assert "Note may not be mine" in verdict["reasons"][0]["message"]


def test_a_huge_object_is_refused_before_its_first_byte_is_read() -> None:
    class Unread:
        def close(self) -> None:
            pass

        def read(self) -> bytes:
            raise AssertionError("read")

    class S3:
        def get_object(self, **_: object) -> dict[str, Any]:
            return {"Body": Unread(), "ContentLength": 5_000_000_000, "LastModified": None}

    with pytest.raises(uploads.TooLargeError, match="5,000,000,000 bytes"):
        uploads.read(S3(), Upload(BUCKET, KEY, "1"), loading.MAX_BYTES)


def test_a_bucket_without_versions_is_refused_with_the_command_that_turns_them_on(
    bench: HandlerBench,
) -> None:
    bench.s3.create_bucket(Bucket="plain")
    bench.s3.put_object(Bucket="plain", Key=KEY, Body=json.dumps(definition()).encode())
    upload = record(KEY, None)
    upload["s3"]["bucket"]["name"] = "plain"

    with pytest.raises(StartError, match="put-bucket-versioning --bucket plain"):
        handle(upload)


@pytest.mark.parametrize(
    ("encoded", "key"),
    [
        ("pipeline/my+birds/pipeline.json", "pipeline/my birds/pipeline.json"),
        ("pipeline/a%2Bb/pipeline.json", "pipeline/a+b/pipeline.json"),
        ("pipeline/%E9%B8%9F/pipeline.json", "pipeline/鸟/pipeline.json"),
        ("pipeline%2Fpipeline.json", "pipeline/pipeline.json"),
    ],
)
def test_keys_are_decoded_as_s3_encodes_them(encoded: str, key: str) -> None:
    event = record("", "1")
    event["s3"]["object"]["key"] = encoded

    upload = uploads.read_record(event)

    assert upload is not None
    assert upload.key == key


@pytest.mark.parametrize(
    "key",
    [
        "pipeline/my birds/pipeline.json",
        "pipeline/a+b/pipeline.json",
        "pipeline/鸟/pipeline.json",
        "pipeline/u\u0308ber/pipeline.json",
        "pipeline/Birds/pipeline.json",
        "pipeline/a%2Bb/pipeline.json",
        "pipeline//pipeline.json",
        "pipeline/-/pipeline.json",
        "pipeline/a/b/pipeline.json",
        "pipeline/notes.json",
        f"pipeline/{'x' * 250}/pipeline.json",
    ],
)
def test_a_key_that_names_no_pipeline_is_refused_by_its_own_name(bench: HandlerBench, key: str) -> None:
    (verdict,) = handle(bench.put(definition(), key=key))

    assert verdict["verdict"] == "REJECTED"
    assert f'"{key}"' in verdict["reasons"][0]["message"]
    assert bench.sagemaker.calls == []


def test_every_record_is_handled_and_each_without_a_verdict_is_named(bench: HandlerBench) -> None:
    versionless = record("pipeline/plain/pipeline.json", None)
    newer_event = {**record(KEY, "1"), "eventVersion": "3.0"}
    shapeless = {"eventVersion": "2.1", "eventName": "ObjectCreated:Put", "s3": {}}
    broken, sound = bench.put(b"{"), bench.put(definition())
    records: list[Any] = [broken, versionless, sound, newer_event, shapeless, None]

    with pytest.raises(StartError) as caught:
        handle(*records)

    message = str(caught.value)
    assert message.startswith("4 of 6 records were left without a verdict")
    for part in ("pipeline/plain/pipeline.json", "version 3.0", "without s3.bucket.name", "version None"):
        assert part in message
    assert len(bench.sagemaker.executions) == 1
    assert len(bench.verdicts()) == 2


def test_a_version_that_is_gone_has_failed_and_says_so(bench: HandlerBench) -> None:
    upload = bench.put(definition())
    version = upload["s3"]["object"]["versionId"]
    bench.s3.delete_object(Bucket=BUCKET, Key=KEY, VersionId=version)

    (verdict,) = handle(upload)

    assert verdict["verdict"] == "FAILED"
    assert "GetObject failed with NoSuchVersion" in verdict["reasons"][0]["message"]
    assert bench.sagemaker.calls == []


def test_the_event_that_s3_sends_at_set_up_does_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    event = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": BUCKET}

    assert handler.handler(event, None) == []
    assert "s3:TestEvent" in caplog.text


def test_a_deletion_starts_nothing(bench: HandlerBench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert handle(record(KEY, "1", event="ObjectRemoved:DeleteMarkerCreated")) == []
    assert bench.sagemaker.calls == []
    assert "ObjectRemoved:DeleteMarkerCreated starts nothing" in caplog.text


def test_an_event_that_is_not_of_s3_is_refused() -> None:
    with pytest.raises(StartError, match="Records"):
        handler.handler({"action": "run"}, None)


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_a_missing_setting_is_named(bench: HandlerBench, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(StartError, match=f"lacks {name}"):
        handle(record(KEY, "1"))


def test_all_attempts_of_a_call_fit_into_the_function_s_minute() -> None:
    config = HANDLERS_CONFIG
    attempts = config.retries["total_max_attempts"]
    pauses = sum(2**attempt for attempt in range(attempts - 1))
    assert attempts * (config.connect_timeout + config.read_timeout) + pauses < 60


def test_the_log_lines_carry_fields_that_are_json(
    bench: HandlerBench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="upload_trigger")
    upload, gone = bench.put(definition()), bench.put(definition(), key="pipeline/gone/pipeline.json")
    bench.s3.delete_object(
        Bucket=BUCKET, Key=gone["s3"]["object"]["key"], VersionId=gone["s3"]["object"]["versionId"]
    )
    handle(upload, gone)

    lines = [vars(each) for each in caplog.records if each.name == "upload_trigger"]
    assert json.loads(json.dumps(lines[0]["executionArn"])) == bench.sagemaker.executions[0].arn
    assert lines[0]["versionId"] == upload["s3"]["object"]["versionId"]
    assert (lines[1]["verdict"], lines[1]["levelname"]) == ("FAILED", "ERROR")
