"""Evaluation: the numbers, the intervals, and what may be inside a model.tar.gz."""

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.training.trained_model import preprocessed, run, training_folder
from training import evaluate, metrics
from training.paths import BASE_VARIABLE, Paths

pytestmark = pytest.mark.slow

NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Paths]:
    outputs = preprocessed(tmp_path_factory.mktemp("preprocess"))
    paths = training_folder(tmp_path_factory.mktemp("train"), outputs, learning_rate="0.01", epochs="10")
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

    def document(self) -> dict[str, Any]:
        path = self.paths.processing_output("evaluation") / "evaluation.json"
        document: dict[str, Any] = json.loads(path.read_text())
        return document


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
    assert "accuracy 1.0000" in job.paths.message.read_text()


def test_the_same_model_gives_the_same_document(job: EvaluateJob) -> None:
    assert job.run() == 0
    first = job.document()
    assert job.run() == 0
    assert job.document() == first


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


MATRICES = st.lists(st.lists(st.integers(0, 6), min_size=3, max_size=3), min_size=3, max_size=3)


@given(MATRICES.filter(lambda rows: any(map(any, rows))))
def test_every_value_lies_in_its_interval_and_between_0_and_1(rows: list[list[int]]) -> None:
    counts = np.array(rows)
    accuracy = float(np.trace(counts) / counts.sum())
    lower, upper = metrics.wilson(int(np.trace(counts)), int(counts.sum()))
    assert 0 <= lower <= accuracy + 1e-12
    assert accuracy - 1e-12 <= upper <= 1
    assert all(0 <= value <= 1 + 1e-12 for value in metrics.summary(counts).values())
