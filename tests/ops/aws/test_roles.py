"""Working as a role of the deployment: who becomes it, who is it already, what is said when AWS refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.aws import LocalAWS
from ops.aws import roles
from ops.aws.stack import StackOutputs
from ops.errors import OpsError, RoleRefusedError, explain

ACCOUNT = "123456789012"
OF_ACCOUNT = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}
ROLE = f"arn:aws:iam::{ACCOUNT}:role/birds-uploader-us-east-1"
CLOSED = f"arn:aws:iam::{ACCOUNT}:role/birds-break-glass-us-east-1"


class Person:
    """Somebody's clients; counts how often each service was asked for."""

    def __init__(self, sts: Any, **others: Any) -> None:
        self.clients, self.asked = {"sts": sts, **others}, list[str]()

    def client(self, service: str, /) -> Any:
        self.asked.append(service)
        return self.clients[service]


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    with LocalAWS(work_dir=tmp_path_factory.mktemp("aws")) as aws:
        iam = aws.client("iam")
        for arn, trust in (
            (ROLE, OF_ACCOUNT),
            (CLOSED, {**OF_ACCOUNT, "Principal": {"Service": "ec2.amazonaws.com"}}),
        ):
            name = arn.rpartition("/")[2]
            document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)
        may_list = {"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}
        rights = json.dumps({"Version": "2012-10-17", "Statement": [may_list]})
        iam.put_role_policy(RoleName=ROLE.rpartition("/")[2], PolicyName="own", PolicyDocument=rights)
        yield aws


def caller(clients: Any) -> str:
    return str(clients.client("sts").get_caller_identity()["Arn"])


def test_a_person_becomes_the_stack_s_uploader_role_under_their_own_name(aws: LocalAWS) -> None:
    became = roles.uploader(aws, StackOutputs("birds", {"UploaderRoleArn": ROLE}))
    assert caller(became) == f"arn:aws:sts::{ACCOUNT}:assumed-role/birds-uploader-us-east-1/administrator"
    assert became.client("s3").list_buckets()["Buckets"] == []
    with pytest.raises(ClientError, match="AccessDenied"):
        became.client("s3").create_bucket(Bucket="not-mine")


def test_whoever_is_the_role_already_goes_on(aws: LocalAWS) -> None:
    became = roles.assume(aws, ROLE)
    assert roles.assume(became, ROLE) is became
    with_path = ROLE.replace("role/", "role/team/")
    assert roles.assume(became, with_path) is became


@pytest.mark.parametrize("wanted", [None, "none"])
def test_without_a_role_a_person_stays_themselves(wanted: str | None) -> None:
    nobody = Person(None)
    outputs = {} if wanted is None else {"UploaderRoleArn": ROLE}
    assert roles.uploader(nobody, StackOutputs("birds", outputs), wanted) is nobody
    assert nobody.asked == []


def test_a_role_that_is_named_goes_before_the_stack_s(aws: LocalAWS) -> None:
    became = roles.uploader(aws, StackOutputs("birds", {"UploaderRoleArn": CLOSED}), ROLE)
    assert ":assumed-role/birds-uploader-" in caller(became)


@pytest.mark.parametrize(
    ("arn", "named"),
    [
        (CLOSED, ("break_glass_arns", "--mfa-serial")),
        (f"{ROLE}-missing", ("uploader_arns",)),
    ],
)
def test_a_refusal_says_who_needs_what_on_which_role(aws: LocalAWS, arn: str, named: tuple[str, ...]) -> None:
    with pytest.raises(RoleRefusedError) as refused:
        roles.assume(aws, arn)
    said = refused.value.message
    assert f"user/administrator may not work as {arn}" in said
    assert f"sts:AssumeRole on {arn}" in said
    assert all(each in said for each in named)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    "wanted", ["uploader", "None", f"arn:aws:iam::{ACCOUNT}:user/jo", "arn:aws:iam::1:role/x"]
)
def test_what_is_no_role_is_answered_with_what_to_write(wanted: str) -> None:
    with pytest.raises(OpsError, match=r"--as-role '.*': write the ARN of a role, .* or none") as refused:
        roles.uploader(Person(None), StackOutputs("birds", {}), wanted)
    assert refused.value.exit_code == 2


def test_no_profile_of_the_break_glass_role_is_recommended_that_could_not_even_look_at_the_stack(
    aws: LocalAWS,
) -> None:
    with pytest.raises(RoleRefusedError) as refused:
        roles.assume(aws, CLOSED)
    assert "AWS_PROFILE" not in refused.value.message
    assert "break_glass_requires_mfa=false" in refused.value.message


def test_a_code_that_is_refused_is_asked_for_again() -> None:
    def fail(**_: str) -> dict[str, Any]:
        message = "MultiFactorAuthentication failed with invalid MFA one time pass code."
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": message}}, "AssumeRole")

    sts = Sts(f"arn:aws:iam::{ACCOUNT}:user/jo")
    sts.assume_role = fail  # type: ignore[method-assign]
    with pytest.raises(RoleRefusedError, match=r"A code counts once, .* the next of arn:mfa"):
        roles.assume(Person(sts), CLOSED, roles.SecondFactor("arn:mfa", "123456"))


@pytest.mark.parametrize(("how", "named"), [("resource", "uploader role"), ("identity", "ask for the right")])
def test_what_the_bucket_s_policy_denies_is_not_answered_with_a_right(how: str, named: str) -> None:
    message = f"not authorized to perform: s3:PutObject with an explicit deny in a {how}-based policy"
    said = explain(ClientError({"Error": {"Code": "AccessDenied", "Message": message}}, "PutObject")).message
    assert named in said
    assert ("ask for the right" in said) == (how == "identity")


class Sts:
    """STS whose sessions end soon."""

    class meta:  # noqa: N801 - boto3's name
        endpoint_url = "https://sts.eu-west-1.amazonaws.com"
        region_name = "eu-west-1"

    def __init__(self, person: str) -> None:
        self.person, self.requests = person, list[dict[str, str]]()

    def get_caller_identity(self) -> dict[str, str]:
        return {"Arn": self.person}

    def assume_role(self, **request: str) -> dict[str, Any]:
        self.requests.append(request)
        number = len(self.requests)
        given = {"AccessKeyId": f"key{number}", "SecretAccessKey": "s", "SessionToken": "t"}
        return {"Credentials": {**given, "Expiration": datetime.now(UTC) + timedelta(seconds=60)}}


def key(client: Any) -> str:
    return str(client._request_signer._credentials.get_frozen_credentials().access_key)


def test_credentials_are_renewed_before_they_end_while_somebody_watches_for_hours() -> None:
    sts = Sts(f"arn:aws:iam::{ACCOUNT}:user/jo")
    s3 = roles.assume(Person(sts), ROLE).client("s3")
    assert s3.meta.region_name == "eu-west-1"
    assert key(s3) != key(s3), "each use is within the last minutes of the session"
    assert len(sts.requests) > 1


def test_a_code_is_used_once_and_its_session_is_not_renewed() -> None:
    sts = Sts(f"arn:aws:iam::{ACCOUNT}:user/jo")
    glass = roles.assume(Person(sts), CLOSED, roles.SecondFactor("arn:mfa", "123456"))
    assert key(glass.client("s3")) == key(glass.client("sts")) == "key1"
    assert [(each["SerialNumber"], each["TokenCode"]) for each in sts.requests] == [("arn:mfa", "123456")]


@pytest.mark.parametrize(
    ("person", "name"),
    [
        (f"arn:aws:iam::{ACCOUNT}:user/team/jo@example.com", "jo@example.com"),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_ML_0/jo", "jo"),
        (f"arn:aws:iam::{ACCOUNT}:root", "root"),
        (f"arn:aws:iam::{ACCOUNT}:user/x", "x-ops"),
        (f"arn:aws:sts::{ACCOUNT}:federated-user/{'j' * 80}", "j" * 64),
        (f"arn:aws:iam::{ACCOUNT}:user/zoë", "zo-"),
    ],
)
def test_the_session_is_named_after_the_person(person: str, name: str) -> None:
    sts = Sts(person)
    roles.assume(Person(sts), ROLE)
    assert sts.requests[0]["RoleSessionName"] == name


def test_a_role_of_the_same_name_in_another_account_is_another_role() -> None:
    sts = Sts("arn:aws:sts::999999999999:assumed-role/birds-uploader-us-east-1/jo")
    roles.assume(Person(sts), ROLE)
    assert sts.requests


def test_another_failure_than_a_refusal_is_not_called_one() -> None:
    def fail(**_: str) -> dict[str, Any]:
        raise ClientError({"Error": {"Code": "Throttling", "Message": "slow down"}}, "AssumeRole")

    sts = Sts(f"arn:aws:iam::{ACCOUNT}:user/jo")
    sts.assume_role = fail  # type: ignore[method-assign]
    with pytest.raises(ClientError, match="slow down"):
        roles.assume(Person(sts), ROLE)
