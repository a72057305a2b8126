"""What `make deploy` refuses before anything changes, and what moving between the profiles leaves in place.

The first edition of the product was hardened for everybody; its template is a fixture.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from local.aws import LocalAWS
from local.deploy import deploy
from local.run import STACK
from ops import __main__ as cli
from ops.commands import preflight
from ops.commands.preflight import Deployed, Wanted, losses, notes
from tests.support.iam.judge import decide, document
from tests.support.iam.role_table import FUNCTION_ROLE, PIPELINE_ROLE, REGION
from tests.support.iam.roles import statements
from tests.support.infra.profiles import DEFAULT, HARDENED, Template, synthesise
from tests.support.infra.studio_offers import OFFERS
from tests.support.local_aws.deployed import write_template

FIRST: Template = json.loads(
    (Path(__file__).parents[2] / "support" / "infra" / "first_edition_template.json").read_text()
)
HELD = {
    *("AWS::KMS::Key", "AWS::S3::Bucket", "AWS::SageMaker::ModelPackageGroup"),
    *("AWS::SNS::Topic", "AWS::SQS::Queue"),
}
STACK_ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/cv-birds/0123"
KEY_ARN = "arn:aws:kms:us-east-1:123456789012:key/EncryptionKey3A692D6E"
FOREIGN = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"

Say = Callable[..., tuple[int, str]]


# --- what the two templates show --------------------------------------------------------------------------


def deployed(template: Mapping[str, Any]) -> Deployed:
    return Deployed(template, {name: name for name in template["Resources"]}, STACK_ID)


def lost(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return list(losses(Wanted(STACK, after, None), deployed(before)))


def goes(template: Template) -> Template:
    """Return a template as retain_data=false makes it."""
    made = copy.deepcopy(template)
    for each in made["Resources"].values():
        if each.get("DeletionPolicy") == "Retain":
            each["DeletionPolicy"] = each["UpdateReplacePolicy"] = "Delete"
    return made


MOVED = synthesise(former_encryption_keys=KEY_ARN)
"""The default profile, of which the roles read with the key of before."""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (FIRST, HARDENED),
        (FIRST, MOVED),
        (DEFAULT, HARDENED),
        (HARDENED, HARDENED),
        (HARDENED, MOVED),
        (MOVED, HARDENED),
        (DEFAULT, DEFAULT),
        (goes(DEFAULT), DEFAULT),
        ({"Resources": {}}, DEFAULT),
    ],
    ids=[
        *("first to hardened", "first to default", "default to hardened", "hardened again"),
        *("hardened to default", "and back", "default again", "data that goes", "nothing deployed"),
    ],
)
def test_a_deployment_that_takes_nothing_away_passes(before: Template, after: Template) -> None:
    assert lost(before, after) == []


@pytest.mark.parametrize("before", [FIRST, HARDENED], ids=["first", "hardened"])
def test_a_key_is_not_let_go_while_nobody_may_read_with_it(before: Template) -> None:
    (said,) = lost(before, DEFAULT)
    assert f"is encrypted with {KEY_ARN}" in said
    assert '"security": "hardened" into cdk.json' in said
    assert f"-c former_encryption_keys={KEY_ARN} to move to S3's own encryption" in said


def test_one_role_that_may_not_read_with_the_former_key_is_enough_to_be_refused() -> None:
    for logical_id in [name for name, each in MOVED["Resources"].items() if each["Type"] == "AWS::IAM::Role"]:
        unable = copy.deepcopy(MOVED)
        (policy,) = unable["Resources"][logical_id]["Properties"]["Policies"]
        held = policy["PolicyDocument"]["Statement"]
        policy["PolicyDocument"]["Statement"] = [each for each in held if each["Sid"] != "ReadWithFormerKeys"]
        assert len(lost(FIRST, unable)) == 1, logical_id


@pytest.mark.parametrize("after", [DEFAULT, MOVED], ids=["default", "with the former key"])
def test_a_key_that_the_stack_would_delete_is_never_let_go(after: Template) -> None:
    (said,) = lost(goes(FIRST), after)
    assert "goes for good" in said
    assert 'retain_data=true first, "security": "hardened" and "retain_data": true in cdk.json' in said
    assert lost(goes(FIRST), HARDENED) == []


def test_a_key_of_yours_is_kept_or_named_as_a_former_one() -> None:
    before = synthesise(encryption_key=FOREIGN)
    (said,) = lost(before, DEFAULT)
    assert f'"encryption_key": "{FOREIGN}"' in said
    assert f"-c former_encryption_keys={FOREIGN} " in said
    assert lost(before, synthesise(former_encryption_keys=FOREIGN)) == []
    (said,) = lost(before, HARDENED)
    assert "to move to another key and keep reading" in said
    (said,) = lost(synthesise(encryption_key="own"), DEFAULT)
    assert 'Write "encryption_key": "own" into' in said


@pytest.mark.parametrize("kind", preflight.CREATE_ONLY)
def test_what_holds_something_is_neither_removed_nor_made_anew(kind: str) -> None:
    held = [name for name, each in DEFAULT["Resources"].items() if each["Type"] == kind]
    assert held
    for name in held:
        without, renamed, moved = (copy.deepcopy(DEFAULT) for _ in range(3))
        del without["Resources"][name]
        # A topic is let go for another one, by its ARN.
        gone = lost(DEFAULT, without)
        assert gone == [] if kind == "AWS::SNS::Topic" else f"no {name} any more" in gone[0]
        moved["Resources"]["Another"] = moved["Resources"].pop(name)
        assert f"no {name} any more" in lost(DEFAULT, moved)[0]
        for each in preflight.CREATE_ONLY[kind]:
            renamed["Resources"][name]["Properties"][each] = "another"
            assert f"its {each} changes from " in lost(DEFAULT, renamed)[-1]
    assert "be deleted with all that is in it" in str(lost(goes(DEFAULT), {"Resources": {}}))
    assert "be left behind" in str(lost(DEFAULT, {"Resources": {}}))


@pytest.mark.parametrize("kind", preflight.CREATE_ONLY)
def test_what_cloudformation_makes_anew_is_looked_at(kind: str) -> None:
    assert create_only(kind) == set(preflight.CREATE_ONLY[kind])


def test_what_the_next_deployment_brings_again_may_go() -> None:
    """The templates and the code that an offer to Studio keeps copies of."""
    assert lost(synthesise(**OFFERS["s3"]), DEFAULT) == []


def test_giving_the_roles_of_people_up_is_said() -> None:
    (said,) = notes(Wanted(STACK, MOVED, None), deployed(FIRST))
    assert '"security": "hardened"' in said
    assert not list(notes(Wanted(STACK, HARDENED, None), deployed(FIRST)))
    assert not list(notes(Wanted(STACK, DEFAULT, None), deployed(DEFAULT)))


@pytest.mark.parametrize("role_arn", [FUNCTION_ROLE, PIPELINE_ROLE])
def test_after_moving_away_the_roles_decrypt_with_the_former_key_and_encrypt_nothing(role_arn: str) -> None:
    """Local S3 asks no right on a key, so this is judged by the policies."""
    via = {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}
    identity = [document(*statements(role_arn, MOVED))]
    assert decide(role_arn, "kms:Decrypt", KEY_ARN, via, identity=identity).allowed
    assert not decide(role_arn, "kms:GenerateDataKey", KEY_ARN, via, identity=identity).allowed
    by_default = [document(*statements(role_arn, DEFAULT))]
    assert not decide(role_arn, "kms:Decrypt", KEY_ARN, via, identity=by_default).allowed


# --- on local AWS -----------------------------------------------------------------------------------------


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[LocalAWS]:
    with LocalAWS(work_dir=tmp_path / "aws") as aws:
        yield aws


@pytest.fixture
def say(aws: LocalAWS, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Run the command as the administrator of local AWS on the assembly of a template."""
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)

    def said(template: Template, folder: Path, *options: str) -> tuple[int, str]:
        capsys.readouterr()
        code = cli.run(["preflight", str(assembly(template, folder)), *options])
        return code, capsys.readouterr().err

    return said


def assembly(template: Template, folder: Path) -> Path:
    """Write what `cdk synth` writes, as far as it is read."""
    properties = {"templateFile": write_template(template, folder).name, "stackName": STACK}
    stack = {"type": "aws:cloudformation:stack", "properties": properties}
    manifest = {"artifacts": {"Tree": {"type": "cdk:tree"}, "cv-birds": stack}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def put(aws: LocalAWS, template: Template, folder: Path) -> dict[str, str]:
    return deploy(aws, write_template(template, folder), STACK)


def held(aws: LocalAWS) -> dict[str, str]:
    """Return the physical ids of what holds data, and of its keys, by their logical ids."""
    listed = aws.client("cloudformation").describe_stack_resources(StackName=STACK)["StackResources"]
    return {
        each["LogicalResourceId"]: each["PhysicalResourceId"]
        for each in listed
        if each["ResourceType"] in HELD
    }


def replaced(aws: LocalAWS, template: Template, folder: Path) -> list[str]:
    """Return what a change set would remove or replace of what holds data.

    Where the emulator does not know whether a property can be changed in place it says Conditional; AWS's own
    description of the resource does.
    """
    cloudformation, name = aws.client("cloudformation"), "look"
    s3, bucket = aws.client("s3"), "templates-to-be"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="t.json", Body=write_template(template, folder).read_bytes())
    url = f"{s3.meta.endpoint_url}/{bucket}/t.json"
    given = {"StackName": STACK, "ChangeSetName": name}
    cloudformation.create_change_set(**given, TemplateURL=url, Capabilities=["CAPABILITY_NAMED_IAM"])
    cloudformation.get_waiter("change_set_create_complete").wait(**given, WaiterConfig={"Delay": 1})
    changes = [each["ResourceChange"] for each in cloudformation.describe_change_set(**given)["Changes"]]
    cloudformation.delete_change_set(**given)
    touched = [each for each in changes if each["ResourceType"] in HELD and each["Action"] != "Add"]
    assert touched
    return [each["LogicalResourceId"] for each in touched if replaces(each)]


def replaces(change: Mapping[str, Any]) -> bool:
    if change["Action"] == "Remove" or change["Replacement"] == "True":
        return True
    names = {each["Target"].get("Name") for each in change["Details"]}
    return bool(names & create_only(change["ResourceType"]))


def create_only(kind: str) -> set[str]:
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, kind).schema
    return {each.removeprefix("/properties/") for each in schema.get("createOnlyProperties", ())}


@pytest.mark.slow
def test_the_first_edition_becomes_this_one_in_place(aws: LocalAWS, tmp_path: Path, say: Say) -> None:
    bucket = put(aws, FIRST, tmp_path)["BucketName"]
    s3, before = aws.client("s3"), held(aws)
    s3.put_object(Bucket=bucket, Key="data/kept", Body=b"kept")
    # As it would be with the settings of a newcomer.
    code, said = say(DEFAULT, tmp_path, "-c", "project=cv-birds", "--require-approval=never")
    assert code == 2
    assert '"security": "hardened" into cdk.json' in said
    assert before["EncryptionKey3A692D6E"] in said
    # Hardened, as it was.
    assert say(HARDENED, tmp_path) == (0, "")
    assert replaced(aws, HARDENED, tmp_path) == []
    put(aws, HARDENED, tmp_path)
    assert held(aws).items() >= before.items()
    assert s3.get_object(Bucket=bucket, Key="data/kept")["Body"].read() == b"kept"
    # And to the default profile, with the key of before; local S3 asks for no right on it.
    own = f"arn:aws:kms:{aws.region}:{aws.account}:key/{before.pop('EncryptionKey3A692D6E')}"
    moved = synthesise(former_encryption_keys=own)
    code, said = say(moved, tmp_path)
    assert (code, "hardened and would not be any more" in said) == (0, True)
    put(aws, moved, tmp_path)
    assert held(aws) == before
    assert s3.get_object(Bucket=bucket, Key="data/kept")["Body"].read() == b"kept"
    assert aws.client("kms").describe_key(KeyId=own)["KeyMetadata"]["KeyState"] == "Enabled"


@pytest.mark.slow
def test_the_default_profile_is_hardened_in_place(aws: LocalAWS, tmp_path: Path, say: Say) -> None:
    assert say(DEFAULT, tmp_path) == (0, "")
    bucket, before = put(aws, DEFAULT, tmp_path)["BucketName"], held(aws)
    aws.client("s3").put_object(Bucket=bucket, Key="data/kept", Body=b"kept")
    assert say(HARDENED, tmp_path) == (0, "")
    assert replaced(aws, HARDENED, tmp_path) == []
    put(aws, HARDENED, tmp_path)
    assert held(aws).items() > before.items()
    assert aws.client("s3").get_object(Bucket=bucket, Key="data/kept")["Body"].read() == b"kept"


def test_a_key_that_would_be_deleted_is_refused_with_what_to_deploy_first(
    aws: LocalAWS, tmp_path: Path, say: Say
) -> None:
    put(aws, goes(FIRST), tmp_path)
    code, said = say(DEFAULT, tmp_path)
    assert (code, "retain_data=true first" in said) == (2, True)


def test_whoever_may_not_read_the_stack_is_told_and_nothing_is_deployed(
    aws: LocalAWS, tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(aws, DEFAULT, tmp_path)
    iam = aws.client("iam")
    trust = {"Effect": "Allow", "Principal": {"AWS": aws.account}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam.create_role(RoleName="nobody", AssumeRolePolicyDocument=document)
    role = f"arn:aws:iam::{aws.account}:role/nobody"
    given = aws.client("sts").assume_role(RoleArn=role, RoleSessionName="jo")["Credentials"]
    for name, key in (("ACCESS_KEY_ID", "AccessKeyId"), ("SECRET_ACCESS_KEY", "SecretAccessKey")):
        monkeypatch.setenv(f"AWS_{name}", given[key])
    monkeypatch.setenv("AWS_SESSION_TOKEN", given["SessionToken"])
    code, said = say(DEFAULT, tmp_path)
    assert code == 2
    assert "cv-birds cannot be compared with what is deployed" in said
    assert "cloudformation:DescribeStacks" in said


def test_the_cdk_has_the_word_where_aws_cannot_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    folder = str(assembly(DEFAULT, tmp_path))
    assert cli.run(["preflight", folder]) == 0
    assert "Not compared with what is deployed: no AWS credentials found" in capsys.readouterr().err
    for given in (["--profile", "nobody's"], ["-csecurity=hardened", "--profile=nobody's", "--ci"]):
        assert cli.run(["preflight", folder, *given]) == 0
        assert "nobody's" in capsys.readouterr().err
    assert cli.run(["preflight", str(tmp_path / "nowhere")]) == 2
    assert "is no assembly of the CDK" in capsys.readouterr().err
