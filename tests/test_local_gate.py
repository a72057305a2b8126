"""The laptop's AWS keeps strangers out and says what it does not implement."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from local.aws import LocalAWS
from local_clients import ask, client, port_of, refusal


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    with LocalAWS(work_dir=tmp_path_factory.mktemp("aws")) as running:
        running.client("s3").create_bucket(Bucket="birds")
        yield running


@pytest.mark.parametrize("service", ["s3", "sagemaker", "iam", "lambda"])
def test_a_wrong_secret_is_refused_for_every_protocol(aws: LocalAWS, service: str) -> None:
    wrong = client(aws, service, AWS_SECRET_ACCESS_KEY="wrong")
    operation = {"s3": "list_buckets", "sagemaker": "list_pipelines", "iam": "list_roles"}
    code, status, message = refusal(getattr(wrong, operation.get(service, "list_functions")))
    json = service in {"sagemaker", "lambda"}
    assert code == ("InvalidSignatureException" if json else "SignatureDoesNotMatch")
    assert status in {400, 403}
    assert "signature we calculated does not match" in message


def test_unknown_keys_and_tokens_are_refused(aws: LocalAWS) -> None:
    unknown = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"}
    assert refusal(client(aws, "s3", **unknown).list_buckets)[0] == "InvalidAccessKeyId"
    assert refusal(client(aws, "iam", **unknown).list_roles)[0] == "InvalidClientTokenId"
    assert refusal(client(aws, "sagemaker", **unknown).list_pipelines)[0] == "UnrecognizedClientException"
    assert refusal(client(aws, "s3", AWS_SESSION_TOKEN="x").list_buckets)[0] == "InvalidToken"


def test_unsigned_requests_get_nothing(aws: LocalAWS) -> None:
    aws.client("s3").put_object(Bucket="birds", Key="private", Body=b"secret")
    host = aws.endpoint_url.removeprefix("http://")
    for method, path in (
        ("GET", "/birds/private"),
        ("GET", "/birds"),
        ("GET", "/"),
        ("OPTIONS", "/birds/private"),
    ):
        assert ask(aws, method, path, Host=host).status == 403
    form = ask(
        aws,
        "POST",
        "/",
        b"Action=ListUsers&Version=2010-05-08",
        Host=host,
        Content_Type="application/x-www-form-urlencoded",
    )
    assert b"MissingAuthenticationToken" in form.body  # type: ignore[attr-defined]
    target = ask(aws, "POST", "/", b"{}", Host=host, X_Amz_Target="SageMaker.ListPipelines")
    assert b"MissingAuthenticationToken" in target.body  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "path", ["/moto-api/", "/moto-api/data.json", "/moto-api/reset", "/latest/meta-data/iam"]
)
def test_motos_own_pages_are_closed(aws: LocalAWS, path: str) -> None:
    host = aws.endpoint_url.removeprefix("http://")
    for method in ("GET", "POST"):
        response = ask(aws, method, path, Host=host)
        assert response.status == 400
        assert b"not part of AWS" in response.body  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "localhost.evil.example:{port}", "localhost:1"]
)
def test_a_foreign_host_header_is_refused(aws: LocalAWS, host: str) -> None:
    response = ask(aws, "GET", "/birds", Host=host.format(port=port_of(aws)))
    assert response.status == 400
    assert b"is not this server" in response.body  # type: ignore[attr-defined]


def test_no_answer_opens_the_server_to_web_pages(aws: LocalAWS) -> None:
    s3, seen = aws.client("s3"), []
    s3.meta.events.register(
        "before-sign", lambda request, **_: request.headers.add_header("Origin", "http://evil")
    )
    seen.append(s3.list_buckets()["ResponseMetadata"]["HTTPHeaders"])
    host = aws.endpoint_url.removeprefix("http://")
    seen.append(dict(ask(aws, "OPTIONS", "/birds/x", Host=host, Origin="http://evil").getheaders()))
    assert not [name for headers in seen for name in headers if name.lower().startswith("access-control")]


def test_it_listens_on_one_loopback_address_alone(aws: LocalAWS) -> None:
    with pytest.raises(OSError, match=r"refused|assign|unreachable|timed out"):
        socket.create_connection(("127.0.0.2", port_of(aws)), timeout=5)


def test_every_run_has_keys_of_its_own(aws: LocalAWS) -> None:
    assert len(aws.environment()["AWS_SECRET_ACCESS_KEY"]) == 40
    assert aws.environment()["AWS_ACCESS_KEY_ID"].startswith("AKIA")


# --- what is not there ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "status"),
    [
        ("s3", "get_bucket_analytics_configuration", {"Bucket": "birds", "Id": "x"}, 501),
        ("lambda", "list_code_signing_configs", {}, 400),
        ("lambda", "get_account_settings", {}, 400),
        ("iam", "list_policies_granting_service_access", {"Arn": "x" * 20, "ServiceNamespaces": ["s3"]}, 400),
        ("ssm", "create_ops_item", {"Description": "d", "Source": "s", "Title": "t"}, 400),
    ],
)
def test_an_operation_that_is_not_implemented_says_so(
    aws: LocalAWS, service: str, operation: str, parameters: dict[str, Any], status: int
) -> None:
    code, found, message = refusal(getattr(aws.client(service), operation), **parameters)
    assert (code, found) == ("NotImplemented", status)
    assert "The laptop's AWS does not implement this operation" in message
