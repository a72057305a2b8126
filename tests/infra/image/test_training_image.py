"""Where the training image comes from: Docker here, CodeBuild, or ECR; the jobs get a digest in any case."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import pytest

from local.deploy import DeployError, deploy
from ops.aws import stack
from tests.support.iam.judge import decide
from tests.support.iam.role_table import ACCOUNT, LOGS, REGION, ROLES
from tests.support.infra.resources import resolve, resources, the_only
from tests.support.infra.stack_options import IMAGE, Template, template

pytestmark = pytest.mark.usefixtures("synthesis")

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def built() -> Template:
    return template("an image that AWS builds")


def tag(stack: Template) -> str:
    return str(the_only(dict(stack), "Custom::TrainingImage")["Properties"]["ImageTag"])


def project(stack: Template) -> dict[str, Any]:
    properties: dict[str, Any] = the_only(dict(stack), "AWS::CodeBuild::Project")["Properties"]
    return properties


def parameters(stack: Template) -> str:
    (function,) = (
        each["Properties"]
        for each in resources(dict(stack), "AWS::Lambda::Function")
        if "PIPELINE_PARAMETERS" in each["Properties"]["Environment"]["Variables"]
    )
    return json.dumps(function["Environment"]["Variables"]["PIPELINE_PARAMETERS"])


def role(stack: Template, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = [
        each["Properties"]
        for each in resources(dict(stack), "AWS::IAM::Role")
        if each["Properties"]["RoleName"] == {"Fn::Sub": name}
    ]
    (properties,) = found
    return properties


# --- what is built ------------------------------------------------------------------------------------


def test_both_ways_of_building_have_exactly_the_same_files(tmp_path: Path) -> None:
    from aws_cdk import App

    from infra.config import Config
    from infra.stack import build

    folders = {}
    for training_image in ("asset", "codebuild"):
        app = App(outdir=str(tmp_path / training_image))
        build(app, config=Config(image=training_image))
        assembly = Path(app.synth().directory)
        (folders[training_image],) = (
            each for each in assembly.glob("asset.*") if (each / "training" / "Dockerfile").is_file()
        )
    files = {training_image: contents(folder) for training_image, folder in folders.items()}
    assert files["codebuild"].keys() - files["asset"].keys() <= {"training/Dockerfile.dockerignore"}
    assert {name: files["codebuild"].get(name) for name in files["asset"]} == files["asset"]
    sources = {
        f"{island}/{path.name}"
        for island in ("image_data", "training")
        for path in (ROOT / island).glob("*.py")
    }
    assert sources <= set(files["codebuild"])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_unchanged_source_has_the_tag_it_had_and_another_way_to_build_has_another(built: Template) -> None:
    assert re.fullmatch("[0-9a-f]{64}", tag(built))
    assert tag(template("an image that AWS builds, data that goes")) == tag(built)
    assert tag(template("an image that AWS builds for GPUs")) != tag(built)


def test_a_changed_source_has_another_tag(
    synthesis: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, built: Template
) -> None:
    from infra.image import training_image

    for island in ("image_data", "training"):
        shutil.copytree(ROOT / island, tmp_path / island, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(training_image, "ROOT", tmp_path)
    assert tag(synthesis.synthesise({"image": "codebuild"})) == tag(built)
    with (tmp_path / "training" / "model.py").open("a") as source:
        source.write("# changed\n")
    assert tag(synthesis.synthesise({"image": "codebuild"})) != tag(built)


FAKE = """#!/bin/bash
echo "$(basename "$0") $*" >> "$CALLS"
[ "$(basename "$0") $1" != "$FAILS" ] || exit 1
case "$1" in
    ecr) echo password ;;
    login) read -r given; echo "password is $given" >> "$CALLS" ;;
    build) for name in TORCH_VARIANT USER_ID; do echo "$name=${!name}" >> "$CALLS"; done ;;
esac
"""


def run_build(stack: Template, tmp_path: Path, fails: str = "") -> tuple[int, list[str]]:
    """Run the commands of the buildspec in bash, with a docker and an aws that note what they are told."""
    for name in ("docker", "aws"):
        (tmp_path / name).write_text(FAKE)
        (tmp_path / name).chmod(0o755)
    properties = project(stack)
    given = {
        each["Name"]: each["Value"]
        for each in properties["Environment"]["EnvironmentVariables"]
        if isinstance(each["Value"], str)
    }
    registry = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
    spec = json.loads(properties["Source"]["BuildSpec"])
    assert spec["env"]["shell"] == "bash"
    (phase,) = spec["phases"].values()
    environment = {
        **given,
        "PATH": f"{tmp_path}:{os.defpath}",
        "CALLS": str(tmp_path / "calls"),
        "FAILS": fails,
        "REGISTRY": registry,
        "REPOSITORY_URI": f"{registry}/birds-training",
    }
    code = 0
    for command in phase["commands"]:
        code = code or subprocess.run(["bash", "-c", command], env=environment, check=False).returncode
    return code, (tmp_path / "calls").read_text().splitlines()


def test_the_build_logs_in_builds_for_sagemakers_machines_and_pushes(built: Template, tmp_path: Path) -> None:
    code, calls = run_build(built, tmp_path)
    uri = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/birds-training:{tag(built)}"
    assert code == 0
    assert sorted(calls[:2]) == [
        "aws ecr get-login-password",
        "docker login --username AWS --password-stdin 123456789012.dkr.ecr.eu-west-1.amazonaws.com",
    ]
    assert calls[2:] == [
        "password is password",
        # CreateModel takes no manifest of OCI's, and no index, which attestations make.
        "docker build --provenance=false --sbom=false --output type=docker,oci-mediatypes=false "
        "--platform linux/amd64 --file training/Dockerfile --build-arg TORCH_VARIANT --build-arg USER_ID "
        f"--tag {uri} .",
        "TORCH_VARIANT=cpu",
        "USER_ID=0",
        f"docker push {uri}",
    ]


def test_an_image_for_gpus_is_built_where_the_policy_allows_one(tmp_path: Path) -> None:
    code, calls = run_build(template("an image that AWS builds for GPUs"), tmp_path)
    assert code == 0
    assert "TORCH_VARIANT=cuda" in calls


@pytest.mark.parametrize("fails", ["aws ecr", "docker login", "docker build", "docker push"])
def test_a_command_that_fails_ends_the_build(fails: str, built: Template, tmp_path: Path) -> None:
    code, calls = run_build(built, tmp_path, fails)
    assert code != 0
    if fails != "docker push":
        assert not [call for call in calls if call.startswith("docker push")]


# --- where it is, and who may do what -------------------------------------------------------------------


def test_the_repository_scans_keeps_tags_and_forgets_only_what_has_none(built: Template) -> None:
    repository = the_only(dict(built), "AWS::ECR::Repository")
    properties = repository["Properties"]
    assert properties["ImageScanningConfiguration"] == {"ScanOnPush": True}
    assert properties["ImageTagMutability"] == "IMMUTABLE"
    assert "RepositoryPolicyText" not in properties
    (rule,) = json.loads(properties["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
    # Model packages name their image by digest: one with a tag must outlive them.
    assert rule["selection"]["tagStatus"] == "untagged"
    assert repository["DeletionPolicy"] == "Retain"


def test_a_deployment_that_keeps_nothing_is_deleted_with_its_images() -> None:
    repository = the_only(dict(template("an image that AWS builds, data that goes")), "AWS::ECR::Repository")
    assert repository["DeletionPolicy"] == "Delete"
    assert repository["Properties"]["EmptyOnDelete"] is True


def test_the_jobs_get_the_digest_that_the_build_answered(built: Template) -> None:
    (training_image,) = (
        name for name, each in built["Resources"].items() if each["Type"] == "Custom::TrainingImage"
    )
    assert f'"Fn::GetAtt": ["{training_image}", "ImageDigest"]' in parameters(built)
    assert IMAGE in json.dumps(template("an image in ECR")["Resources"])


def test_the_commands_take_no_other_function_of_the_stack_for_the_one_that_starts_executions(
    built: Template,
) -> None:
    names = [
        each["Properties"]["FunctionName"]
        for _, each in sorted(built["Resources"].items())
        if each["Type"] == "AWS::Lambda::Function"
    ]
    page = [{"ResourceType": "AWS::Lambda::Function", "PhysicalResourceId": name} for name in names]
    cloudformation = Mock()
    for listed in (page, page[::-1]):
        cloudformation.get_paginator().paginate.return_value = [{"StackResourceSummaries": listed}]
        assert stack.function_name(cloudformation, "cv-birds") == "cv-birds-start-execution"
    assert len(names) == 2


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("dkr.ecr.eu-west-1.amazonaws.com", "eu-west-1"),
        ("dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("dkr-ecr.eu-west-1.on.aws", "eu-west-1"),
        ("dkr-ecr-fips.us-east-1.on.aws", "us-east-1"),
        ("dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("dkr.ecr.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"),
        ("dkr.ecr.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"),
    ],
)
def test_the_jobs_may_pull_from_the_repository_that_the_image_names(host: str, region: str) -> None:
    from aws_cdk import App

    from infra.config import Config
    from infra.stack import build

    app = App()
    stack = build(app, config=Config(image=f"123456789012.{host}/team/birds@sha256:{'a' * 64}"))
    text = json.dumps(app.synth().get_stack_by_name(stack.stack_name).template)
    assert f'arn:${{AWS::Partition}}:ecr:{region}:123456789012:repository/team/birds"' in text


@pytest.mark.parametrize("name", ["cv-birds-pipeline", "cv-birds-image-build", "cv-birds-image"])
def test_each_role_reaches_that_repository_alone(name: str, built: Template) -> None:
    for statement in statements(role(built, f"{name}-${{AWS::Region}}")):
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        if any(each.startswith("ecr:") for each in actions) and actions != ["ecr:GetAuthorizationToken"]:
            assert statement["Resource"] == repository_arn()


def repository_arn() -> dict[str, str]:
    arn = "arn:${AWS::Partition}:ecr:${AWS::Region}:${AWS::AccountId}:repository/cv-birds-training"
    return {"Fn::Sub": arn}


def statements(properties: dict[str, Any]) -> list[dict[str, Any]]:
    (policy,) = properties["Policies"]
    found: list[dict[str, Any]] = policy["PolicyDocument"]["Statement"]
    return found


GOLDEN = {
    "cv-birds-image-build": {
        "ecr:BatchCheckLayerAvailability",
        # AWS documents it among what pushing takes.
        "ecr:BatchGetImage",
        "ecr:CompleteLayerUpload",
        "ecr:GetAuthorizationToken",
        "ecr:InitiateLayerUpload",
        "ecr:PutImage",
        "ecr:UploadLayerPart",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "s3:GetObject",
        "s3:GetObjectVersion",
    },
    "cv-birds-image": {
        "codebuild:StartBuild",
        "ecr:DescribeImages",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
    },
}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_role_of_the_build_does_what_it_is_for_and_no_more(name: str, built: Template) -> None:
    given = statements(role(built, f"{name}-${{AWS::Region}}"))
    actions = {
        action
        for each in given
        for action in (each["Action"] if isinstance(each["Action"], list) else [each["Action"]])
    }
    assert actions == GOLDEN[name]
    assert {each["Sid"]: resolve(each["Resource"]) for each in given} == {
        "cv-birds-image-build": {
            "ReadSource": f"arn:aws:s3:::{resolve(project(built)['Source']['Location'])}",
            "PushImage": resolve(repository_arn()),
            "LogInToEcr": "*",
            "OwnLog": f"{LOGS}:/aws/codebuild/cv-birds-image:*",
        },
        "cv-birds-image": {
            "FindImage": resolve(repository_arn()),
            "StartBuild": f"arn:aws:codebuild:{REGION}:{ACCOUNT}:project/cv-birds-image",
            "OwnLog": f"{LOGS}:/aws/lambda/cv-birds-image:*",
        },
    }[name]
    assert {each["Effect"] for each in given} == {"Allow"}


@pytest.mark.parametrize(
    ("context", "allowed"),
    [
        ({"account": "123456789012", "project": "cv-birds-image"}, True),
        ({"account": "999999999999", "project": "cv-birds-image"}, False),
        ({"account": "123456789012", "project": "another"}, False),
    ],
    ids=["the project", "another account's", "another project"],
)
def test_only_this_project_assumes_the_role_of_the_build(
    context: dict[str, str], allowed: bool, built: Template
) -> None:
    account = context["account"]
    trust = resolve(role(built, "cv-birds-image-build-${AWS::Region}")["AssumeRolePolicyDocument"])
    decision = decide(
        "codebuild.amazonaws.com",
        "sts:AssumeRole",
        f"{ROLES}/cv-birds-image-build-{REGION}",
        {
            "aws:SourceAccount": account,
            "aws:SourceArn": f"arn:aws:codebuild:{REGION}:{account}:project/{context['project']}",
        },
        resource_policy=trust,
    )
    assert decision.allowed is allowed


def test_nobody_asks_for_a_build_before_its_end_can_be_heard_of(built: Template) -> None:
    found = built["Resources"]
    (needed,) = the_only(dict(built), "Custom::TrainingImage")["DependsOn"]
    assert found[needed]["Type"] == "AWS::Lambda::Permission"
    # Which there is after the rule, as the rule is after the project.
    (rule, _) = found[needed]["Properties"]["SourceArn"]["Fn::GetAtt"]
    (project_id,) = found[rule]["Properties"]["EventPattern"]["detail"]["project-name"]
    assert found[project_id["Ref"]]["Type"] == "AWS::CodeBuild::Project"


def test_a_build_ends_before_cloudformation_stops_waiting(built: Template) -> None:
    properties = project(built)
    assert properties["TimeoutInMinutes"] + properties["QueuedTimeoutInMinutes"] < 60
    # A new account may run one build at a time, and CodeBuild refuses a project with a higher limit.
    assert "ConcurrentBuildLimit" not in properties
    (rule,) = (
        each["Properties"]
        for each in resources(dict(built), "AWS::Events::Rule")
        if "aws.codebuild" in json.dumps(each)
    )
    # Every end there is: one that is left out would be waited for.
    assert rule["EventPattern"]["detail"]["build-status"] == [
        *("FAILED", "FAULT", "STOPPED", "SUCCEEDED", "TIMED_OUT")
    ]


def test_local_aws_refuses_to_build_before_it_makes_anything(built: Template, tmp_path: Path) -> None:
    path = tmp_path / "template.json"
    path.write_text(json.dumps(built))
    client = Mock()
    client.meta.region_name = "us-east-1"
    client.get_caller_identity.return_value = {"Account": "123456789012"}
    with pytest.raises(DeployError, match="without image=codebuild"):
        deploy(Mock(client=lambda _: client), path, "birds")
    assert {name for name, *_ in client.method_calls} == {"get_caller_identity"}


# --- what may be chosen ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("context", "said"),
    [
        ({"training_image_uri": IMAGE}, "it is called image now: write -c image="),
        ({"image": "codebuild", "studio_template": "s3"}, "projects of Studio take an image that is there"),
        ({"image": "docker"}, "asset, codebuild, or an image in ECR by its digest"),
        (
            {"image": IMAGE.partition("@")[0] + ":v1"},
            "aws ecr describe-images --region eu-west-1 --repository-name team/birds --image-ids imageTag=v1 "
            "--query 'imageDetails[0].imageDigest'",
        ),
    ],
    ids=["the old key", "a project of Studio's", "a word", "a tag"],
)
def test_what_is_no_image_is_answered_with_what_to_write(context: dict[str, str], said: str) -> None:
    from infra.config import ConfigError, read_context

    with pytest.raises(ConfigError) as refused:
        read_context(context)
    assert said in str(refused.value)
