"""Hyper-parameters arrive as strings; whatever is wrong with them is said at once."""

import json
from pathlib import Path

import pytest

from training import train
from training.hyper_parameters import HyperParameters, as_document, parse_hyper_parameters
from training.job import JobError
from training.paths import BASE_VARIABLE, Paths


def test_strings_become_numbers_and_the_rest_keeps_its_default() -> None:
    given = parse_hyper_parameters({"epochs": "3", "learning-rate": "1e-2", "sagemaker_region": '"x"'})
    assert (given.epochs, given.learning_rate) == (3, 0.01)
    assert given == HyperParameters(epochs=3, learning_rate=0.01)
    assert parse_hyper_parameters({key: str(value) for key, value in as_document(given).items()}) == given


def test_one_error_lists_every_mistake() -> None:
    with pytest.raises(JobError) as caught:
        parse_hyper_parameters(
            {"epochs": "0", "dropout": "1", "learning_rat": "1", "seed": "7.5", "batch-size": "8"}
        )
    message = str(caught.value)
    assert message.startswith("4 hyper-parameters are wrong")
    for part in (
        "epochs is '0'",
        "from 1 to 10000",
        "dropout is '1'",
        "did you mean learning-rate?",
        "seed is '7.5'",
    ):
        assert part in message
    assert "batch-size" not in message


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
