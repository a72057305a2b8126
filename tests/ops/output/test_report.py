"""The report directory: complete or absent, true to the execution, safe to forward, and never a crash."""

from __future__ import annotations

import base64
import errno
import hashlib
import html
import json
import re
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from ops.errors import ReportError
from ops.output.report import write_report
from ops.output.summary import Summary
from tests.support.services import fake_execution_scenarios as scenarios
from tests.support.services.fake_execution import (
    BUCKET,
    FakeStep,
    ScriptedExecution,
    ScriptedSageMaker,
    client_of,
)
from tests.support.services.fake_execution_scenarios import (
    CLASSES,
    archive,
    below_threshold,
    failed_training,
    fill_bucket,
    register,
    succeeded,
)
from tests.support.services.report_clients import ReportClients

VOID = {"meta", "link", "br", "img", "hr"}


class ParsedPage(HTMLParser):
    """Collects what a browser would load, and checks that every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [
            value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset")
        ]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


@pytest.fixture(autouse=True)
def _aws() -> Iterator[None]:
    with mock_aws():
        yield


def write(
    execution: ScriptedExecution,
    directory: Path,
    *,
    clock: float = 100.0,
    fill: bool = True,
    notes: tuple[str, ...] = (),
    training_type: str | None = None,
) -> tuple[Summary, str]:
    fake = ScriptedSageMaker(execution, succeeded("source00000a"))
    fake.clock, fake.training_type = clock, training_type
    if fill:
        fill_bucket(client_of("s3"), execution)
    summary = write_report(ReportClients(fake), execution.arn, directory, notes)
    return summary, (directory / "report.html").read_text(encoding="utf-8")


def test_the_directory_holds_everything_the_execution_left(tmp_path: Path) -> None:
    write(succeeded(), tmp_path / "run")
    assert {
        path.relative_to(tmp_path / "run").as_posix()
        for path in (tmp_path / "run").rglob("*")
        if path.is_file()
    } == {
        "report.html",
        "summary.json",
        "pipeline.json",
        "evaluation-spot.json",
        "evaluation-on-demand.json",
        "models/spot/model.tar.gz",
        "models/on-demand/model.tar.gz",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["run"], "nothing temporary stays beside it"


def test_a_check_says_what_it_decided(tmp_path: Path) -> None:
    _, text = write(succeeded(), tmp_path / "run")
    assert "condition true: runs RegisterSpot" in text
    assert "condition false: skips AccuracyTooLow" in text


def test_summary_json_has_exactly_the_documented_keys_and_the_true_values(tmp_path: Path) -> None:
    execution = succeeded()
    summary, _ = write(execution, tmp_path / "run")
    told = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert told == json.loads(summary.to_json())
    assert set(told) == {
        "execution_arn",
        "status",
        "failure_reason",
        "parameters",
        "steps",
        "trainings",
        "evaluations",
        "model_packages",
        "bill",
    }
    assert (told["execution_arn"], told["status"], told["failure_reason"]) == (
        execution.arn,
        "Succeeded",
        None,
    )
    assert set(told["steps"][0]) == {"name", "type", "status", "start", "end", "attempts", "cache"}
    assert [step["name"] for step in told["steps"][:3]] == ["Preprocess", "TrainSpot", "TrainOnDemand"]
    assert {step["type"] for step in told["steps"]} == {
        "Processing",
        "Training",
        "Condition",
        "RegisterModel",
    }
    digest = hashlib.sha256(b"weights" * 1000).hexdigest()
    assert told["trainings"]["Spot"] == {
        "training_seconds": 22,
        "billable_seconds": 7,
        "interruptions": 1,
        "model_sha256": digest,
    }
    assert told["trainings"]["OnDemand"]["interruptions"] == 0
    assert told["evaluations"]["Spot"]["accuracy"] == pytest.approx(0.925)
    assert told["evaluations"]["OnDemand"]["images"] == 80
    assert [arn.rpartition("/")[2] for arn in told["model_packages"]] == ["2", "1"]
    assert told["parameters"]["Epochs"] == "20"
    bill = told["bill"]
    assert set(bill) == {
        "currency",
        "total_usd",
        "lines",
        "cached",
        "not_known",
        "spot_against_on_demand",
        "prices",
    }
    assert set(bill["prices"]) == {"source", "as_of", "region"}
    assert (bill["currency"], bill["prices"]["region"]) == ("USD", "us-east-1")
    assert [line["step"] for line in bill["lines"][:3]] == ["Preprocess", "TrainSpot", "TrainOnDemand"]
    assert set(bill["lines"][0]) == {
        *("step", "job", "kind", "training_type", "status", "spot", "attempt", "retried", "instance_type"),
        *("instance_count", "volume_gb", "trained_seconds", "billed_seconds", "usd_per_hour", "usd"),
        "not_known",
    }
    (compared,) = bill["spot_against_on_demand"]
    assert set(compared) == {
        *("spot_step", "on_demand_step", "spot_usd", "on_demand_usd", "console_saving", "interruptions"),
        *("lost_seconds", "waited_seconds", "saved_usd", "saved_share"),
    }
    assert compared["saved_share"] == pytest.approx(1 - 7 / 16)
    assert compared["console_saving"] == pytest.approx(1 - 7 / 22)


def test_the_page_says_what_an_ml_lead_asks(tmp_path: Path) -> None:
    _, text = write(succeeded(), tmp_path / "run", notes=("a note of the caller",))
    for said in (
        "92.5%",
        "68%",
        "Identical",
        "Spot interruption: 0:05 until training went on",
        "1 of 10 images of 013.Bobolink called 035.Purple_Finch",
        "cv-pipeline approve cv-birds/2",
        "PendingManualApproval",
        "a note of the caller",
        "AccuracyTooLow",
    ):
        assert said in text


def test_notes_are_read_before_any_number(tmp_path: Path) -> None:
    _, text = write(succeeded(), tmp_path / "run", notes=("the images are drawings",))
    assert text.index("<h1>") < text.index("the images are drawings") < text.index("accuracy 0.9")


def print_logs(execution: ScriptedExecution, lines: list[str], *, stream: str = "algo-1-1") -> None:
    """Write the same lines into the log of every training job, a second apart."""
    logs = client_of("logs")
    group = "/aws/sagemaker/TrainingJobs"
    if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
        logs.create_log_group(logGroupName=group)
    for job in execution.trainings:
        where = {"logGroupName": group, "logStreamName": f"{job.name}/{stream}"}
        logs.create_log_stream(**where)
        start = int(time.time() * 1000) - 60_000  # CloudWatch refuses what is older than two weeks
        events = [{"timestamp": start + 1000 * place, "message": line} for place, line in enumerate(lines)]
        logs.put_log_events(**where, logEvents=events)


def test_the_curves_of_both_trainings_are_drawn_by_epoch(tmp_path: Path) -> None:
    execution = succeeded()
    print_logs(
        execution,
        [
            "resumed at step=3 epoch=1/3",
            *(f"epoch={n}/3 train_loss={1 / n:.4f} validation_accuracy={0.3 * n:.4f}" for n in (1, 2, 3)),
            "epoch=3/3 train_loss=0.2500 validation_accuracy=nan",
        ],
    )
    _, text = write(execution, tmp_path / "run")
    # The interruption repeated epoch 3: it counts as it went the last time.
    assert "train:loss, Spot: 0.25 at the end" in text
    assert "validation:accuracy, OnDemand: 0.9 at the end" in text
    (points,) = re.findall(r'<polyline class="series-1 split-0" points="([^"]*)"><title>train:loss, On', text)
    assert len(points.split()) == 3
    assert "no curves of" not in text


def test_a_job_without_a_log_is_named_where_things_are_missing(tmp_path: Path) -> None:
    _, text = write(succeeded(), tmp_path / "run")
    assert "no curves of Spot: log group /aws/sagemaker/TrainingJobs has no stream of job pipelines-" in text


def test_a_failed_step_shows_the_end_of_its_log(tmp_path: Path) -> None:
    execution = failed_training()
    print_logs(execution, [f"line <{number}>" for number in range(100)])
    _, text = write(execution, tmp_path / "run")
    (log,) = re.findall(r'<pre class="log".*?</pre>', text, re.DOTALL)
    assert "line &lt;99&gt;" in log
    assert "line &lt;60&gt;" in log
    assert "line &lt;59&gt;" not in log, "forty lines"


def test_mistakes_are_shown_with_their_pictures_and_nothing_from_elsewhere(tmp_path: Path) -> None:
    execution = succeeded()
    fill_bucket(client_of("s3"), execution)
    prefix = f"executions/{execution.id}/evaluation/spot"
    s3 = client_of("s3")
    document = json.loads(s3.get_object(Bucket=BUCKET, Key=f"{prefix}/evaluation.json")["Body"].read())
    mistake = {"true": "a<b", "predicted": "c", "probability": 0.98}
    files = {
        "mistakes/000.jpg": b"\xff\xd8\xff good",
        "mistakes/001.jpg": b"<svg onload=alert(1)>",
        "../../secret.jpg": b"\xff\xd8\xff secret",
        "mistakes/002.jpg": b"\xff\xd8\xff" + b"large" * 20_000,
    }
    document["mistakes"] = [{"image": f"image {name}", "file": name, **mistake} for name in files]
    s3.put_object(Bucket=BUCKET, Key=f"{prefix}/evaluation.json", Body=json.dumps(document).encode())
    for name, body in files.items():
        s3.put_object(Bucket=BUCKET, Key=f"{prefix}/{name}", Body=body)
    _, text = write(execution, tmp_path / "run", fill=False)
    gallery = text.partition("The surest mistakes of Spot")[2].partition("</ul>")[0]
    shown = [base64.b64decode(each) for each in re.findall(r"data:image/jpeg;base64,([^\"]*)", gallery)]
    assert shown == [b"\xff\xd8\xff good"]
    assert "a&lt;b" in text
    assert "with 98%" in text


def test_a_report_of_an_aws_that_is_gone_names_no_command_for_it(tmp_path: Path) -> None:
    execution = succeeded()
    fill_bucket(client_of("s3"), execution)
    fake = ScriptedSageMaker(execution)
    fake.clock = 100.0
    write_report(ReportClients(fake), execution.arn, tmp_path / "run", stays=False)
    text = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "PendingManualApproval" in text
    assert "cv-pipeline approve" not in text


def test_models_with_the_same_mistakes_share_their_pictures(tmp_path: Path) -> None:
    _, text = write(succeeded(), tmp_path / "run")
    assert text.count("The surest mistakes of") == 1
    assert "The surest mistakes of Spot and OnDemand" in text


def test_a_page_says_where_everything_comes_from(tmp_path: Path) -> None:
    _, text = write(succeeded(), tmp_path / "run")
    definition = (tmp_path / "run" / "pipeline.json").read_bytes()
    weights = hashlib.sha256(b"weights" * 1000).hexdigest()
    lineage = text.partition("Where it comes from")[2]
    for value in (succeeded().arn, hashlib.sha256(definition).hexdigest(), "ab" * 32, weights):
        assert value in lineage


def test_the_bill_is_in_dollars_and_the_console_s_figure_has_the_console_s_name(tmp_path: Path) -> None:
    summary, text = write(succeeded(), tmp_path / "run")
    (compared,) = summary.bill.spot_against_on_demand
    assert compared.saved_share
    tiles, _, bill = text.partition("<h2>The bill</h2>")
    assert f"{compared.saved_share:.0%} less" in tiles
    assert "68%" not in tiles.partition("<h2>")[0], "that is what one job alone would say"
    assert re.search(r"1 - billable / training \(SageMaker's console\)</th><td>68%</td>", text)
    for line in summary.bill.lines:
        assert f">{line.usd:.4f}<" in bill
    assert f"{summary.bill.total_usd:.4f} USD" in bill


def test_every_part_that_scrolls_can_be_reached_by_keyboard(tmp_path: Path) -> None:
    _, text = write(succeeded(), tmp_path / "run")
    parts = re.findall(r'<div class="scroll"[^>]*>', text)
    assert len(parts) > 4
    assert all('tabindex="0" role="region" aria-label="' in part for part in parts)


def test_the_page_is_well_formed_and_loads_nothing(tmp_path: Path) -> None:
    _, text = write(succeeded(), tmp_path / "run")
    page = ParsedPage(text)
    assert all(each.startswith("data:") for each in page.loads)
    assert "script" not in page.tags
    assert not re.search(r"url\(|@import", text)
    # What a browser keeps to whatever got into the page.
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert f'<meta http-equiv="Content-Security-Policy" content="{policy}">' in text
    for picture in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ET.fromstring(picture)  # noqa: S314 - our own page


def test_whatever_somebody_wrote_is_shown_as_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    def evil(place: str) -> str:
        written.append(place)
        return f"<script>{place}</script>&\"'"

    monkeypatch.setattr(
        "tests.support.services.fake_execution_scenarios.CLASSES", [evil("class"), *CLASSES[1:]]
    )
    execution = below_threshold()
    execution.steps.append(FakeStep(evil("step"), 40.5, 41.0, metadata=register(1)))
    execution.steps[-2].reason, execution.reason = evil("reason of a step"), evil("reason")
    execution.parameters |= {evil("parameter"): "x", "ClassSelection": evil("value")}
    execution.trainings[0].metric = evil("metric")
    _, text = write(execution, tmp_path / "run", notes=(evil("note"),), training_type=evil("training type"))
    assert "<script" not in text
    assert "script" not in ParsedPage(text).tags
    assert [place for place in written if f"&lt;script&gt;{place}&lt;/script&gt;" not in text] == []


def test_a_failed_execution_tells_its_reason_and_what_is_missing(tmp_path: Path) -> None:
    summary, text = write(failed_training(), tmp_path / "run")
    assert summary.status == "Failed"
    assert "TrainOnDemand failed: AlgorithmError" in text
    assert "no evaluation of Spot: step EvaluateSpot has not run" in text
    assert "no model of OnDemand: the training job of step TrainOnDemand is Failed" in text
    assert summary.trainings["OnDemand"].model_sha256 is None
    assert not summary.evaluations
    assert not (tmp_path / "run" / "models").exists()


@pytest.mark.parametrize("clock", [0.0, 5.0, 12.0, 20.0, 30.0, 36.0])
def test_an_execution_that_still_runs_is_told_as_far_as_it_came(tmp_path: Path, clock: float) -> None:
    summary, text = write(succeeded(), tmp_path / "run", clock=clock)
    ParsedPage(text)
    assert summary.status == "Executing"
    assert "how far it was at" in text
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["status"] == "Executing"


def test_outputs_that_are_gone_are_named(tmp_path: Path) -> None:
    client_of("s3").create_bucket(Bucket=BUCKET)
    summary, text = write(succeeded(), tmp_path / "run", fill=False)
    assert "evaluation.json: NoSuchKey" in text
    assert re.search(r"no model of Spot: s3://\S+/model.tar.gz: ", text)
    assert summary.trainings["Spot"].model_sha256 is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"classes": [], "multiclass_classification_metrics": 3}',
        b'{"multiclass_classification_metrics": {"accuracy": {"value": "high"}}}',
        b'{"multiclass_classification_metrics": {"confusion_matrix": {"a": {"b": NaN}, "c": 1}}}',
        b"[" * 100_000,
    ],
)
def test_an_evaluation_that_is_none_never_breaks_the_report(tmp_path: Path, body: bytes) -> None:
    execution = succeeded()
    fill_bucket(client_of("s3"), execution)
    key = f"executions/{execution.id}/evaluation/spot/evaluation.json"
    client_of("s3").put_object(Bucket=BUCKET, Key=key, Body=body)
    summary, text = write(execution, tmp_path / "run", fill=False)
    ParsedPage(text)
    assert summary.evaluations["OnDemand"].accuracy == pytest.approx(0.925)
    assert "Spot" not in summary.evaluations or summary.evaluations["Spot"].accuracy is None


def test_two_hundred_classes_are_drawn_without_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tests.support.services.fake_execution_scenarios.CLASSES",
        [f"{number:03}.Bird" for number in range(200)],
    )
    _, text = write(succeeded(), tmp_path / "run")
    assert "Every class (200)" in text
    assert len(text) < 1_000_000


def test_the_page_says_what_an_expert_asks_of_a_model(tmp_path: Path) -> None:
    _, text = write(succeeded(), tmp_path / "run")
    read = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())
    for said in (
        "Balanced accuracy 0.925 (0.850 to 0.965) 0.925 (0.850 to 0.965)",
        "035.Purple_Finch and 047.American_Goldfinch: 2 images, 10% of theirs",
        "(2 one way, 0 the other)",
        "Where Spot and OnDemand are good, and where not",
        "By the box's share of the image's area 2.0% to 31.0%",
        "By the box's width over its height 0.40 to 0.90",
        "Temperature 0.620 0.620",
        "Expected calibration error 0.081 to 0.0",
        "Parameters 3,381,256",
        "Weights 13.7 MB",
        "14.2 ms (95% within 16.8 ms), cpu, 2 threads",
        "Licence of its pretrained weights Apache-2.0",
        f"sha256 of the training code {'c0' * 32}",
        "bright where it spoke for the wrong class (Grad-CAM)",
    ):
        assert said in read, said
    assert text.count("Where the network looked in") == text.count('<li><img src="data:image/jpeg')


def test_a_network_without_feature_maps_is_said_to_have_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = scenarios.evaluation

    def of_a_transformer(*args: Any) -> dict[str, Any]:
        document = whole(*args)
        document["grad_cam"] = {"layer": None, "reason": "vit_b_16 ends in tokens"}
        for each in document["mistakes"]:
            each["grad_cam"] = None
        return document

    monkeypatch.setattr(scenarios, "evaluation", of_a_transformer)
    _, text = write(succeeded(), tmp_path / "run")
    assert "No pictures of where the network looked: vit_b_16 ends in tokens." in text
    assert "Where the network looked in" not in text


def test_models_that_differ_are_called_different(tmp_path: Path) -> None:
    execution = succeeded()
    fill_bucket(client_of("s3"), execution)
    job = execution.trainings[0]
    key = f"{job.output}/{job.name}/output/model.tar.gz".removeprefix(f"s3://{BUCKET}/")
    client_of("s3").put_object(Bucket=BUCKET, Key=key, Body=archive(model_safetensors=b"other"))
    summary, text = write(execution, tmp_path / "run", fill=False)
    assert summary.trainings["Spot"].model_sha256 != summary.trainings["OnDemand"].model_sha256
    assert "Different" in text


def test_an_earlier_report_is_replaced_whole(tmp_path: Path) -> None:
    write(succeeded(), tmp_path / "run")
    (tmp_path / "run" / "stale.txt").write_text("old")
    write(succeeded(), tmp_path / "run", fill=False)
    assert not (tmp_path / "run" / "stale.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_report_that_cannot_be_finished_leaves_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(page: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    write(succeeded(), tmp_path / "run")
    before = (tmp_path / "run" / "report.html").stat().st_ino
    monkeypatch.setattr("ops.output.report.render", full)
    with pytest.raises(ReportError, match=r"No space left on device.*--output"):
        write(succeeded(), tmp_path / "run", fill=False)
    assert (tmp_path / "run" / "report.html").stat().st_ino == before
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_directory_with_something_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ReportError, match="holds something that is no report"):
        write(succeeded(), tmp_path)
    assert (tmp_path / "thesis.txt").exists()
    with pytest.raises(ReportError, match="is no directory"):
        write(succeeded(), tmp_path / "thesis.txt", fill=False)
