"""What cannot be trained on ends with a sentence, not with a traceback or a useless model."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.support.training.trained_model import preprocessed, run, training_folder
from training import fit
from training.fit import HeadPhase, Score
from training.job import JobError
from training.model import Classifier

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return preprocessed(tmp_path_factory.mktemp("preprocess"))


def test_a_batch_of_one_image_without_statistics_says_what_to_change(outputs: Path, tmp_path: Path) -> None:
    # 15 images in batches of 14 leave one, and of one image of 32 pixels the last stage has one place.
    paths = training_folder(tmp_path, outputs, batch_norm="trained", batch_size="14")
    with pytest.raises(JobError, match=r"a part of 1 image of 32 pixels.* choose a batch-size") as said:
        run(paths)
    assert "single one of 15 images" in str(said.value)


def test_a_batch_is_not_cut_into_more_parts_than_it_has_images(
    outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    forward = Classifier.forward

    def counting(classifier: Classifier, images: Tensor) -> Tensor:
        seen.append(len(images))
        return forward(classifier, images)

    paths = training_folder(tmp_path, outputs, epochs="0", fine_tune_epochs="1", accumulation_steps="1000")
    monkeypatch.setattr(Classifier, "forward", counting)
    run(paths)
    # 15 train images one at a time, and the 3 validation images twice: of the epoch, of the temperature.
    assert seen == [1] * 15 + [3, 3]


def test_a_validation_loss_that_is_no_number_ends_the_training_there(
    outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overflown(_phase: HeadPhase, _classifier: Classifier) -> Score:
        return fit.score(torch.full((1, 3), torch.inf), torch.tensor([0]))

    monkeypatch.setattr(HeadPhase, "evaluate", overflown)
    paths = training_folder(tmp_path, outputs, patience="1", kept_epoch="best")
    with pytest.raises(JobError, match=r"validation loss of head is no finite number after epoch 1: .*lower"):
        run(paths)


def test_a_training_that_diverged_without_an_overflow_says_so(
    outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(training_folder(tmp_path, outputs, fine_tune_learning_rate="10", fine_tune_epochs="1"))
    said = capsys.readouterr()
    assert "temperature=100.0000" in said.out
    assert "its training has probably diverged; train again with a lower learning-rate" in said.err
