"""Hyper-parameters arrive as strings; whatever is wrong with them is said at once."""

import dataclasses
import json
from pathlib import Path

import pytest

from training import train
from training.hyper_parameters import TABLE, as_document, as_help, parse_hyper_parameters
from training.job import JobError
from training.paths import BASE_VARIABLE, Paths


def test_strings_become_numbers_and_the_rest_keeps_its_default() -> None:
    given = parse_hyper_parameters({"epochs": "3", "learning-rate": "1e-2", "sagemaker_region": '"x"'})
    assert (given.epochs, given.learning_rate) == (3, 0.01)
    assert given == dataclasses.replace(parse_hyper_parameters({}), epochs=3, learning_rate=0.01)
    assert parse_hyper_parameters({key: str(value) for key, value in as_document(given).items()}) == given


def test_one_error_lists_every_mistake() -> None:
    with pytest.raises(JobError) as caught:
        parse_hyper_parameters(
            {"epochs": "-1", "dropout": "1", "learning_rat": "1", "seed": "7.5", "batch-size": "8"}
        )
    message = str(caught.value)
    assert message.startswith("4 hyper-parameters are wrong")
    for part in (
        "epochs is '-1'",
        "from 0 to 10000",
        "dropout is '1'",
        "did you mean learning-rate?",
        "seed is '7.5'",
    ):
        assert part in message
    assert "batch-size" not in message


def test_the_device_chooses_the_profile_unless_the_request_does() -> None:
    laptop, gpu = parse_hyper_parameters({}), parse_hyper_parameters({}, has_gpu=True)
    assert (laptop.profile, laptop.fine_tune_layers, laptop.precision) == ("laptop", "last-stage", "fp32")
    assert (gpu.profile, gpu.fine_tune_layers, gpu.precision) == ("gpu", "all", "bf16")
    assert parse_hyper_parameters({"profile": "laptop"}, has_gpu=True) == laptop
    assert parse_hyper_parameters({"profile": "gpu", "ema-decay": "0.5"}).ema_decay == 0.5
    assert parse_hyper_parameters({name: "auto" for name, entry in TABLE.items() if entry.is_auto}) == laptop


def test_a_training_of_no_epochs_is_refused() -> None:
    with pytest.raises(JobError, match="epochs and fine-tune-epochs are both 0"):
        parse_hyper_parameters({"epochs": "0", "fine-tune-epochs": "0"})


def test_the_help_names_every_hyper_parameter_with_its_default_and_how_it_is_switched_off(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert train.main(["--help"]) == 0
    said = capsys.readouterr().out
    assert as_help() in said
    for name, entry in TABLE.items():
        assert f"  {name} = " in said
        assert entry.description in said


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "", "0", "0x1"])
def test_a_learning_rate_is_a_positive_number(value: str) -> None:
    with pytest.raises(JobError, match="learning-rate is"):
        parse_hyper_parameters({"learning-rate": value})


def test_the_failure_file_tells_sagemaker_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BASE_VARIABLE, str(tmp_path))
    paths = Paths(tmp_path)
    paths.hyper_parameters.parent.mkdir(parents=True)
    paths.hyper_parameters.write_text(json.dumps({"epochs": "many", "x" * 3000: "1"}))
    assert train.main() == 1
    reason = paths.failure.read_text()
    assert reason.startswith("2 hyper-parameters are wrong: epochs is 'many'")
    assert len(reason.encode()) <= 1024
    assert reason.count("\n") <= 1
