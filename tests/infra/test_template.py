"""The synthesised stack: the same bytes as infra/template.json, and the properties that promises rest on."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from infra.config import DeploymentPolicy
from tests.support.definitions.policy_cases import judge, rule, shipped
from tests.support.infra.node import path_with_node
from tests.support.infra.profiles import HARDENED
from tests.support.infra.resources import resources, the_bucket, the_only
from upload_trigger.settings import Policy

ROOT = Path(__file__).parents[2]
IMAGE = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/birds@sha256:{'a' * 64}"


@pytest.fixture(scope="session")
def template(synthesis: ModuleType) -> dict[str, Any]:
    fresh: dict[str, Any] = synthesis.synthesise()
    return fresh


def test_the_committed_template_is_what_the_sources_say(
    synthesis: ModuleType, template: dict[str, Any]
) -> None:
    committed = (ROOT / "infra" / "template.json").read_text(encoding="utf-8")
    assert synthesis.render(template) == committed, "run python -m infra.template and commit the file"


def test_the_template_names_no_account_and_no_region(template: dict[str, Any]) -> None:
    from aws_cdk.assertions import Template

    Template.from_json(template)  # also refuses circular references
    assert not {"Parameters", "Rules", "Conditions", "Mappings"} & template.keys()
    text = json.dumps(template)
    assert not re.findall(r"\b\d{12}\b|\b[a-z]{2}(?:-gov)?-[a-z]+-\d\b", text)


def test_no_hidden_function_or_role_is_deployed(template: dict[str, Any]) -> None:
    assert len(resources(template, "AWS::Lambda::Function")) == 1
    assert len(resources(template, "AWS::IAM::Role")) == 2
    assert len(resources(HARDENED, "AWS::IAM::Role")) == 4
    assert not [kind for kind in template["Resources"].values() if kind["Type"].startswith("Custom::")]


def test_the_bucket_is_versioned_private_encrypted_and_kept(template: dict[str, Any]) -> None:
    bucket = the_bucket(template)
    properties = bucket["Properties"]
    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    # All four, written out: one that is left out is off.
    flags = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    for each in resources(template, "AWS::S3::Bucket"):
        assert each["Properties"]["PublicAccessBlockConfiguration"] == dict.fromkeys(flags, True)
    (rule,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert (bucket["DeletionPolicy"], bucket["UpdateReplacePolicy"]) == ("Retain", "Retain")


@pytest.mark.parametrize(
    ("kind", "count"),
    [("AWS::S3::BucketPolicy", 2), ("AWS::SQS::QueuePolicy", 1), ("AWS::SNS::TopicPolicy", 1)],
)
def test_what_does_not_come_over_tls_is_denied(template: dict[str, Any], kind: str, count: int) -> None:
    policies = resources(template, kind)
    assert len(policies) == count
    for policy in policies:
        statement = policy["Properties"]["PolicyDocument"]["Statement"][0]
        assert statement["Effect"] == "Deny"
        assert statement["Principal"] in ({"AWS": "*"}, "*")
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_only_definitions_notify_the_function_and_only_this_bucket_may(template: dict[str, Any]) -> None:
    bucket = the_bucket(template)
    (notification,) = bucket["Properties"]["NotificationConfiguration"]["LambdaConfigurations"]
    assert notification["Event"] == "s3:ObjectCreated:*"
    rules = {rule["Name"]: rule["Value"] for rule in notification["Filter"]["S3Key"]["Rules"]}
    assert rules == {"prefix": "pipeline/", "suffix": "pipeline.json"}
    permission = permission_of(template, "s3.amazonaws.com")
    assert permission["SourceAccount"] == {"Ref": "AWS::AccountId"}
    name = bucket["Properties"]["BucketName"]["Fn::Sub"]
    assert permission["SourceArn"] == {"Fn::Sub": f"arn:${{AWS::Partition}}:s3:::{name}"}
    kinds = {template["Resources"][dependency]["Type"] for dependency in bucket["DependsOn"]}
    assert kinds == {"AWS::Lambda::Permission", "AWS::S3::BucketPolicy"}


def test_lost_uploads_are_looked_for_on_a_schedule_and_only_that_rule_may(template: dict[str, Any]) -> None:
    ((name, rule),) = [
        (name, each["Properties"])
        for name, each in template["Resources"].items()
        if each["Type"] == "AWS::Events::Rule" and "ScheduleExpression" in each["Properties"]
    ]
    assert rule["ScheduleExpression"] == "rate(60 minutes)"
    (target,) = rule["Targets"]
    assert json.loads(target["Input"]) == {"reconcile": {"minimumAgeSeconds": 900}}
    permission = permission_of(template, "events.amazonaws.com")
    assert permission["SourceArn"] == {"Fn::GetAtt": [name, "Arn"]}


def permission_of(template: dict[str, Any], service: str) -> dict[str, Any]:
    found = [
        each["Properties"]
        for each in template["Resources"].values()
        if each["Type"] == "AWS::Lambda::Permission" and each["Properties"]["Principal"] == service
    ]
    assert len(found) == 1
    return dict(found[0])


def test_the_function_gets_what_its_contract_names(template: dict[str, Any]) -> None:
    properties = the_only(template, "AWS::Lambda::Function")["Properties"]
    assert (properties["Runtime"], properties["Architectures"]) == ("python3.13", ["arm64"])
    assert (properties["Handler"], properties["Timeout"]) == ("upload_trigger.handler.handler", 300)
    assert properties["LoggingConfig"]["LogFormat"] == "JSON"
    variables = properties["Environment"]["Variables"]
    assert set(variables) == {
        "DEPLOYMENT_POLICY",
        "ON_RUNNING",
        "PIPELINE_NAME",
        "PIPELINE_PARAMETERS",
        "PIPELINE_PARAMETER_DEFAULTS",
        "PIPELINE_ROLE_ARN",
    }
    given = {"ArtifactBucket", "ExecutionRoleArn", "ModelPackageGroupName", "TrainingImageUri"}
    assert set(json_of(variables["PIPELINE_PARAMETERS"])) == given
    of_hardened = the_only(HARDENED, "AWS::Lambda::Function")["Properties"]["Environment"]["Variables"]
    assert set(json_of(of_hardened["PIPELINE_PARAMETERS"])) == {*given, "OutputKmsKeyId"}
    defaults = json_of(variables["PIPELINE_PARAMETER_DEFAULTS"])
    assert set(defaults) == {"InputDataUrl"}


def json_of(joined: dict[str, Any]) -> dict[str, str]:
    """Read the JSON text of an Fn::Join, with a placeholder for every reference."""
    parts = joined["Fn::Join"][1]
    document: dict[str, str] = json.loads("".join(part if isinstance(part, str) else "?" for part in parts))
    return document


def test_a_failed_upload_is_retried_twice_then_kept(template: dict[str, Any]) -> None:
    asynchronous = the_only(template, "AWS::Lambda::EventInvokeConfig")["Properties"]
    assert asynchronous["MaximumRetryAttempts"] == 2
    (queue,) = [name for name, each in template["Resources"].items() if each["Type"] == "AWS::SQS::Queue"]
    assert asynchronous["DestinationConfig"] == {"OnFailure": {"Destination": {"Fn::GetAtt": [queue, "Arn"]}}}


def test_the_outputs_are_those_the_operator_s_commands_read(template: dict[str, Any]) -> None:
    both = {
        "BucketName",
        "FailureQueueUrl",
        "ModelPackageGroupName",
        "NotificationTopicArn",
        "PipelineExecutionRoleArn",
        "PipelineName",
        "StudioUrl",
        "UploadCommand",
    }
    assert set(template["Outputs"]) == both
    assert set(HARDENED["Outputs"]) == {*both, "BreakGlassRoleArn", "UploaderRoleArn"}


def test_the_upload_command_is_a_plain_copy_by_default(template: dict[str, Any]) -> None:
    bucket = "cv-birds-${AWS::AccountId}-${AWS::Region}"
    assert template["Outputs"]["UploadCommand"]["Value"] == {
        "Fn::Sub": f"aws s3 cp pipeline_definition/pipeline.json s3://{bucket}/pipeline/pipeline.json"
    }


def test_the_default_profile_costs_nothing_while_nothing_runs(template: dict[str, Any]) -> None:
    """A key costs a dollar a month, whoever uses it."""
    assert not resources(template, "AWS::KMS::Key")
    assert "kms:" not in json.dumps(resources(template, "AWS::IAM::Role"))


def test_every_choice_reaches_its_resource(synthesis: ModuleType) -> None:
    template = synthesis.synthesise(
        {
            "project": "my-birds",
            "image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/birds@sha256:" + "a" * 64,
            "reserved_concurrency": 1,
            "on_running": "stop",
            "executions_expire_days": 60,
            "checkpoints_expire_days": None,
            "retain_data": False,
            "log_retention_days": 14,
            "alarm_topic_arn": "arn:aws:sns:eu-west-1:123456789012:birds",
            "tags": {"owner": "ml"},
        },
        DeploymentPolicy(model_approval_statuses=("Approved",), max_volume_gb=50),
    )
    bucket = the_bucket(template)
    rules = {rule["Id"] for rule in bucket["Properties"]["LifecycleConfiguration"]["Rules"]}
    assert rules == {"forget-overwritten-and-abandoned", "expire-executions"}
    (logs,) = [each for each in resources(template, "AWS::S3::Bucket") if each != bucket]
    assert logs["Properties"]["LifecycleConfiguration"]["Rules"][0]["ExpirationInDays"] == 14
    assert {bucket["DeletionPolicy"], logs["DeletionPolicy"]} == {"Delete"}
    assert {"Key": "owner", "Value": "ml"} in bucket["Properties"]["Tags"]
    function = the_only(template, "AWS::Lambda::Function")["Properties"]
    assert function["ReservedConcurrentExecutions"] == 1
    variables = function["Environment"]["Variables"]
    assert variables["ON_RUNNING"] == "stop"
    assert json.loads(variables["DEPLOYMENT_POLICY"])["max_volume_gb"] == 50
    assert the_only(template, "AWS::Logs::LogGroup")["Properties"]["RetentionInDays"] == 14
    for alarm in resources(template, "AWS::CloudWatch::Alarm"):
        assert alarm["Properties"]["AlarmActions"] == ["arn:aws:sns:eu-west-1:123456789012:birds"]
    text = json.dumps(template)
    assert '"Sid": "StopOlder"' in text
    assert ':ecr:eu-west-1:123456789012:repository/team/birds"' in text
    assert '"sagemaker:ModelApprovalStatus": ["Approved"]' in text
    assert "cv-birds" not in text


def test_the_image_is_for_gpus_where_an_instance_may_have_one(
    synthesis: ModuleType, template: dict[str, Any]
) -> None:
    def image(of: dict[str, Any]) -> str:
        variables = the_only(of, "AWS::Lambda::Function")["Properties"]["Environment"]["Variables"]
        return json.dumps(variables["PIPELINE_PARAMETERS"])

    gpu = DeploymentPolicy(training_instance_types=("ml.c5.xlarge", "ml.g4dn.xlarge"))
    assert image(synthesis.synthesise({}, gpu)) != image(template)
    cpu = DeploymentPolicy(training_instance_types=("ml.c5.xlarge",))
    assert image(synthesis.synthesise({}, cpu)) == image(template)


@pytest.mark.parametrize("kind", ["ml.g4dn.xlarge", "ml.g5.xlarge", "ml.g6.xlarge"])
def test_naming_a_gpu_type_in_the_policy_is_all_that_an_upload_needs_to_train_on_it(
    synthesis: ModuleType, template: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    document = json.loads((ROOT / "deployment_policy.json").read_text(encoding="utf-8"))
    document["training_instance_types"].append(kind)
    (tmp_path / "deployment_policy.json").write_text(json.dumps(document), encoding="utf-8")
    deployed = synthesis.synthesise({}, DeploymentPolicy.read(tmp_path / "deployment_policy.json"))

    def refusals(of: dict[str, Any]) -> set[str]:
        variables = the_only(of, "AWS::Lambda::Function")["Properties"]["Environment"]["Variables"]
        given = {"TrainingInstanceType": kind}
        return set(map(rule, judge(shipped(), Policy.read(variables["DEPLOYMENT_POLICY"]), given)))

    assert refusals(deployed) == set(), "its price is known, and the default limit of the cost admits it"
    assert refusals(template) == {"instance_types"}
    types = [
        statement["Condition"]["ForAllValues:StringEquals"]["sagemaker:InstanceTypes"]
        for role in resources(deployed, "AWS::IAM::Role")
        for policy in role["Properties"].get("Policies", [])
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Action"] == "sagemaker:CreateTrainingJob"
    ]
    assert [kind in each for each in types] == [True]


@pytest.mark.slow
def test_the_template_depends_on_nothing_but_the_sources(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    for island in ("image_data", "infra", "lambda", "training"):
        shutil.copytree(ROOT / island, elsewhere / island, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (
        "infra",
        "lambda",
        "lambda/upload_trigger",
        "lambda/upload_trigger/policy",
        "training",
        "image_data",
    ):
        for junk in ("__pycache__/stale.pyc", ".editor.swp"):
            (elsewhere / folder / junk).parent.mkdir(exist_ok=True)
            (elsewhere / folder / junk).write_text("junk")
    for path in elsewhere.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    for document in ("cdk.json", "deployment_policy.json"):
        shutil.copy(ROOT / document, elsewhere)
    assert check(elsewhere).returncode == 0, check(elsewhere).stderr

    source = elsewhere / "lambda" / "upload_trigger" / "handler.py"
    source.write_text(source.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    stale = check(elsewhere)
    assert stale.returncode == 1
    assert "run python -m infra.template" in stale.stderr


def check(repository: Path) -> subprocess.CompletedProcess[str]:
    """Run the module's own check on `repository`, from another folder."""
    return subprocess.run(
        [sys.executable, "-m", "infra.template", "--check"],
        cwd=repository.parent,
        env={**os.environ, "PATH": path_with_node(), "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        check=False,
    )
