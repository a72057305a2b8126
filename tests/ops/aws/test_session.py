"""How often AWS is asked again: for as long as a person may watch, but not where nobody can be there."""

import pytest

from ops.aws.session import settings


@pytest.mark.parametrize("service", ["s3", "lambda"])
def test_an_endpoint_on_this_machine_is_asked_once_more_and_aws_for_as_long_as_it_takes(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings(service).retries == {"mode": "standard", "total_max_attempts": 9}
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://vpce-1.s3.eu-west-1.vpce.amazonaws.com")
    assert settings(service).retries == {"mode": "standard", "total_max_attempts": 9}
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:4566")
    assert settings(service).retries == {"mode": "standard", "total_max_attempts": 2}
