"""Evaluation: the numbers, the intervals, the files beside them, and what may be inside a model.tar.gz."""

import csv
import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from image_data.decoding import encode_exactly
from image_data.records import ImageRecord
from tests.support.training.trained_model import preprocessed, run, training_folder
from training import evaluate
from training.checkpoint import code_version
from training.data import Channel
from training.evaluation import metrics
from training.job import JobError
from training.paths import BASE_VARIABLE, Paths, write_json
from training.shards import ShardWriter, StoredImage

pytestmark = pytest.mark.slow

NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Paths]:
    outputs = preprocessed(tmp_path_factory.mktemp("preprocess"))
    paths = training_folder(
        tmp_path_factory.mktemp("train"), outputs, learning_rate="0.01", epochs="20", fine_tune_epochs="0"
    )
    run(paths)
    return outputs, paths


class EvaluateJob:
    """An evaluation's folder; its model is packed from the given members."""

    def __init__(
        self, base: Path, outputs: Path, members: dict[str, bytes], patch: pytest.MonkeyPatch
    ) -> None:
        self.paths = Paths(base)
        for name in ("test", "manifest"):
            self.paths.processing_input(name).parent.mkdir(parents=True, exist_ok=True)
            self.paths.processing_input(name).symlink_to(outputs / name)
        self.model = self.paths.processing_input("model") / "model.tar.gz"
        self.model.parent.mkdir()
        with tarfile.open(self.model, "w:gz") as tar:
            for name, content in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        patch.setenv(BASE_VARIABLE, str(base))

    def run(self, training_type: str = "Spot") -> int:
        return evaluate.main(["--training-type", training_type])

    def failure(self) -> str:
        assert self.run() == 1
        return self.paths.message.read_text()

    def card(self) -> dict[str, Any]:
        path = self.paths.processing_output("evaluation") / "model-card.json"
        card: dict[str, Any] = json.loads(path.read_text())
        return card

    def document(self) -> dict[str, Any]:
        path = self.paths.processing_output("evaluation") / "evaluation.json"
        document: dict[str, Any] = json.loads(path.read_text())
        return document


def predictions(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def files(paths: Paths) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in paths.model.iterdir()}


@pytest.fixture
def job(trained: tuple[Path, Paths], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EvaluateJob:
    return EvaluateJob(tmp_path, trained[0], files(trained[1]), monkeypatch)


def test_evaluation_json_has_what_the_condition_and_the_registry_read(job: EvaluateJob) -> None:
    assert job.run("OnDemand") == 0
    document = job.document()
    assert (document["version"], document["training_type"]) == (1, "OnDemand")
    assert document["dataset"]["item_count"] == 18
    found = document["multiclass_classification_metrics"]
    assert found["accuracy"]["value"] == 1.0  # three colours
    assert found["accuracy"]["confidence_interval"] == pytest.approx(
        {"level": 0.95, "lower": 0.824, "upper": 1}, abs=1e-3
    )
    assert {"macro_precision", "macro_recall", "macro_f1", "weighted_f1", "confusion_matrix"} <= found.keys()
    assert found["confusion_matrix"]["003.Bobolink"] == {
        "001.Black_footed_Albatross": 0,
        "002.Crested_Auklet": 0,
        "003.Bobolink": 6,
    }
    assert document["classes"]["003.Bobolink"]["support"] == 6
    assert found["log_loss"]["value"] > 0
    assert found["brier_score"]["value"] > 0
    assert sum(each["images"] for each in document["calibration"]["bins"]) == 18
    folder = job.paths.processing_output("evaluation")
    rows = predictions(folder / document["predictions"])
    assert [row["predicted"] == row["true"] for row in rows] == [True] * 18
    assert (document["mistakes"], (folder / "mistakes").exists()) == ([], False)
    assert "accuracy 1.0000" in job.paths.message.read_text()


def test_the_same_model_gives_the_same_document_but_for_what_is_this_job_s_alone(job: EvaluateJob) -> None:
    assert job.run() == 0
    first, card = job.document(), job.card()
    assert job.run() == 0
    again = job.document()
    for each in (first, again):
        timed = each.pop("this_job")
        assert (timed["arn"], timed["device"]) == (None, "cpu")
        assert timed["threads"] >= 1
        assert timed["latency"]["images"] > 0
        assert 0 < timed["latency"]["median_milliseconds"] <= timed["latency"]["p95_milliseconds"]
    assert again == first
    assert job.card() == card


def test_the_temperature_of_the_model_is_applied_and_the_worth_of_both_is_told(
    trained: tuple[Path, Paths], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = files(trained[1])
    as_trained = json.loads(members["model.json"])
    told = {}
    for temperature in (1.0, as_trained["temperature"], 4.0):
        members["model.json"] = json.dumps(as_trained | {"temperature": temperature}).encode()
        job = EvaluateJob(tmp_path / str(temperature), trained[0], dict(members), monkeypatch)
        assert job.run() == 0
        told[temperature] = job.document()
        assert told[temperature]["calibration"]["temperature"] == temperature
        assert told[temperature]["calibration"]["before"] == told[1.0]["calibration"]["before"]
        metrics = told[temperature]["multiclass_classification_metrics"]
        for name in ("log_loss", "brier_score"):
            assert metrics[name]["value"] == told[temperature]["calibration"][name]
    before = told[1.0]["calibration"]
    assert before["before"] == {name: before[name] for name in before["before"]}
    assert as_trained["temperature"] != 1.0
    fitted, flat = (told[each]["calibration"]["log_loss"] for each in (as_trained["temperature"], 4.0))
    assert fitted < before["log_loss"] < flat, "the fitted one suits other images of the same data, too"


def test_what_a_model_comes_from_is_in_its_evaluation(job: EvaluateJob, trained: tuple[Path, Paths]) -> None:
    configuration = {
        "ProcessingJobArn": "arn:aws:sagemaker:us-east-1:111122223333:processing-job/e",
        "AppSpecification": {"ImageUri": "111122223333.dkr.ecr.us-east-1.amazonaws.com/cv@sha256:12"},
        "ProcessingInputs": [
            {"InputName": "test", "S3Input": {"S3Uri": "s3://b/test"}},
            {"InputName": "model", "S3Input": {"S3Uri": "s3://b/model.tar.gz"}},
        ],
    }
    write_json(job.paths.processing_job, configuration)
    assert job.run() == 0
    document, members = job.document(), files(trained[1])
    model = json.loads(members["model.json"])
    weights = members["model.safetensors"]
    manifest = json.loads((trained[0] / "manifest/manifest.json").read_text())
    assert document["lineage"] == {
        "backbone": "efficientnet_lite0",
        "pretrained_sha256": model["pretrained_digest"],
        "pretrained_licence": "Apache-2.0",
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "data_digest": manifest["digest"],
        "training_code_sha256": code_version(),
        "evaluation_code_sha256": code_version(),
        "image": configuration["AppSpecification"]["ImageUri"],  # type: ignore[index]
    }
    assert model["temperature"] > 0
    assert document["dataset"]["input_digest"] == manifest["input_digest"]
    assert document["size"] == {
        "parameters": 3_371_008 + 3 * 1281,  # of EfficientNet-Lite0 without its classifier, and the head
        "weights_bytes": len(weights),
    }
    assert document["this_job"]["arn"] == configuration["ProcessingJobArn"]
    card = job.card()
    assert card["model_overview"]["model_artifact"] == ["s3://b/model.tar.gz"]
    assert card["evaluation_details"][0]["evaluation_job_arn"] == configuration["ProcessingJobArn"]


def test_what_no_one_told_is_said_to_be_unknown(job: EvaluateJob) -> None:
    """A model package's properties take no empty text."""
    assert job.run() == 0
    lineage = job.document()["lineage"]
    assert lineage["image"] == "unknown"
    assert all(isinstance(each, str) and 0 < len(each) <= 256 for each in lineage.values())


def test_the_model_card_is_in_sagemaker_s_schema_and_has_the_numbers(job: EvaluateJob) -> None:
    shapes = pytest.importorskip("sagemaker.core.shapes.model_card_shapes")
    assert job.run() == 0
    document, card = job.document(), job.card()
    read = shapes.ModelCardContent.model_validate(card).model_dump(mode="json", exclude_none=True)
    # The SDK's shapes leave out what they do not know; this one member CloudFormation's schema has.
    environment = card["model_overview"].pop("inference_environment")
    assert environment == {"container_image": ["unknown"]}
    assert read == card
    assert len(json.dumps(card)) < 100_000, "SageMaker takes no longer card"
    groups = {each["name"]: each["metric_data"] for each in card["evaluation_details"][0]["metric_groups"]}
    assert list(groups) == ["All test images", "Accuracy by box area share", "Accuracy by box aspect ratio"]
    numbers = {each["name"]: each["value"] for each in groups["All test images"]}
    metrics = document["multiclass_classification_metrics"]
    assert numbers["Balanced accuracy"] == metrics["balanced_accuracy"]["value"]
    assert numbers["Temperature"] == document["calibration"]["temperature"]
    given = card["training_details"]["training_job_details"]["user_provided_hyper_parameters"]
    assert {"name": "learning-rate", "value": "0.01"} in given or {
        "name": "learning_rate",
        "value": "0.01",
    } in given


def test_mistakes_show_where_the_network_looked(
    trained: tuple[Path, Paths], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = files(trained[1])
    state = safetensors.torch.load(members["model.safetensors"])
    state["head.1.weight"] = state["head.1.weight"].roll(1, 0)  # so that it calls every class by another name
    state["head.1.bias"] = state["head.1.bias"].roll(1, 0)
    members["model.safetensors"] = safetensors.torch.save(state)
    job = EvaluateJob(tmp_path, trained[0], members, monkeypatch)
    assert job.run() == 0
    document = job.document()
    # Of 32 pixels the network's top has a single place left: the last map that has more is before it.
    assert document["grad_cam"] == {"layer": "body.blocks.11.layers.2", "reason": None}
    assert len(document["mistakes"]) == 18
    for number, each in enumerate(document["mistakes"]):
        assert each["grad_cam"] == f"mistakes/{number:03d}-grad-cam.jpg"
        with Image.open(job.paths.processing_output("evaluation") / each["grad_cam"]) as picture:
            assert (picture.format, picture.size) == ("JPEG", (32, 32))
    (most,) = document["confused_pairs"][:1]
    assert most["images"] == max(each["images"] for each in document["confused_pairs"])
    area = next(each for each in document["slices"] if each["by"] == "box_area_share")
    assert sum(group["images"] for group in area["groups"]) == 18
    assert {group["accuracy"] for group in area["groups"]} == {0}


def test_members_may_begin_with_a_dot_and_others_are_ignored(
    trained: tuple[Path, Paths], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {"../evil": b"x", "code/inference.py": b"x"} | {
        f"./{k}": v for k, v in files(trained[1]).items()
    }
    job = EvaluateJob(tmp_path / "job", trained[0], members, monkeypatch)
    assert job.run() == 0
    assert not (job.model.parent.parent / "evil").exists()


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_member_that_says_it_is_huge_is_not_read(job: EvaluateJob, name: str) -> None:
    from training import artifact

    member = tarfile.TarInfo(name)
    member.size = artifact.CAPS[name] + 1
    # Its header and nothing more: whoever reads it before looking at the size says that it is truncated.
    job.model.write_bytes(gzip.compress(member.tobuf()))
    assert f"more than the {artifact.CAPS[name]:,} allowed" in job.failure()


def test_a_link_is_not_followed(job: EvaluateJob) -> None:
    with tarfile.open(job.model, "w:gz") as tar:
        for name in ("model.json", "model.safetensors"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(link)
    assert "has no model.json and no model.safetensors" in job.failure()


def test_a_truncated_model_is_answered_plainly(job: EvaluateJob) -> None:
    job.model.write_bytes(job.model.read_bytes()[:5000])
    assert "truncated or damaged" in job.failure()


@pytest.mark.parametrize("missing", ["model.json", "model.safetensors"])
def test_an_incomplete_model_is_answered_plainly(
    trained: tuple[Path, Paths], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    members = {name: content for name, content in files(trained[1]).items() if name != missing}
    assert f"has no {missing}" in EvaluateJob(tmp_path, trained[0], members, monkeypatch).failure()


def test_a_model_of_other_classes_is_not_judged(
    trained: tuple[Path, Paths], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = preprocessed(tmp_path / "other", classes=4)
    reason = EvaluateJob(tmp_path / "job", other, files(trained[1]), monkeypatch).failure()
    assert "the model knows 3 classes and the manifest 4" in reason
    assert "004.Indigo Bunting" in reason


def test_an_unknown_training_type_is_refused(job: EvaluateJob) -> None:
    assert job.run("Reserved") == 1
    assert "choose from" in job.paths.message.read_text()


# --- the numbers -------------------------------------------------------------------------------------------


def test_the_metrics_are_those_of_a_matrix_computed_by_hand() -> None:
    counts = metrics.confusion_matrix([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 0], 3)
    assert counts.tolist() == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    found = metrics.classification_metrics(counts, NAMES, seed=1)
    assert found["accuracy"]["value"] == pytest.approx(4 / 6)
    assert found["accuracy"]["standard_deviation"] == pytest.approx((4 / 6 * 2 / 6 / 6) ** 0.5)
    assert found["macro_precision"]["value"] == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert found["macro_recall"]["value"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert found["macro_f1"]["value"] == pytest.approx((2 / 3 + 4 / 5 + 0) / 3)
    assert found["weighted_recall"]["value"] == pytest.approx(4 / 6)
    assert metrics.class_report(counts, NAMES)["b"]["precision"] == pytest.approx(2 / 3)


def test_a_class_that_neither_occurs_nor_is_answered_does_not_count() -> None:
    counts = np.array([[3, 0, 0], [0, 3, 0], [0, 0, 0]])
    assert metrics.summary(counts)["macro_f1"] == 1.0


def test_wilson_gives_the_published_interval() -> None:
    assert metrics.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)  # Newcombe 1998, method 3
    assert metrics.wilson(0, 0) == (0.0, 1.0)


PROBABILITIES = [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4], [0.05, 0.9, 0.05], [0.1, 0.2, 0.7]]
TRUTH = [0, 1, 0, 2, 2]


def test_log_loss_and_brier_score_are_scikit_learns() -> None:
    sklearn_metrics = pytest.importorskip("sklearn.metrics")  # comes with SageMaker's SDK
    chances = np.array(PROBABILITIES)
    assert metrics.log_loss(np.log(chances), TRUTH) == pytest.approx(sklearn_metrics.log_loss(TRUTH, chances))
    theirs = sklearn_metrics.brier_score_loss(TRUTH, chances, scale_by_half=False)
    assert metrics.brier_score(chances, TRUTH) == pytest.approx(theirs)
    assert metrics.brier_score(np.eye(3), [0, 1, 2]) == 0.0
    assert metrics.brier_score(np.eye(3), [1, 2, 0]) == 2.0


def test_calibration_compares_confidence_and_accuracy_bin_by_bin() -> None:
    confidence = np.array([0.7, 0.8, 0.4, 0.9, 0.7, 1.0])
    right = np.array([True, True, False, False, True, True])
    found = metrics.calibration(confidence, right)
    assert [(each["lower"], each["upper"], each["images"]) for each in found["bins"]] == [
        (0.3, 0.4, 1),  # the upper bound belongs to a bin
        (0.6, 0.7, 2),
        (0.7, 0.8, 1),
        (0.8, 0.9, 1),
        (0.9, 1.0, 1),
    ]
    assert [each["accuracy"] for each in found["bins"]] == [0, 1, 1, 0, 1]
    assert found["bins"][1]["confidence"] == pytest.approx(0.7)
    assert found["expected_calibration_error"] == pytest.approx((0.4 + 2 * 0.3 + 0.2 + 0.9 + 0) / 6)


ANSWERS = st.lists(st.tuples(st.floats(0.01, 1), st.booleans()), min_size=1, max_size=40)


@given(ANSWERS)
def test_the_calibration_error_is_that_of_an_independent_loop(answers: list[tuple[float, bool]]) -> None:
    expected = 0.0
    for number in range(10):
        lower, upper = number / 10, (number + 1) / 10
        inside = [(sure, right) for sure, right in answers if lower < sure <= upper]
        if inside:
            gap = sum(right for _, right in inside) - sum(sure for sure, _ in inside)
            expected += abs(gap) / len(answers)
    sure, right = zip(*answers, strict=True)
    found = metrics.calibration(np.array(sure), np.array(right))
    assert found["expected_calibration_error"] == pytest.approx(expected)
    assert sum(each["images"] for each in found["bins"]) == len(answers)


MATRICES = st.lists(st.lists(st.integers(0, 6), min_size=3, max_size=3), min_size=3, max_size=3)


@given(MATRICES.filter(lambda rows: any(map(any, rows))))
def test_every_value_lies_in_its_interval_and_between_0_and_1(rows: list[list[int]]) -> None:
    counts = np.array(rows)
    accuracy = float(np.trace(counts) / counts.sum())
    lower, upper = metrics.wilson(int(np.trace(counts)), int(counts.sum()))
    assert 0 <= lower <= accuracy + 1e-12
    assert accuracy - 1e-12 <= upper <= 1
    assert all(0 <= value <= 1 + 1e-12 for value in metrics.summary(counts).values())


# --- the files beside evaluation.json ----------------------------------------------------------------------

ODD = ['Kestrel, "common"', "Grünspecht\rx", "kea"]


def channel(folder: Path, names: list[str], size: tuple[int, int] = (300, 200)) -> Channel:
    """Store an image for each name, of class 0, 1, 2, 0, ..., each in a brightness of its own."""
    with ShardWriter(folder, "algo-1") as writer:
        for number, name in enumerate(names, 7):
            image = Image.new("RGB", size, (number,) * 3)
            stored = StoredImage(encode_exactly(image), ".ppm", *size, *size)
            label = (number - 7) % 3
            record = ImageRecord(number, name, name, label + 1, None, None)
            writer.add(record, label, stored)
    classes = [{"label": label, "class_id": label + 1, "name": name} for label, name in enumerate(ODD)]
    write_json(folder / "classes.json", {"classes": classes, "digest": "d", "short_side": 200})
    return Channel(folder)


def logits(*answers: tuple[int, float]) -> torch.Tensor:
    """Answer with this label, this much surer than with the other two."""
    rows = torch.zeros(len(answers), 3)
    for row, (label, lead) in zip(rows, answers, strict=True):
        row[label] = lead
    return rows


def test_predictions_csv_has_every_image_and_survives_any_name(tmp_path: Path) -> None:
    names = ['a, "b".jpg', "ü\rn\n.jpg", "=1+1.jpg"]
    test = channel(tmp_path / "test", names)
    evaluate.report(tmp_path, logits((0, 2.0), (2, 1.0), (2, 40.0)), test, ODD)
    text = (tmp_path / "predictions.csv").read_bytes().decode()
    assert text.startswith('"id","image","true","predicted","probability","probability_of_true"\n"7",')
    rows = predictions(tmp_path / "predictions.csv")
    assert [(row["id"], row["image"], row["true"], row["predicted"]) for row in rows] == [
        ("7", names[0], ODD[0], ODD[0]),
        ("8", names[1], ODD[1], ODD[2]),
        ("9", names[2], ODD[2], ODD[2]),
    ]
    e = 2.718281828
    assert rows[0]["probability"] == rows[0]["probability_of_true"] == f"{e**2 / (e**2 + 2):.6f}"
    assert (rows[1]["probability"], rows[1]["probability_of_true"]) == (
        f"{e / (e + 2):.6f}",
        f"{1 / (e + 2):.6g}",
    )
    assert rows[2]["probability"] == "1.000000"


def test_the_log_loss_can_be_computed_from_the_table(tmp_path: Path) -> None:
    test = channel(tmp_path / "test", ["a.jpg", "b.jpg"])
    document = evaluate.report(tmp_path, logits((1, 60.0), (1, 0.1)), test, ODD)
    of_truth = [float(row["probability_of_true"]) for row in predictions(tmp_path / "predictions.csv")]
    found = document["multiclass_classification_metrics"]["log_loss"]["value"]
    assert found == pytest.approx(-np.log(of_truth).mean(), rel=1e-5)
    assert found > 29


def test_the_surest_mistakes_come_first_with_small_pictures(tmp_path: Path) -> None:
    test = channel(tmp_path / "test", [f"{number}.jpg" for number in range(40)])
    # 7 and 14 are right; 3 and 33 are the surest mistakes and equal, the others are ever less sure.
    leads = {3: 90.0, 33: 90.0}
    answers = [
        (position % 3 if position in (7, 14) else (position + 1) % 3, leads.get(position, 5 - position / 20))
        for position in range(40)
    ]
    document = evaluate.report(tmp_path, logits(*answers), test, ODD)
    mistakes = document["mistakes"]
    assert [each["image"] for each in mistakes[:4]] == ["3.jpg", "33.jpg", "0.jpg", "1.jpg"]
    assert not {"7.jpg", "14.jpg"} & {each["image"] for each in mistakes}
    assert [each["file"] for each in mistakes] == [f"mistakes/{number:03d}.jpg" for number in range(24)]
    assert (mistakes[0]["true"], mistakes[0]["predicted"]) == (ODD[0], ODD[1])
    assert mistakes[0]["probability"] == 1.0
    assert sorted(path.name for path in (tmp_path / "mistakes").iterdir()) == [
        f"{number:03d}.jpg" for number in range(24)
    ]
    with Image.open(tmp_path / mistakes[1]["file"]) as picture:
        assert (picture.format, picture.size, picture.info.get("exif")) == ("JPEG", (240, 160), None)
        assert abs(picture.convert("L").getpixel((5, 5)) - (33 + 7)) <= 1  # type: ignore[operator]
    assert (tmp_path / mistakes[0]["file"]).stat().st_size < 12_000


@pytest.mark.parametrize(("size", "small"), [((60, 40), (60, 40)), ((2000, 200), (320, 32))])
def test_pictures_are_never_enlarged_nor_very_wide(
    tmp_path: Path, size: tuple[int, int], small: tuple[int, int]
) -> None:
    test = channel(tmp_path / "test", ["a.jpg"], size)
    evaluate.report(tmp_path, logits((2, 1.0)), test, ODD)
    with Image.open(tmp_path / "mistakes/000.jpg") as picture:
        assert picture.size == small


def test_no_answer_but_a_number_is_measured(tmp_path: Path) -> None:
    test = channel(tmp_path / "test", ["a.jpg", "b.jpg"])
    with pytest.raises(JobError, match=r"numbers overflow for image 'b\.jpg'"):
        evaluate.report(tmp_path, logits((0, 1.0), (0, float("inf"))), test, ODD)
    assert not (tmp_path / "predictions.csv").exists()
