"""The template of a Studio project, and what a deployment offers it with."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.iam.bucket_requests import CHANGING, INVENTED
from tests.support.iam.judge import EVERYTHING, Policies, Question, decide, decide_all, document
from tests.support.iam.role_table import ACCOUNT, REGION
from tests.support.infra.resources import resolve, resources, the_bucket, the_only
from tests.support.infra.studio_offers import (
    LAUNCH_ROLE,
    OFFERS,
    TEMPLATES,
    USERS,
    Template,
    offer,
    project,
)
from upload_trigger.definition import loading

ROOT = Path(__file__).parents[3]
PUBLISHER = f"arn:aws:iam::{ACCOUNT}:role/cv-birds-studio-publish-{REGION}"
NAMED = re.compile("^(Alarm|Bucket|Dashboard|Function|LogGroup|ModelPackageGroup|Pipeline|Queue|Role)?Name$")
REFERENCES = {"AWS::Lambda::EventInvokeConfig", "AWS::Lambda::Permission", "AWS::Logs::MetricFilter"}
"""What has no name of its own and names another resource."""
LONGEST = {
    "AWS::AccountId": "123456789012",
    "AWS::Region": "ap-southeast-1",
    "SageMakerProjectId": "p-" + "a" * 18,
}
SAGEMAKERS_TAGS = {
    "sagemaker:project-id": "SageMakerProjectId",
    "sagemaker:project-name": "SageMakerProjectName",
}


@pytest.fixture(scope="module")
def made(synthesis: ModuleType) -> Template:
    return project(synthesis)


@pytest.fixture(scope="module", params=OFFERS)
def offered(synthesis: ModuleType, request: pytest.FixtureRequest) -> Template:
    return offer(synthesis, request.param)


def names(template: Template) -> Iterator[tuple[str, Any]]:
    for logical_id, resource in template["Resources"].items():
        if resource["Type"] not in REFERENCES:
            for key, value in resource["Properties"].items():
                if NAMED.match(key):
                    yield logical_id, value


def filled(text: str) -> str:
    return re.sub(r"\$\{([\w:]+)\}", lambda found: LONGEST[found[1]], text)


def test_studio_fills_in_the_two_parameters_that_it_knows_and_asks_for_no_other(made: Template) -> None:
    assert set(made["Parameters"]) == {"SageMakerProjectName", "SageMakerProjectId"}
    assert not [each for each in made["Parameters"].values() if "Default" in each or each["Type"] != "String"]


def test_every_name_is_made_of_the_project_s_id_and_of_nothing_else_that_changes(made: Template) -> None:
    found = dict(names(made))
    assert len(found) >= 20
    for logical_id, value in found.items():
        text = value["Fn::Sub"]
        assert "${SageMakerProjectId}" in text, logical_id
        rest = set(re.findall(r"\$\{([\w:]+)\}", text)) - {"SageMakerProjectId"}
        assert rest <= {"AWS::AccountId", "AWS::Region"}, logical_id


def test_what_it_takes_from_the_deployment_is_the_topic_the_code_and_the_boundaries(made: Template) -> None:
    literal = sorted(set(re.findall(r'"[^"]*cv-birds[^"]*"', json.dumps(made))))
    bounds = [
        f'"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:policy/cv-birds-studio-{kind}-${{AWS::Region}}"'
        for kind in ("break-glass", "pipeline", "start-execution", "uploader")
    ]
    assert literal == [
        *bounds,
        '"arn:${AWS::Partition}:sns:${AWS::Region}:${AWS::AccountId}:cv-birds-notifications"',
        '"cv-birds-${AWS::AccountId}-${AWS::Region}-tmpl"',
    ]


def test_no_name_is_too_long_with_the_longest_id_in_the_longest_region(made: Template) -> None:
    limits = {
        "AWS::S3::Bucket": 63,
        "AWS::IAM::Role": 64,
        "AWS::Lambda::Function": 64,
        "AWS::Events::Rule": 64,
    }
    for logical_id, value in names(made):
        kind = made["Resources"][logical_id]["Type"]
        assert len(filled(value["Fn::Sub"])) <= limits.get(kind, 63), logical_id


def test_no_name_of_the_offer_is_too_long_for_the_longest_project() -> None:
    from infra.config.consistency import MAX_NAME
    from infra.studio.studio_names import StudioNames

    own = StudioNames("a" * MAX_NAME)
    assert len(filled(own.templates)) <= 63
    assert max(len(filled(each)) for each in (own.launch_role, own.publisher_role, own.publisher)) <= 64
    assert len(filled(own.boundary("start-execution"))) <= 128


def test_no_name_of_a_project_is_opened_by_a_policy_of_aws(made: Template) -> None:
    from infra.config.consistency import OPENED_BY_AWS

    for logical_id, value in names(made):
        own = value["Fn::Sub"].replace("${SageMakerProjectId}", "").lower()
        assert not [word for word in OPENED_BY_AWS if word in own], logical_id


def test_sagemaker_finds_what_belongs_to_a_project_by_its_tags(made: Template) -> None:
    kinds = ("Pipeline", "ModelPackageGroup")
    for kind in [f"AWS::SageMaker::{each}" for each in kinds] + ["AWS::S3::Bucket", "AWS::Lambda::Function"]:
        for each in resources(made, kind):
            tags = {tag["Key"]: tag["Value"] for tag in each["Properties"]["Tags"]}
            assert {key: tags[key] for key in SAGEMAKERS_TAGS} == {
                key: {"Ref": name} for key, name in SAGEMAKERS_TAGS.items()
            }


def test_the_pipeline_is_the_shipped_one_in_the_function_s_own_spelling(made: Template) -> None:
    pipeline = the_only(made, "AWS::SageMaker::Pipeline")["Properties"]
    shipped = (ROOT / "pipeline_definition" / "pipeline.json").read_bytes()
    text = loading.serialise(loading.load(shipped))
    # Any other spelling would become another version when the shipped file is uploaded.
    assert pipeline["PipelineDefinition"] == {"PipelineDefinitionBody": text}


def test_a_project_is_the_deployment_but_for_its_topic_and_pipeline(
    made: Template, synthesis: ModuleType
) -> None:
    # Of the hardened profile, whatever the deployment has: users of Studio upload by the uploader role.
    deployment = synthesis.synthesise({"security": "hardened", "encryption_key": "s3"})
    own = {logical_id: each["Type"] for logical_id, each in deployment["Resources"].items()}
    new = {logical_id: each["Type"] for logical_id, each in made["Resources"].items()}
    assert sorted(kind for name, kind in new.items() if name not in own) == ["AWS::SageMaker::Pipeline"]
    assert sorted(kind for name, kind in own.items() if name not in new) == [
        "AWS::KMS::Key",
        "AWS::SNS::Topic",
        "AWS::SNS::TopicPolicy",
    ]
    assert set(deployment["Outputs"]) == set(made["Outputs"])


def test_nobody_has_a_managed_policy_or_an_action_without_a_name(made: Template, offered: Template) -> None:
    for template in (made, offered):
        text = json.dumps(template)
        assert not re.findall("IAMFullAccess|AdministratorAccess|PowerUserAccess", text)
        assert not [
            each
            for each in resources(template, "AWS::IAM::Role")
            if "ManagedPolicyArns" in each["Properties"]
        ]
        for statement in statements(template):
            if statement["Effect"] == "Allow":
                actions = (
                    statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                )
                assert not [action for action in actions if "*" in action], statement


def statements(template: Template) -> Iterator[dict[str, Any]]:
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::IAM::ManagedPolicy":
            yield from resource["Properties"]["PolicyDocument"]["Statement"]
        elif resource["Type"] == "AWS::IAM::Role":
            for policy in resource["Properties"]["Policies"]:
                yield from policy["PolicyDocument"]["Statement"]


def test_every_role_of_a_project_has_the_boundary_of_its_kind_that_the_offer_makes(
    made: Template, offered: Template
) -> None:
    bounds = {
        each["Properties"]["ManagedPolicyName"]["Fn::Sub"]
        for each in resources(offered, "AWS::IAM::ManagedPolicy")
        if "ManagedPolicyName" in each["Properties"]
    }
    roles = [each["Properties"] for each in resources(made, "AWS::IAM::Role")]
    assert len(roles) == len(bounds) >= 2
    for role in roles:
        own = role["RoleName"]["Fn::Sub"].replace("studio-${SageMakerProjectId}", "cv-birds-studio")
        assert own in bounds
        bound = f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:policy/{own}"
        assert role["PermissionsBoundary"] == {"Fn::Sub": bound}


def test_cloudformation_takes_the_template_and_the_function_inside_the_other(
    made: Template, offered: Template
) -> None:
    assert len(json.dumps(made)) <= 1_000_000
    (publisher,) = (
        each["Properties"]["Code"]["ZipFile"]
        for each in resources(offered, "AWS::Lambda::Function")
        if "ZipFile" in each["Properties"]["Code"]
    )
    assert len(publisher) <= 4096


def test_the_published_objects_are_the_template_and_the_code_that_it_names(
    made: Template, synthesis: ModuleType
) -> None:
    for name, key in (("s3", "templates/cv-birds.yaml"), ("catalog", "products/")):
        published = the_only(offer(synthesis, name), "AWS::CloudFormation::CustomResource")["Properties"]
        template, code = published["Objects"]
        assert template["Key"].startswith(key)
        assert code["Key"] == the_only(made, "AWS::Lambda::Function")["Properties"]["Code"]["S3Key"]
        assert code["FromKey"] == code["Key"]
        assert ("Tagging" in template) == (name == "s3")
        assert template.get("Tagging", "") in ("", "sagemaker:studio-visibility=true")


@pytest.mark.parametrize("name", OFFERS)
def test_nobody_but_the_publisher_writes_templates_and_code_whatever_else_allows_it(
    synthesis: ModuleType, name: str
) -> None:
    given = policy_of_the_templates(offer(synthesis, name))

    def question(role: str, action: str, key: str) -> Question:
        context = {"aws:SecureTransport": "true", "aws:PrincipalArn": role}
        return Question(role, action, f"arn:aws:s3:::{TEMPLATES}/{key}", context, action == INVENTED)

    others = (
        *(USERS, LAUNCH_ROLE, f"{PUBLISHER}-2", PUBLISHER.replace("role/", "role/team/")),
        *(f"arn:aws:iam::{ACCOUNT}:role/admin", f"arn:aws:iam::{ACCOUNT}:user/administrator"),
    )
    expected = [
        (question(who, action, key), who == PUBLISHER or action == "s3:GetObject")
        for key in ("templates/cv-birds.yaml", "products/0123456789ab.json", "code.zip")
        for action in (*CHANGING, "s3:DeleteObjectVersion", "s3:GetObject")
        for who in (PUBLISHER, *others)
    ]
    policies = Policies(identity=[EVERYTHING], resource=given)
    decisions = decide_all([asked for asked, _ in expected], policies)
    assert [
        (asked, decision)
        for (asked, allowed), decision in zip(expected, decisions, strict=True)
        if decision.allowed != allowed or decision.ignored
    ] == []


def policy_of_the_templates(template: Template) -> Any:
    (given,) = (
        each["Properties"]
        for each in resources(template, "AWS::S3::BucketPolicy")
        if each["Properties"]["Bucket"]["Ref"].startswith("StudioTemplates")
    )
    own = re.escape(json.dumps({"Fn::GetAtt": [given["Bucket"]["Ref"], "Arn"]}))
    document = re.sub(own, f'"arn:aws:s3:::{TEMPLATES}"', json.dumps(given["PolicyDocument"]))
    return resolve(json.loads(document))


def test_studio_may_read_the_bucket_from_a_browser_and_nothing_else(synthesis: ModuleType) -> None:
    (rule,) = next(
        each["Properties"]["CorsConfiguration"]["CorsRules"]
        for each in resources(offer(synthesis, "s3"), "AWS::S3::Bucket")
        if "CorsConfiguration" in each["Properties"]
    )
    assert rule["AllowedOrigins"] == ["https://*.sagemaker.aws"]
    assert rule["AllowedMethods"] == ["GET", "HEAD"]


def test_the_product_is_launched_with_the_launch_role_by_the_named_users_alone(synthesis: ModuleType) -> None:
    template = offer(synthesis, "catalog")
    constraint = the_only(template, "AWS::ServiceCatalog::LaunchRoleConstraint")["Properties"]
    role = template["Resources"][constraint["RoleArn"]["Fn::GetAtt"][0]]
    assert role["Properties"]["RoleName"] == {"Fn::Sub": "cv-birds-studio-launch-${AWS::Region}"}
    (trusted,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trusted["Principal"] == {"Service": "servicecatalog.amazonaws.com"}
    user = the_only(template, "AWS::ServiceCatalog::PortfolioPrincipalAssociation")["Properties"]
    assert user["PrincipalARN"] == USERS
    product = the_only(template, "AWS::ServiceCatalog::CloudFormationProduct")["Properties"]
    assert {"Key": "sagemaker:studio-visibility", "Value": "true"} in product["Tags"]


def test_a_version_of_the_product_is_its_template_s_hash_and_earlier_ones_stay(synthesis: ModuleType) -> None:
    template = offer(synthesis, "catalog")
    product = the_only(template, "AWS::ServiceCatalog::CloudFormationProduct")["Properties"]
    current, earlier = product["ProvisioningArtifactParameters"]
    assert earlier["Name"] == "0123456789ab"
    assert current["Name"] == template["Outputs"]["StudioProductVersion"]["Value"]
    published = the_only(template, "AWS::CloudFormation::CustomResource")["Properties"]["Objects"][0]
    assert current["Info"]["LoadTemplateFromURL"]["Fn::Sub"].endswith(
        f"-tmpl.s3.${{AWS::Region}}.${{AWS::URLSuffix}}/{published['Key']}"
    )


def test_the_domain_is_tagged_or_an_output_says_how(synthesis: ModuleType) -> None:
    told = offer(synthesis, "s3")["Outputs"]["StudioDomainTagCommand"]["Value"]["Fn::Sub"]
    assert "add-tags --resource-arn arn:" in told
    assert "Key=sagemaker:projectS3TemplatesLocation,Value=s3://cv-birds-" in told
    tagged = synthesis.synthesise({**OFFERS["s3"], "studio_domain_id": "d-abc123"})
    published = the_only(tagged, "AWS::CloudFormation::CustomResource")["Properties"]
    assert published["DomainArn"]["Fn::Sub"].endswith(":domain/d-abc123")
    assert "StudioDomainTagCommand" not in tagged["Outputs"]
    (right,) = (each for each in statements(tagged) if each.get("Sid") == "TagDomain")
    assert right["Resource"] == published["DomainArn"]


@pytest.mark.parametrize(
    "context", [*OFFERS.values(), {**OFFERS["s3"], "studio_domain_id": "d-new"}], ids=str
)
def test_a_domain_that_is_named_no_more_can_be_forgotten(
    synthesis: ModuleType, context: dict[str, Any]
) -> None:
    # CloudFormation brings the role to the new template before the function forgets the old domain.
    publisher = next(
        each["Properties"]
        for each in resources(synthesis.synthesise(context), "AWS::IAM::Role")
        if each["Properties"]["RoleName"] == {"Fn::Sub": "cv-birds-studio-publish-${AWS::Region}"}
    )
    rights = [
        resolve(each)
        for each in publisher["Policies"][0]["PolicyDocument"]["Statement"]
        if "sagemaker:" in str(each["Action"])
    ]

    def may(action: str, domain: str, *keys: str) -> bool:
        arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:domain/{domain}"
        context = {"aws:TagKeys": list(keys)} if keys else {}
        return decide(PUBLISHER, action, arn, context, identity=[document(*rights)]).allowed

    location = "sagemaker:projectS3TemplatesLocation"
    assert may("sagemaker:DeleteTags", "d-old", location)
    assert not may("sagemaker:DeleteTags", "d-old", location, "owner")
    assert not may("sagemaker:DeleteTags", "d-old")
    assert not may("sagemaker:AddTags", "d-old", location)
    assert may("sagemaker:AddTags", "d-new", location) is ("studio_domain_id" in context)


def test_the_alarms_of_projects_may_publish_on_the_deployment_s_topic(synthesis: ModuleType) -> None:
    document = the_only(offer(synthesis, "s3"), "AWS::SNS::TopicPolicy")["Properties"]["PolicyDocument"]
    (alarms,) = (each for each in document["Statement"] if each["Sid"] == "AlarmsOfTheProject")
    assert [
        each["Fn::Sub"].rpartition(":")[2] for each in alarms["Condition"]["ArnLike"]["aws:SourceArn"]
    ] == [
        "cv-birds-*",
        "studio-p-*-*",
    ]


def test_a_deployment_offers_nothing_unless_it_is_asked_to(synthesis: ModuleType) -> None:
    assert not [name for name in synthesis.synthesise()["Resources"] if name.startswith("Studio")]


@pytest.mark.parametrize("project_name", ["studio", "studio-p", "studio-p-abc123"])
def test_no_deployment_is_called_like_a_project_of_studio(project_name: str) -> None:
    from infra.config import ConfigError, read_context

    with pytest.raises(ConfigError, match="SageMaker Studio"):
        read_context({"project": project_name})
    assert read_context({"project": "studios"}).name == "studios"


@pytest.mark.parametrize(
    "context",
    [
        {"project": "sagemaker-birds"},
        {"project": "my-sagemaker"},
        {"project": "birds", "environment": "sagemaker"},
        {"project": "glue-birds", "environment": "aws"},
    ],
    ids=lambda context: "-".join(context.values()),
)
def test_no_deployment_has_a_name_that_policies_of_aws_open(context: dict[str, str]) -> None:
    from infra.config import ConfigError, read_context

    # Users of Studio would write its data and models, and the templates that the launch role makes stacks of.
    with pytest.raises(ConfigError, match="AmazonSageMakerFullAccess"):
        read_context(context)
    assert read_context({"project": "sage-maker"}).name == "sage-maker"


def test_the_bucket_of_a_project_is_that_of_a_deployment(made: Template, synthesis: ModuleType) -> None:
    bucket, other = (
        the_bucket(made)["Properties"],
        the_bucket(synthesis.synthesise({"encryption_key": "s3"}))["Properties"],
    )
    named = {"BucketName", "LoggingConfiguration", "NotificationConfiguration", "Tags"}
    assert {key: value for key, value in bucket.items() if key not in named} == {
        key: value for key, value in other.items() if key not in named
    }
