"""The launch role makes projects and nothing else, and no role that it makes is stronger than a project's."""

import functools
import json
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.iam import role_table
from tests.support.iam.job_requests import PROCESS, TRAIN
from tests.support.iam.judge import Document, Question, decide, decide_all, document, find_wrong
from tests.support.iam.least_privilege import (
    RIGHTS,
    RIGHTS_BY_DEFAULT,
    SCORE,
    allowed_actions,
    decided,
    policies,
)
from tests.support.iam.policy_mutants import Statement, mutants
from tests.support.iam.rights import Context
from tests.support.iam.role_table import ACCOUNT, REGION
from tests.support.iam.roles import statements
from tests.support.infra.resources import resolve, resources
from tests.support.infra.studio_offers import LAUNCH_ROLE, OFFERS, STACK, TEMPLATES, USERS, offer, project

(CFN_LINT,) = find_spec("cfnlint").submodule_search_locations  # type: ignore[union-attr,misc]
SCHEMAS = Path(CFN_LINT) / "data" / "schemas"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/cv-birds-studio-pipeline-{REGION}"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/studio-p-abc123def456-pipeline-{REGION}"
BOUND: Context = {"iam:PermissionsBoundary": BOUNDARY}
OTHER_FEATURES = "a property of the type that the template does not have"
DELETED_BY_PUTTING = "no action of IAM's: deleting a configuration is the right to put one"
LISTING = "finds names that a template does not give"
LEFT_OUT = {
    "iam:AttachRolePolicy": "roles have no managed policies",
    "iam:DetachRolePolicy": "roles have no managed policies",
    "iam:DeleteRolePermissionsBoundary": "a role without the boundary could do anything",
    "lambda:GetLayerVersion": OTHER_FEATURES,
    "lambda:PublishVersion": OTHER_FEATURES,
    "s3:DeleteObject": "no stack may delete data",
    "s3:GetObjectVersion": "the code is named by its hash and not by a version",
    "s3:PutBucketAcl": "access control lists are off",
    "s3:PutObjectAcl": "access control lists are off",
    "s3:REST.PUT.OBJECT": "no action of IAM's",
    **dict.fromkeys(("s3:PutBucketAbac", "s3:PutBucketCORS", "s3:PutBucketWebsite"), OTHER_FEATURES),
    **dict.fromkeys(
        (
            f"lambda:{each}"
            for each in ("AssociateRuntimeAlias", "GetCodeSigningConfig", "PassCapacityProvider")
        ),
        OTHER_FEATURES,
    ),
}
"""What CloudFormation's handlers of these types may call and the launch role may not, with the reason."""
LEFT_OUT_BY_PREFIX = {
    "cloudwatch:List": LISTING,
    "ec2:": OTHER_FEATURES,
    "elasticfilesystem:": OTHER_FEATURES,
    "events:ListRules": LISTING,
    "firehose:": OTHER_FEATURES,
    "iam:List": LISTING,
    "kms:": OTHER_FEATURES,
    "lambda:List": LISTING,
    "lambda:DeleteFunctionCodeSigning": OTHER_FEATURES,
    "lambda:PutFunctionCodeSigning": OTHER_FEATURES,
    "lambda:PutFunctionRecursion": OTHER_FEATURES,
    "lambda:PutFunctionScaling": OTHER_FEATURES,
    "lambda:PutRuntime": OTHER_FEATURES,
    "logs:": OTHER_FEATURES,
    "s3:CreateBucketMetadata": OTHER_FEATURES,
    "s3:DeleteBucket": DELETED_BY_PUTTING,
    "s3:ListAllMyBuckets": LISTING,
    "s3:Put": OTHER_FEATURES,
    "s3:UpdateBucketMetadata": OTHER_FEATURES,
    "s3files:": OTHER_FEATURES,
    "s3tables:": OTHER_FEATURES,
    "sagemaker:DeleteModelPackageGroupPolicy": OTHER_FEATURES,
    "sagemaker:PutModelPackageGroupPolicy": OTHER_FEATURES,
    "sagemaker:List": LISTING,
    "sqs:List": LISTING,
}


def launch_statements(template: dict[str, Any]) -> list[Statement]:
    return [
        resolve(statement)
        for each in resources(template, "AWS::IAM::Role")
        if "studio-launch" in json.dumps(each["Properties"]["RoleName"])
        for statement in each["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    ]


def managed(template: dict[str, Any], words: str) -> dict[str, Any]:
    (document,) = (
        each["Properties"]["PolicyDocument"]
        for each in resources(template, "AWS::IAM::ManagedPolicy")
        if words in each["Properties"]["Description"]
    )
    resolved: dict[str, Any] = resolve(document)
    return resolved


@pytest.fixture(scope="module")
def launch(synthesis: ModuleType) -> list[Statement]:
    return launch_statements(offer(synthesis, "s3"))


@pytest.fixture(scope="module")
def bounds(synthesis: ModuleType) -> list[Statement]:
    return bounds_of(synthesis, "pipeline")


def bounds_of(synthesis: ModuleType, kind: str) -> list[Statement]:
    found: list[Statement] = managed(offer(synthesis, "s3"), f"Bounds the role {kind} ")["Statement"]
    return found


def actions(statements: list[Statement]) -> set[str]:
    given = [each["Action"] for each in statements]
    return {one for each in given for one in (each if isinstance(each, list) else [each])}


@functools.cache
def handlers(kind: str) -> frozenset[str]:
    """Return every action that CloudFormation's own handlers of a resource type may call."""
    index = json.loads((SCHEMAS / "providers" / f"{REGION}.json").read_text(encoding="utf-8"))
    schema = json.loads((SCHEMAS / "resources" / f"{index[kind]}.json").read_text(encoding="utf-8"))
    return frozenset(action for each in schema["handlers"].values() for action in each["permissions"])


def test_it_may_do_what_cloudformation_s_handlers_of_the_template_do_and_no_more(
    launch: list[Statement], synthesis: ModuleType
) -> None:
    kinds = {each["Type"] for each in project(synthesis)["Resources"].values()}
    known = {action for kind in kinds for action in handlers(kind)}
    given = actions(launch)
    assert given <= known
    missing = known - given - set(LEFT_OUT)
    assert not [each for each in missing if not each.startswith(tuple(LEFT_OUT_BY_PREFIX))]
    assert not set(LEFT_OUT) & given
    assert set(LEFT_OUT) <= known


def test_the_catalog_s_launch_role_makes_stacks_of_the_catalog_in_addition(
    launch: list[Statement], synthesis: ModuleType
) -> None:
    more = launch_statements(offer(synthesis, "catalog"))
    assert more[: len(launch)] == launch
    assert {each["Sid"] for each in more[len(launch) :]} == {"Stacks", "CheckTemplates", "ReadProduct"}


def allowed(
    statements: list[Statement],
    action: str,
    resource: str,
    context: Context | None = None,
    boundary: Sequence[Document] = (),
) -> bool:
    identity = [document(*statements)]
    return decide(LAUNCH_ROLE, action, resource, context or {}, identity=identity, boundary=boundary).allowed


FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:studio-p-abc123def456-start-execution"
ABUSE: list[tuple[str, str, str, Context]] = [
    ("a role without the boundary", "iam:CreateRole", ROLE, {}),
    ("a role with a weaker one", "iam:CreateRole", ROLE, {"iam:PermissionsBoundary": f"{BOUNDARY}-more"}),
    ("a right for an unbound role", "iam:PutRolePolicy", ROLE, {}),
    ("a role of another name", "iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/admin", BOUND),
    ("a policy for somebody's role", "iam:PutRolePolicy", USERS, BOUND),
    (
        "a role with another role's boundary",
        "iam:CreateRole",
        ROLE,
        {"iam:PermissionsBoundary": BOUNDARY.replace("pipeline", "start-execution")},
    ),
    ("the boundary taken off", "iam:DeleteRolePermissionsBoundary", ROLE, BOUND),
    ("the boundary exchanged", "iam:PutRolePermissionsBoundary", ROLE, {"iam:PermissionsBoundary": USERS}),
    ("the boundary rewritten", "iam:CreatePolicyVersion", BOUNDARY, {}),
    ("a managed policy", "iam:AttachRolePolicy", ROLE, BOUND),
    ("itself made stronger", "iam:PutRolePolicy", LAUNCH_ROLE, BOUND),
    (
        "somebody's role for a function",
        "iam:PassRole",
        USERS,
        {"iam:PassedToService": "lambda.amazonaws.com"},
    ),
    (
        "the pipeline's role for a function",
        "iam:PassRole",
        ROLE,
        {"iam:PassedToService": "lambda.amazonaws.com"},
    ),
    ("a role for a machine", "iam:PassRole", ROLE, {"iam:PassedToService": "ec2.amazonaws.com"}),
    ("a deployment's bucket", "s3:PutBucketPolicy", f"arn:aws:s3:::cv-birds-{ACCOUNT}-{REGION}", {}),
    ("a bucket of Studio", "s3:DeleteBucket", "arn:aws:s3:::studio-data", {}),
    ("data", "s3:GetObject", f"arn:aws:s3:::studio-p-abc123def456-{ACCOUNT}-{REGION}/data/a", {}),
    ("the templates", "s3:PutObject", f"arn:aws:s3:::{TEMPLATES}/templates/cv-birds.yaml", {}),
    ("code of others", "s3:GetObject", f"arn:aws:s3:::cdk-hnb659fds-assets-{ACCOUNT}-{REGION}/a.zip", {}),
    (
        "a deployment's function",
        "lambda:UpdateFunctionCode",
        FUNCTION.replace("studio-p-abc123def456", "cv-birds"),
        {},
    ),
    ("calls of the function", "lambda:InvokeFunction", FUNCTION, {}),
    ("calls by a stranger", "lambda:AddPermission", FUNCTION, {"lambda:Principal": "999999999999"}),
    ("a deployment's pipeline", "sagemaker:UpdatePipeline", f"{role_table.SAGEMAKER}:pipeline/cv-birds", {}),
    (
        "an execution",
        "sagemaker:StartPipelineExecution",
        f"{role_table.SAGEMAKER}:pipeline/studio-p-abc123def456",
        {},
    ),
    (
        "a model",
        "sagemaker:UpdateModelPackage",
        f"{role_table.SAGEMAKER}:model-package/studio-p-abc123def456/1",
        {},
    ),
    (
        "a training job",
        "sagemaker:CreateTrainingJob",
        f"{role_table.SAGEMAKER}:training-job/pipelines-a",
        TRAIN,
    ),
]


@pytest.mark.parametrize(("what", "action", "resource", "context"), ABUSE, ids=[case[0] for case in ABUSE])
def test_it_is_denied_what_no_project_needs(
    launch: list[Statement], what: str, action: str, resource: str, context: Context
) -> None:
    assert not allowed(launch, action, resource, context)


def test_every_resource_is_a_project_s_or_the_action_knows_none(launch: list[Statement]) -> None:
    for statement in launch:
        given = statement["Resource"]
        for arn in given if isinstance(given, list) else [given]:
            if arn == "*":
                assert statement["Sid"] == "FindLogGroups"
            else:
                assert "studio-p-" in arn or statement["Sid"] == "ReadCode", arn
                assert f":{ACCOUNT}:" in arn or arn.startswith("arn:aws:s3:::"), arn


def cases(launch: list[Statement]) -> Iterator[tuple[str, str, Context, bool]]:
    """Yield what the role is for, each with its nearest neighbours."""
    for statement in launch:
        given = [statement["Resource"]] if isinstance(statement["Resource"], str) else statement["Resource"]
        context = condition_values(statement)
        for action in actions([statement]):
            for arn in given:
                one = arn.replace("p-*", "p-abc123def456").replace("*", "a")
                yield action, one if arn != "*" else "*", context, True
                for other in neighbours(arn, one):
                    yield action, other, context, False
                if context:
                    yield action, one, {}, False
                    for key in context:
                        yield action, one, {**context, key: "another"}, False


def neighbours(pattern: str, one: str) -> set[str]:
    """Return resources that a pattern does not cover, made of one that it does."""
    if pattern == "*":
        return set()
    made = {
        one.replace("studio-p-", "studio-").replace(".zip", ".json"),
        one.replace("studio-p-abc123def456", "x-studio-p-abc123def456"),
        one if pattern.endswith("*") else f"{one}-more",
    }
    return made - {one}


def condition_values(statement: Statement) -> Context:
    found: Context = {}
    for keys in statement.get("Condition", {}).values():
        found |= {key: value[0] if isinstance(value, list) else value for key, value in keys.items()}
    return found


def test_a_change_in_one_place_of_its_policy_is_noticed(launch: list[Statement]) -> None:
    expected = [(Question(LAUNCH_ROLE, *case[:3]), case[3]) for case in cases(launch)]
    decisions = decide_all([question for question, _ in expected], policies(launch))
    assert [
        (question, decision)
        for (question, right), decision in zip(expected, decisions, strict=True)
        if decision.allowed != right or decision.ignored
    ] == []
    changed, golden = list(mutants(launch)), actions(launch)
    same_actions = [each for each in changed if actions(each.statements) == golden]
    noticed = find_wrong(expected, [policies(each.statements) for each in same_actions])
    survivors = [each.what for each, by in zip(same_actions, noticed, strict=True) if by is None]
    score = 1 - len(survivors) / len(changed)
    assert score >= SCORE, f"{len(survivors)} of {len(changed)} went unnoticed:\n" + "\n".join(survivors)


def of_a_project(text: str) -> str:
    return text.replace(":stack/cv-birds/", f":stack/{STACK}/").replace("cv-birds", "studio-p-abc123def456")


@pytest.mark.parametrize("role", RIGHTS, ids=lambda arn: arn.rpartition("/")[2])
def test_a_boundary_allows_what_its_role_is_for_and_nothing_that_it_is_not(
    synthesis: ModuleType, role: str
) -> None:
    kind = role.rpartition("/")[2].removeprefix("cv-birds-").removesuffix(f"-{REGION}")
    bounds = bounds_of(synthesis, kind)
    denied = 0
    # The project's own key is S3's.
    for request in decided((RIGHTS | RIGHTS_BY_DEFAULT)[role]):
        if request.action.startswith("kms:"):
            continue
        context = json.loads(of_a_project(json.dumps(request.context)))
        given = allowed(bounds, request.action, of_a_project(request.resource), context)
        assert given or not request.allowed, request
        denied += not given
    assert denied > 10
    own = allowed_actions(statements(role))
    assert actions(bounds) == {each for each in own if not each.startswith("kms:")}


UNBOUNDED: list[tuple[str, str, Context]] = [
    ("iam:CreateRole", ROLE, BOUND),
    ("iam:PassRole", USERS, {"iam:PassedToService": "sagemaker.amazonaws.com"}),
    ("s3:GetObject", f"arn:aws:s3:::cv-birds-{ACCOUNT}-{REGION}/data/a", {}),
    ("s3:DeleteObjectVersion", f"arn:aws:s3:::studio-p-a-{ACCOUNT}-{REGION}/data/a", {}),
    ("sagemaker:UpdateModelPackage", f"{role_table.SAGEMAKER}:model-package/studio-p-a/1", {}),
    ("sagemaker:UpdatePipeline", f"{role_table.SAGEMAKER}:pipeline/cv-birds", {}),
    ("ecr:BatchGetImage", f"{role_table.REPOSITORIES}/another", {}),
    (
        "sagemaker:CreateTrainingJob",
        f"{role_table.SAGEMAKER}:training-job/pipelines-a",
        {**TRAIN, "sagemaker:InstanceTypes": ["ml.p5.48xlarge"]},
    ),
    (
        "sagemaker:CreateProcessingJob",
        f"{role_table.SAGEMAKER}:processing-job/pipelines-a",
        {**PROCESS, "sagemaker:NetworkIsolation": "false"},
    ),
    (
        "sagemaker:CreateModelPackage",
        f"{role_table.SAGEMAKER}:model-package/studio-p-a/*",
        {"sagemaker:ModelApprovalStatus": "Approved"},
    ),
    ("secretsmanager:GetSecretValue", "*", {}),
    ("sts:AssumeRole", LAUNCH_ROLE, {}),
]


@pytest.mark.parametrize(("action", "resource", "context"), UNBOUNDED, ids=[case[0] for case in UNBOUNDED])
def test_a_role_with_all_rights_has_only_those_of_the_boundary(
    bounds: list[Statement], action: str, resource: str, context: Context
) -> None:
    everything = [{"Sid": "All", "Effect": "Allow", "Action": "*", "Resource": "*"}]
    assert allowed(everything, action, resource, context)
    assert not allowed(everything, action, resource, context, [document(*bounds)])


def test_users_make_stacks_of_the_published_templates_with_the_launch_role_alone(
    synthesis: ModuleType,
) -> None:
    given = managed(offer(synthesis, "s3"), "Lets users")["Statement"]
    stack = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/SP-p-abc/1"
    url = f"https://{TEMPLATES}.s3.{REGION}.amazonaws.com/templates/cv-birds.yaml"
    by_path = f"https://s3.{REGION}.amazonaws.com/{TEMPLATES}/templates/cv-birds.yaml"
    right: Context = {"cloudformation:RoleArn": LAUNCH_ROLE, "cloudformation:TemplateUrl": url}
    assert allowed(given, "cloudformation:CreateStack", stack, right)
    assert allowed(
        given, "cloudformation:CreateStack", stack, {**right, "cloudformation:TemplateUrl": by_path}
    )
    assert not allowed(given, "cloudformation:CreateStack", stack.replace("SP-", "XX-"), right)
    wrong_ones: list[Context] = [
        {"cloudformation:RoleArn": LAUNCH_ROLE},
        {"cloudformation:TemplateUrl": url},
        {**right, "cloudformation:RoleArn": USERS},
        {**right, "cloudformation:TemplateUrl": "https://evil.s3.us-east-1.amazonaws.com/templates/a.yaml"},
        {**right, "cloudformation:TemplateUrl": url.replace("templates/", "")},
        {**right, "cloudformation:TemplateUrl": by_path.replace(TEMPLATES, "evil")},
        {**right, "cloudformation:TemplateUrl": by_path.replace("/templates/", "/")},
    ]
    for wrong in wrong_ones:
        for action in ("cloudformation:CreateStack", "cloudformation:UpdateStack"):
            assert not allowed(given, action, stack, wrong)
    to_cloudformation: Context = {"iam:PassedToService": "cloudformation.amazonaws.com"}
    assert allowed(given, "iam:PassRole", LAUNCH_ROLE, to_cloudformation)
    assert not allowed(given, "iam:PassRole", ROLE, to_cloudformation)
    assert not allowed(given, "s3:PutObject", f"arn:aws:s3:::{TEMPLATES}/templates/cv-birds.yaml")


@pytest.mark.parametrize("name", OFFERS)
def test_users_upload_to_projects_and_become_nobody_else(synthesis: ModuleType, name: str) -> None:
    given = managed(offer(synthesis, name), "Lets users")["Statement"]
    assert allowed(given, "sts:AssumeRole", ROLE.replace("-pipeline-", "-uploader-"))
    for role in (ROLE, ROLE.replace("-pipeline-", "-break-glass-"), LAUNCH_ROLE, USERS):
        assert not allowed(given, "sts:AssumeRole", role)
    deployments = f"arn:aws:iam::{ACCOUNT}:role/cv-birds-uploader-{REGION}"
    assert not allowed(given, "sts:AssumeRole", deployments)
    assert allowed(given, "cloudformation:CreateStack", "*") is False


@pytest.mark.parametrize(("name", "stack"), [("s3", "SP-p-abc"), ("catalog", f"SC-{ACCOUNT}-pp-abc")])
def test_users_and_uploaders_of_a_project_see_its_stack_by_the_name_that_it_has(
    synthesis: ModuleType, name: str, stack: str
) -> None:
    arn = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{stack}/1"
    users = managed(offer(synthesis, name), "Lets users")["Statement"]
    uploaders = managed(offer(synthesis, name), "Bounds the role uploader ")["Statement"]
    for given in (users, uploaders):
        assert allowed(given, "cloudformation:DescribeStacks", arn)
        assert not allowed(given, "cloudformation:DescribeStacks", arn.replace(stack, "cv-birds"))
    (role,) = (
        each["Properties"]
        for each in resources(project(synthesis), "AWS::IAM::Role")
        if "-uploader-" in each["Properties"]["RoleName"]["Fn::Sub"]
    )
    (right,) = (
        each for each in role["Policies"][0]["PolicyDocument"]["Statement"] if each["Sid"] == "ReadStack"
    )
    # Its own and no other.
    assert right["Resource"]["Fn::Sub"].endswith(":stack/${AWS::StackName}/*")


@pytest.mark.parametrize("name", OFFERS)
def test_every_policy_has_room_in_iam(synthesis: ModuleType, name: str) -> None:
    template = offer(synthesis, name)
    for each in resources(template, "AWS::IAM::ManagedPolicy"):
        assert size(each["Properties"]["PolicyDocument"]) <= 6144
    for each in (*resources(template, "AWS::IAM::Role"), *resources(project(synthesis), "AWS::IAM::Role")):
        assert sum(size(each["PolicyDocument"]) for each in each["Properties"]["Policies"]) <= 10240


def size(document: Any) -> int:
    return len(json.dumps(resolve(document), separators=(",", ":")))


def test_a_boundary_without_room_is_refused_with_what_to_shorten() -> None:
    from infra.config import ConfigError
    from infra.studio.boundary import bind
    from infra.studio.studio_names import StudioNames

    types = [f"ml.m5.{number}xlarge" for number in range(400)]
    statement = {"Effect": "Allow", "Action": "a:A", "Resource": "*", "Condition": {"a": {"b": types}}}
    policies = [{"PolicyDocument": {"Statement": [statement]}}]
    role = {"Type": "AWS::IAM::Role", "Properties": {"RoleName": "a", "Policies": policies}}
    with pytest.raises(ConfigError, match="training_instance_types"):
        bind({"Resources": {"Role": role}}, StudioNames("birds"))


def test_the_boundaries_have_room_for_network_keys_and_volumes_together(synthesis: ModuleType) -> None:
    from infra.config import DeploymentPolicy, read_context
    from infra.config.consistency import MAX_NAME
    from infra.studio.boundary import bind
    from infra.studio.project import synthesise
    from infra.studio.studio_names import StudioNames

    key = f"arn:aws:kms:ap-southeast-1:{ACCOUNT}:key/"
    config = read_context(
        {
            "project": "a" * MAX_NAME,
            "studio_template": "s3",
            "on_running": "stop",
            "subnet_ids": [f"subnet-0123456789abcdef{number}" for number in range(2)],
            "security_group_ids": ["sg-0123456789abcdef0"],
            "encryption_key": f"{key}mrk-1234abcd12ab34cd56ef1234567890ab",
            "former_encryption_keys": [f"{key}1234abcd-12ab-34cd-56ef-1234567890ab"],
            "encrypt_volumes": True,
        },
        DeploymentPolicy(training_instance_types=("ml.c5.xlarge", "ml.c5.2xlarge")),
    )
    names = StudioNames(config.name)
    documents = bind(synthesise(config, names), names)
    assert set(documents) == {"break-glass", "pipeline", "start-execution", "uploader"}
    keys = {"kms:Decrypt", "kms:GenerateDataKey"}
    assert keys <= {each for each in actions(documents["pipeline"]["Statement"]) if each.startswith("kms:")}
