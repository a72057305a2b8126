"""Benchmarks that a test machine cannot run whole: what they compute, and how they refuse."""

from pathlib import Path

import pytest
import torch

from tests.benchmarks import gpu
from tests.benchmarks.folds import corrected_interval
from tests.benchmarks.shards import Shards
from tests.support.training.cub_layout import write_cub


def test_the_gpu_benchmark_says_that_there_is_no_gpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 2
    out, error = capsys.readouterr()
    assert "nothing was measured: PyTorch finds no NVIDIA GPU here" in error
    assert not out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--accuracy", "95"], "--accuracy must be above 0 and at most 1"),
        (["--epochs", "1"], "--epochs must be at least 2"),
        (["--image-size", "16"], "--image-size must be at least 32"),
    ],
)
def test_the_gpu_benchmark_refuses_what_it_cannot_measure(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        gpu.main(arguments)
    assert refused.value.code == 2
    assert says in capsys.readouterr().err


def test_the_gpu_benchmark_takes_backbones_and_a_file_of_weights(tmp_path: Path) -> None:
    weights = tmp_path / "weights=1.pth"
    given = gpu.read_arguments(["--backbone", "resnet18", "--backbone", "vgg11", "--train", f"x={weights}"])
    assert given.backbone == ["resnet18", "vgg11"]
    assert (given.train, given.weights) == ("x", weights)
    assert gpu.read_arguments([]).backbone == ["resnet50", "timm/convnext_tiny"]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_gpu_benchmark_measures_steps_on_any_device(tmp_path: Path, precision: str) -> None:
    shards = Shards(write_cub(tmp_path / "data", images=2), tmp_path / "shards", 32)
    sizes = gpu.Sizes(image_size=32, batch_size=2, steps=1)
    assert gpu.step_rate(shards, "efficientnet_lite0", precision, sizes, torch.device("cpu")) > 0


def test_time_to_accuracy_is_that_of_the_first_epoch_that_reaches_it() -> None:
    training = gpu.LoggedTraining(images=100, epochs=((10.0, 0.5), (12.0, 0.9), (14.0, 0.8), (15.0, 0.95)))
    assert training.seconds_to(0.9) == 12
    assert training.seconds_to(0.99) is None
    assert training.images_per_second == pytest.approx(300 / 5)


def test_the_interval_of_a_difference_is_wider_for_images_that_folds_share() -> None:
    # By hand: (1/2 + 1/4) of the variance 0.005, whose root times t = 12.7062 is 0.7781.
    assert corrected_interval([0.0, 0.1], train=4, test=1) == pytest.approx((-0.7281, 0.8281), abs=1e-4)
