"""Least privilege, read from the committed template: what each role may do, and when."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.infra.profiles import HARDENED as TEMPLATE
from upload_trigger.definition import walk

ROOT = Path(__file__).parents[3]
DEFINITION = json.loads((ROOT / "pipeline_definition" / "pipeline.json").read_text(encoding="utf-8"))
ROLES = {
    name: resource["Properties"]
    for name, resource in TEMPLATE["Resources"].items()
    if resource["Type"] == "AWS::IAM::Role"
}
# Condition keys per action, from the service authorization reference; an unsupported key never matches.
SUPPORTED_KEYS = {
    "sagemaker:CreateTrainingJob": {
        "sagemaker:EnableRemoteDebug",
        "sagemaker:FileSystemId",
        "sagemaker:InstanceTypes",
        "sagemaker:InterContainerTrafficEncryption",
        "sagemaker:KeepAlivePeriod",
        "sagemaker:MaxRuntimeInSeconds",
        "sagemaker:NetworkIsolation",
        "sagemaker:OutputKmsKeyArn",
        "sagemaker:VolumeKmsKeyArn",
        "sagemaker:VpcSecurityGroupIds",
        "sagemaker:VpcSubnets",
    },
    "sagemaker:CreateProcessingJob": {
        "sagemaker:InstanceTypes",
        "sagemaker:InterContainerTrafficEncryption",
        "sagemaker:MaxRuntimeInSeconds",
        "sagemaker:NetworkIsolation",
        "sagemaker:OutputKmsKeyArn",
        "sagemaker:VolumeKmsKeyArn",
        "sagemaker:VpcSecurityGroupIds",
        "sagemaker:VpcSubnets",
    },
    "sagemaker:CreateModelPackage": {
        "sagemaker:ModelApprovalStatus",
        "sagemaker:ModelLifeCycle:Stage",
    },
    "sagemaker:AddTags": {"sagemaker:TaggingAction"},
    "sagemaker:StartPipelineExecution": {"sagemaker:PipelineVersionId"},
    "iam:PassRole": {"iam:PassedToService"},
    "s3:ListBucket": {"s3:prefix"},
    "s3:ListBucketVersions": {"s3:prefix"},
    "cloudwatch:PutMetricData": {"cloudwatch:namespace"},
    "kms:Decrypt": {"kms:ViaService"},
    "kms:GenerateDataKey": {"kms:ViaService"},
}
WITHOUT_RESOURCES = {
    "cloudwatch:PutMetricData",
    "ecr:GetAuthorizationToken",
    "sagemaker:ListProcessingJobs",
    "sagemaker:ListTrainingJobs",
}
"""What the service authorization reference has no resource type for."""


def role(kind: str) -> dict[str, Any]:
    return next(properties for name, properties in ROLES.items() if name.startswith(kind))


def statements(properties: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for policy in properties["Policies"]:
        yield from policy["PolicyDocument"]["Statement"]


def by_sid(kind: str) -> dict[str, dict[str, Any]]:
    return {statement["Sid"]: statement for statement in statements(role(kind))}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def keys(statement: dict[str, Any]) -> set[str]:
    return {key for tests in statement.get("Condition", {}).values() for key in tests}


ALL = [statement for properties in ROLES.values() for statement in statements(properties)]
ALLOWED = [statement for statement in ALL if statement["Effect"] == "Allow"]


def sid(statement: dict[str, Any]) -> str:
    return str(statement["Sid"])


def test_there_are_four_roles_without_managed_policies() -> None:
    assert len(ROLES) == 4
    assert not any("ManagedPolicyArns" in properties for properties in ROLES.values())
    assert not any(resource["Type"] == "AWS::IAM::Policy" for resource in TEMPLATE["Resources"].values())


def test_only_lambda_assumes_the_function_role() -> None:
    (trust,) = role("FunctionRole")["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "lambda.amazonaws.com"}


def test_only_this_accounts_sagemaker_assumes_the_pipeline_role() -> None:
    (trust,) = role("PipelineRole")["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    arns = "arn:${AWS::Partition}:sagemaker:${AWS::Region}:${AWS::AccountId}:*"
    assert trust["Condition"]["ArnLike"] == {"aws:SourceArn": {"Fn::Sub": arns}}


@pytest.mark.parametrize("statement", ALLOWED, ids=sid)
def test_an_allowed_action_is_named_in_full(statement: dict[str, Any]) -> None:
    assert not [action for action in as_list(statement["Action"]) if "*" in action]


@pytest.mark.parametrize("statement", ALLOWED, ids=sid)
def test_all_resources_are_allowed_only_where_an_action_knows_none(statement: dict[str, Any]) -> None:
    if "*" in as_list(statement["Resource"]):
        assert set(as_list(statement["Action"])) <= WITHOUT_RESOURCES


@pytest.mark.parametrize("statement", ALL, ids=sid)
def test_a_condition_uses_only_keys_that_its_actions_support(statement: dict[str, Any]) -> None:
    for action in as_list(statement["Action"]):
        assert keys(statement) <= SUPPORTED_KEYS.get(action, set())


@pytest.mark.parametrize("statement", ALLOWED, ids=sid)
def test_a_condition_on_all_values_also_demands_that_there_are_some(statement: dict[str, Any]) -> None:
    condition = statement.get("Condition", {})
    for operator, tests in condition.items():
        if operator.startswith("ForAllValues:"):
            assert dict.fromkeys(tests, "false").items() <= condition["Null"].items()


@pytest.mark.parametrize(
    ("kind", "expected"), [("FunctionRole", "PassPipelineRole"), ("PipelineRole", "PassSelf")]
)
def test_only_the_pipeline_role_is_passed_and_only_to_sagemaker(kind: str, expected: str) -> None:
    passes = [st for st in statements(role(kind)) if "iam:PassRole" in as_list(st["Action"])]
    assert [st["Sid"] for st in passes] == [expected]
    name = "cv-birds-pipeline-${AWS::Region}"
    account = "arn:${AWS::Partition}:iam::${AWS::AccountId}"
    assert role("PipelineRole")["RoleName"] == {"Fn::Sub": name}
    assert passes[0]["Resource"] == {"Fn::Sub": f"{account}:role/{name}"}
    assert passes[0]["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}


@pytest.mark.parametrize("create", ["Train", "Process"])
def test_a_job_is_isolated_encrypted_and_bounded(create: str) -> None:
    condition = by_sid("PipelineRole")[create]["Condition"]
    assert condition["Bool"] == {
        "sagemaker:InterContainerTrafficEncryption": "true",
        "sagemaker:NetworkIsolation": "true",
    }
    assert condition["NumericLessThanEquals"] == {"sagemaker:MaxRuntimeInSeconds": "86400"}
    assert condition["Null"]["sagemaker:InstanceTypes"] == "false"
    assert not [
        kind for kind in condition["ForAllValues:StringEquals"]["sagemaker:InstanceTypes"] if ".p" in kind
    ]


def test_a_training_job_keeps_no_warm_pool_mounts_nothing_and_opens_no_shell() -> None:
    condition = by_sid("PipelineRole")["Train"]["Condition"]
    assert condition["Null"]["sagemaker:KeepAlivePeriod"] == "true"
    assert condition["Null"]["sagemaker:FileSystemId"] == "true"
    assert condition["BoolIfExists"] == {"sagemaker:EnableRemoteDebug": "false"}


def test_the_pipeline_registers_but_never_approves() -> None:
    register = by_sid("PipelineRole")["Register"]
    assert register["Condition"] == {
        "StringEquals": {"sagemaker:ModelApprovalStatus": ["PendingManualApproval"]},
        "Null": {"sagemaker:ModelLifeCycle:Stage": "true"},
    }
    actions = {action for st in statements(role("PipelineRole")) for action in as_list(st["Action"])}
    assert "sagemaker:UpdateModelPackage" not in actions


def test_a_job_never_touches_the_definitions() -> None:
    deny = by_sid("PipelineRole")["NeverTheTrigger"]
    assert (deny["Effect"], deny["Action"]) == ("Deny", "s3:*")
    assert "Condition" not in deny
    assert [arn["Fn::Sub"].partition("/")[2] for arn in deny["Resource"]] == ["pipeline/*", "verdicts/*"]


def test_a_job_writes_its_results_and_nothing_else() -> None:
    writes = [
        (st["Sid"], [arn["Fn::Sub"].partition("/")[2] for arn in as_list(st["Resource"])])
        for st in statements(role("PipelineRole"))
        if st["Effect"] == "Allow" and "s3:PutObject" in as_list(st["Action"])
    ]
    assert writes == [("WriteResults", ["executions/*", "checkpoints/*"])]
    assert not [st for st in statements(role("PipelineRole")) if "s3:DeleteObject" in as_list(st["Action"])]


@pytest.mark.parametrize(
    ("parameter", "statement", "operator", "key"),
    [
        ("TrainingInstanceType", "Train", "ForAllValues:StringEquals", "sagemaker:InstanceTypes"),
        ("ProcessingInstanceType", "Process", "ForAllValues:StringEquals", "sagemaker:InstanceTypes"),
        ("ModelApprovalStatus", "Register", "StringEquals", "sagemaker:ModelApprovalStatus"),
    ],
)
def test_the_definitions_defaults_are_allowed(
    parameter: str, statement: str, operator: str, key: str
) -> None:
    defaults = {each["Name"]: each.get("DefaultValue") for each in DEFINITION["Parameters"]}
    assert defaults[parameter] in by_sid("PipelineRole")[statement]["Condition"][operator][key]


def test_the_definitions_jobs_ask_for_no_more_time_than_is_allowed() -> None:
    asked = [
        step["Arguments"]["StoppingCondition"]["MaxRuntimeInSeconds"]
        for _, step, _ in walk.steps(DEFINITION)
        if step["Type"] in {"Processing", "Training"}
    ]
    limit = by_sid("PipelineRole")["Train"]["Condition"]["NumericLessThanEquals"]
    assert asked
    assert max(asked) <= int(limit["sagemaker:MaxRuntimeInSeconds"])


def test_the_function_starts_named_versions_of_the_projects_pipelines_only() -> None:
    start = by_sid("FunctionRole")["StartPinned"]
    assert start["Condition"] == {"Null": {"sagemaker:PipelineVersionId": "false"}}
    assert [arn["Fn::Sub"].rpartition(":")[2] for arn in start["Resource"]] == [
        "pipeline/cv-birds",
        "pipeline/cv-birds-*",
    ]


def test_the_function_reads_uploads_and_writes_verdicts_and_nothing_else_in_the_bucket() -> None:
    given = {
        sid(st): (as_list(st["Action"]), [key_of(arn) for arn in as_list(st["Resource"])])
        for st in statements(role("FunctionRole"))
        if any("s3:" in action for action in as_list(st["Action"]))
    }
    read = ["s3:GetObject", "s3:GetObjectVersion"]
    assert given == {
        "ReadDefinition": (read, ["pipeline/*pipeline.json", "pipeline/*parameters.json"]),
        "ListUploads": (["s3:ListBucketVersions"], [""]),
        "ListVerdictsAndData": (["s3:ListBucket"], [""]),
        "LeaveVerdict": (["s3:GetObject", "s3:PutObject"], ["verdicts/*"]),
    }
    lists = by_sid("FunctionRole")
    assert lists["ListUploads"]["Condition"] == {"StringLike": {"s3:prefix": "pipeline/*"}}
    assert lists["ListVerdictsAndData"]["Condition"] == {
        "StringLike": {"s3:prefix": ["verdicts/*", "data/*"]}
    }


def key_of(arn: dict[str, str]) -> str:
    """Return what follows the bucket's name."""
    return arn["Fn::Sub"].partition("}/")[2]


def test_the_function_may_stop_executions_only_where_that_is_configured() -> None:
    assert "StopOlder" not in by_sid("FunctionRole")
