"""`cv-pipeline compare`: what differs stands side by side, and what cannot be read breaks nothing."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from ops import __main__ as cli
from ops.aws import session
from tests.support.services.fake_execution import (
    BUCKET,
    PREFIX,
    ScriptedExecution,
    ScriptedSageMaker,
    client_of,
)
from tests.support.services.fake_execution_scenarios import fill_bucket, succeeded
from tests.support.services.report_clients import ReportClients

FIRST, SECOND = "q3fz81mkd2ax", "bbbb22222222"


class KnownExecutions:
    def __init__(self) -> None:
        self.first, self.second = succeeded(FIRST), succeeded(SECOND)
        self.second.parameters["Epochs"] = "30"
        self.second.steps = [step for step in self.second.steps if not step.name.startswith("Register")]
        self.sagemaker = ScriptedSageMaker(self.first, self.second)
        self.sagemaker.clock = 100.0
        for execution in (self.first, self.second):
            fill(execution)

    def client(self, service: str, /) -> Any:
        return ReportClients(self.sagemaker).client(service)


def fill(execution: ScriptedExecution) -> None:
    fill_bucket(client_of("s3"), execution)


def folder(execution_id: str, kind: str) -> str:
    return f"executions/{execution_id}/evaluation/{kind}"


def rewrite_answers(execution_id: str, kind: str, wrong: int) -> None:
    """Let so many more of the first images be called by a wrong name."""
    s3, key = client_of("s3"), f"{folder(execution_id, kind)}/predictions.csv"
    text = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    for row in [row for row in rows if row["true"] == row["predicted"]][:wrong]:
        row["predicted"] = "somebody else"
    written = io.StringIO()
    writer = csv.DictWriter(written, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    s3.put_object(Bucket=BUCKET, Key=key, Body=written.getvalue().encode())


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[KnownExecutions]:
    with mock_aws():
        found = KnownExecutions()
        monkeypatch.setattr(session.Session, "client", lambda _self, service: found.client(service))
        yield found


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(world: KnownExecutions, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.run(["compare", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


def execution(name: str) -> str:
    return f"{PREFIX}:pipeline/cv-birds/execution/{name}"


def test_what_differs_stands_side_by_side_and_what_is_the_same_is_named(run: Run) -> None:
    code, said, _ = run(execution(FIRST), execution(SECOND))
    assert code == 0
    (header,) = [line for line in said.splitlines() if line.startswith("Parameters ")]
    assert header.split() == [
        "Parameters",
        *(w for n in (FIRST, SECOND) for k in ("Spot", "OnDemand") for w in (n, k)),
    ]
    (epochs,) = [line for line in said.splitlines() if line.startswith("Epochs ")]
    assert epochs.split() == ["Epochs", "20", "20", "30", "30"]
    assert "LearningRate" in said.partition("Parameters, the same in all:")[2].splitlines()[0]
    assert "Accuracy" in said
    assert "USD" in said


def test_models_are_compared_image_by_image_on_the_same_images(run: Run) -> None:
    rewrite_answers(SECOND, "spot", 30)
    code, said, _ = run(execution(FIRST), execution(SECOND), "--json")
    document = json.loads(said)
    assert code == 0
    same, worse, _ = document["differences_to_the_first"]
    assert (same["column"], same["paired"]["p_value"]) == (f"{FIRST} OnDemand", 1.0)
    assert worse["column"] == f"{SECOND} Spot"
    assert (worse["paired"]["only_first"], worse["paired"]["only_second"]) == (30, 0)
    assert worse["paired"]["accuracy"] == pytest.approx(-30 / worse["paired"]["images"])
    assert worse["paired"]["p_value"] < 1e-6


def test_a_model_package_is_read_through_its_model_metrics(run: Run, world: KnownExecutions) -> None:
    arn = f"{PREFIX}:model-package/cv-birds/2"
    url = f"s3://{BUCKET}/{folder(FIRST, 'spot')}/evaluation.json"
    world.sagemaker.model_metrics = {arn: url}
    world.sagemaker.package_properties = {"PipelineExecutionArn": world.first.arn}
    code, said, _ = run(arn, execution(SECOND), "--json")
    assert code == 0
    document = json.loads(said)
    assert document["columns"][0] == {
        "title": "cv-birds/2",
        "arn": arn,
        "training_type": "Spot",
        "evaluation": url,
    }
    assert document["differences_to_the_first"][0]["paired"]["images"] == 80
    epochs = next(row for row in document["rows"] if row["name"] == "Epochs")
    assert epochs["values"] == ["20", "30", "30"]
    assert document["problems"] == []


def test_a_package_that_does_not_say_where_it_comes_from_is_compared_as_far_as_it_goes(run: Run) -> None:
    code, said, _ = run(f"{PREFIX}:model-package/cv-birds/1", execution(FIRST))
    assert code == 0
    assert "Not known: cv-birds/1 has no ModelMetrics that name an evaluation" in said
    assert "Not known: cv-birds/1 does not say which execution it comes from" in said


def test_other_test_images_are_not_compared_image_by_image(run: Run) -> None:
    s3, key = client_of("s3"), f"{folder(SECOND, 'spot')}/evaluation.json"
    document = json.loads(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
    document["dataset"]["digest"] = "cd" * 32
    s3.put_object(Bucket=BUCKET, Key=key, Body=json.dumps(document).encode())
    _, said, _ = run(execution(FIRST), execution(SECOND))
    assert f"{SECOND} Spot: not compared image by image: the test images are of different data" in said


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"dataset": 3, "classes": [], "predictions": "../x"}', b"[" * 100_000]
)
def test_an_evaluation_that_is_none_breaks_nothing(run: Run, body: bytes) -> None:
    client_of("s3").put_object(Bucket=BUCKET, Key=f"{folder(SECOND, 'spot')}/evaluation.json", Body=body)
    code, said, _ = run(execution(FIRST), execution(SECOND))
    assert code == 0
    assert "not compared image by image" in said


def test_a_page_says_the_same_and_loads_nothing(run: Run, world: KnownExecutions, tmp_path: Path) -> None:
    world.second.parameters["Epochs"] = "<script>alert(1)</script>"
    page = tmp_path / "compare.html"
    code, _, _ = run(execution(FIRST), execution(SECOND), "--html", str(page))
    text = page.read_text(encoding="utf-8")
    assert code == 0
    assert "&lt;script&gt;alert(1)" in text
    assert "<script" not in text
    assert "src=" not in text
    assert "default-src 'none'" in text
    assert "McNemar" in text


def test_one_model_is_nothing_to_compare(run: Run) -> None:
    code, _, said = run(f"{PREFIX}:model-package/cv-birds/1")
    assert code == 2
    assert "name a second execution or model" in said


def test_what_does_not_exist_is_one_sentence(run: Run) -> None:
    code, _, said = run(execution(FIRST), execution("zzzzzzzzzzzz"))
    assert code == 2
    assert said.startswith("Error: no execution ")
    code, _, said = run(execution(FIRST), f"{PREFIX}:model-package/cv-birds/99")
    assert code == 2
    assert "no model package" in said


def test_a_page_that_is_a_folder_is_refused_before_anything_is_asked(
    run: Run, world: KnownExecutions, tmp_path: Path
) -> None:
    code, _, said = run(execution(FIRST), "--html", str(tmp_path))
    assert code == 2
    assert "it is a directory; give another file" in said
    assert world.sagemaker.calls == []


def test_a_page_that_cannot_be_written_is_said_before_anything_is_asked(
    run: Run, world: KnownExecutions, tmp_path: Path
) -> None:
    code, _, said = run(execution(FIRST), "--html", str(tmp_path / "nowhere" / "page.html"))
    assert code == 2
    assert "cannot write" in said
    assert world.sagemaker.calls == []


METRICS = b'{"multiclass_classification_metrics": {%s}}'


@pytest.mark.parametrize(
    "body",
    [
        METRICS % (b'"accuracy": {"value": 1' + b"0" * 400 + b"}"),
        METRICS % b'"x\\u001b[2J": {"value": 0.5}',
        METRICS % b'"\\ud800": {"value": 0.5}',
        METRICS % (b'"' + b"x" * 100_000 + b'": {"value": 0.5}'),
        METRICS % b", ".join(b'"m%d": {"value": 1}' % number for number in range(10_000)),
    ],
)
def test_a_hostile_evaluation_is_shown_in_little_plain_text(run: Run, body: bytes, tmp_path: Path) -> None:
    client_of("s3").put_object(Bucket=BUCKET, Key=f"{folder(SECOND, 'spot')}/evaluation.json", Body=body)
    code, said, error = run(execution(FIRST), execution(SECOND), "--html", str(tmp_path / "page.html"))
    assert code == 0, error
    assert "\x1b" not in said
    assert len(said) < 50_000
    assert (tmp_path / "page.html").stat().st_size < 100_000


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"id,image,true,predicted\n1,a,b,b\n1,a,b,b\n", "row 2 has an image that another row has"),
        (b"id,image,true,predicted\n1,a,b,b\n", "has 1 images and its evaluation.json 80"),
        (b"id,image,true,predicted\n1\n", "row 1 ends too early"),
        (b"id,image,true,predicted\n1," + b"a" * 200_000 + b",b,b\n", "field larger"),
    ],
)
def test_predictions_that_are_not_of_the_evaluation_are_not_paired(
    run: Run, body: bytes, reason: str
) -> None:
    key = f"{folder(SECOND, 'spot')}/predictions.csv"
    client_of("s3").put_object(Bucket=BUCKET, Key=key, Body=body)
    _, said, _ = run(execution(FIRST), execution(SECOND))
    assert reason in said
    # Two times 74 of 80: as of independent images the interval is wide.
    assert "accuracy +0.000 (-0.089 to +0.089), unpaired" in said


@pytest.mark.parametrize(
    "denied",
    [
        "DescribeTrainingJob",
        "ListPipelineParametersForExecution",
        "DescribePipelineDefinitionForExecution",
        "DescribeProcessingJob",
        "ListPipelineExecutionSteps",
    ],
)
def test_a_right_that_is_missing_is_said_and_breaks_nothing(
    run: Run, world: KnownExecutions, denied: str
) -> None:
    world.sagemaker.denied.add(denied)
    code, said, error = run(execution(FIRST), execution(SECOND))
    assert code == 0, error
    assert f"may not sagemaker:{denied}" in said
