"""How often AWS is asked again: for as long as a person may watch, but not where nobody can be there."""

import pytest

from ops.aws.session import Session, settings
from ops.errors import OpsError


@pytest.mark.parametrize("service", ["s3", "lambda"])
def test_an_endpoint_on_this_machine_is_asked_once_more_and_aws_for_as_long_as_it_takes(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings(service).retries == {"mode": "standard", "total_max_attempts": 9}
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://vpce-1.s3.eu-west-1.vpce.amazonaws.com")
    assert settings(service).retries == {"mode": "standard", "total_max_attempts": 9}
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:4566")
    assert settings(service).retries == {"mode": "standard", "total_max_attempts": 2}


@pytest.mark.parametrize(
    ("variables", "region"),
    [
        ({"AWS_REGION": "eu-west-1"}, "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-2"}, "eu-west-2"),
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-2"}, "eu-west-1"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "eu-west-2"}, "eu-west-2"),
    ],
)
def test_the_region_is_the_one_that_other_aws_tools_take(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], region: str
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Session().client("s3").meta.region_name == region


@pytest.mark.parametrize("url", ["nonsense", "http://localhost:port", "http://[::1"])
def test_an_endpoint_that_is_no_url_is_one_sentence(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    with pytest.raises(OpsError, match="AWS_ENDPOINT_URL, or endpoint_url of the profile, must be a URL"):
        Session().client("s3")
