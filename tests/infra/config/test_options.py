"""Every choice synthesises and changes what it is for; none replaces what holds data."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from infra.config import Config, ConfigError, DeploymentPolicy, context_keys
from tests.support.infra.stack_options import FUNCTION, OPTIONS, Template, changes, default, template

pytestmark = pytest.mark.usefixtures("synthesis")

DOCUMENT = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text(encoding="utf-8")
NAMES = pytest.mark.parametrize("name", OPTIONS)

# What holds data. CloudFormation makes a new one, and lets go of the old one with all that is in it, when the
# logical id or one of the create-only properties here changes.
KEY = "AWS::KMS::Key"
STATEFUL: dict[str, tuple[str, dict[str, str]]] = {
    "EncryptionKey3A692D6E": (KEY, {}),
    "NotificationsKeyADCFA950": (KEY, {}),
    "RegistryGroupF9A457C4": (
        "AWS::SageMaker::ModelPackageGroup",
        {
            "ModelPackageGroupName": "cv-birds",
            "ModelPackageGroupDescription": "Models of the cv-birds training pipeline",
        },
    ),
    "StorageAccessLogs96FB524C": (
        "AWS::S3::Bucket",
        {"BucketName": "cv-birds-${AWS::AccountId}-${AWS::Region}-logs"},
    ),
    "StorageBucket5CB7C8EA": ("AWS::S3::Bucket", {"BucketName": "cv-birds-${AWS::AccountId}-${AWS::Region}"}),
    "TriggerFailuresFF936FA2": ("AWS::SQS::Queue", {"QueueName": "cv-birds-failures"}),
    "TriggerLog533CC323": ("AWS::Logs::LogGroup", {"LogGroupName": "/aws/lambda/cv-birds-start-execution"}),
}
NEVER_LEFT = {"AWS::S3::Bucket", "AWS::SageMaker::ModelPackageGroup"}


def test_every_choice_of_a_deployment_is_tried(synthesis: ModuleType) -> None:
    assert set(context_keys()) == {key for option in OPTIONS.values() for key in option.context}
    members = {member for option in OPTIONS.values() for member in option.policy}
    assert {field.name for field in dataclasses.fields(DeploymentPolicy)} == members


@pytest.mark.parametrize("illegal", ["no such word", ["no such word"]], ids=["a word", "words"])
def test_every_legal_word_of_a_choice_is_tried(synthesis: ModuleType, illegal: Any) -> None:
    for key, parse in context_keys().items():
        message = ""
        try:
            parse(key, illegal)
        except ConfigError as refused:
            message = str(refused)
        # Which of CloudWatch's retentions it is makes no difference to what is in the template.
        if key != "log_retention_days":
            assert legal_words(message) <= tried_words(key), key


def legal_words(message: str) -> set[str]:
    """Read the words that a refusal lists as legal, if there is a list."""
    if "true or false" in message:
        return {"True", "False"}
    listed = message.partition(": one of ")[2].partition(". Change")[0].partition(" (did")[0]
    return set(listed.split(", ")) - {""}


def tried_words(key: str) -> set[str]:
    given = [option.context[key] for option in OPTIONS.values() if key in option.context]
    return {str(word) for value in given for word in (value if isinstance(value, list) else [value])} | {
        str(default_of(key))
    }


def default_of(key: str) -> Any:
    (value,) = value if isinstance(value := getattr(Config(), key), tuple) and len(value) == 1 else (value,)
    return value


def test_a_document_explains_every_key_and_every_member(synthesis: ModuleType) -> None:
    for name in (*context_keys(), *(field.name for field in dataclasses.fields(DeploymentPolicy))):
        assert f"\n| `{name}` |" in DOCUMENT, f"{name}: run make generate"


def test_the_feature_flags_of_cdk_json_change_nothing_of_what_these_tests_look_at(
    synthesis: ModuleType,
) -> None:
    # The committed template is made with them, every other one in the tests without.
    committed = json.loads(synthesis.TEMPLATE.read_text(encoding="utf-8"))
    assert default() == committed


@NAMES
def test_a_choice_changes_what_it_is_for_and_nothing_else(name: str) -> None:
    option = OPTIONS[name]
    if not option.everything:
        assert changes(template(option.base) if option.base else default(), template(name)) == option.changes
        return
    # Another deployment beside the first one: nothing that holds data has a name of the other's.
    for logical_id, (kind, names) in STATEFUL.items():
        if kind == KEY:
            continue
        other = fixed(template(name)["Resources"][logical_id])
        assert not {text_of(value) for value in other.values()} & set(names.values())


def test_every_bound_of_the_policy_reaches_the_function() -> None:
    given = OPTIONS["a policy of uploads"].policy
    policy = policy_of(template("a policy of uploads"))
    unchanged = policy_of(default())
    for key, value in given.items():
        assert policy[key] != unchanged[key], key
        assert policy[key] == (list(value) if isinstance(value, tuple) else value), key


def policy_of(stack: Template) -> dict[str, Any]:
    (function,) = (each for each in stack["Resources"].values() if each["Type"] == FUNCTION)
    policy: dict[str, Any] = json.loads(
        function["Properties"]["Environment"]["Variables"]["DEPLOYMENT_POLICY"]
    )
    return policy


# --- nothing that holds data is ever replaced ------------------------------------------------------------


def test_what_holds_data_has_the_identity_that_deployments_know_it_by() -> None:
    """A change here loses the data of whoever deploys the next version over this one."""
    assert identities(template("hardened")) == STATEFUL
    assert identities(default()) == {name: each for name, each in STATEFUL.items() if each[0] != KEY}


def identities(stack: Template) -> dict[str, tuple[str, dict[str, str]]]:
    kinds = {kind for kind, _ in STATEFUL.values()}
    return {
        name: (each["Type"], {key: text_of(value) for key, value in fixed(each).items()})
        for name, each in stack["Resources"].items()
        if each["Type"] in kinds
    }


def test_the_images_that_the_stack_built_stay_where_they_are() -> None:
    """Model packages name them by digest, in this repository."""
    built = [name for name, option in OPTIONS.items() if option.context.get("image") == "codebuild"]
    for name in built:
        repository = template(name)["Resources"]["TrainingImageBuildRepository5C2F3E7F"]
        assert fixed(repository) == {"RepositoryName": "cv-birds-training"}


# What changes everything is another deployment, with names of its own.
@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if not option.everything])
def test_no_choice_replaces_anything(name: str) -> None:
    before, after = default()["Resources"], template(name)["Resources"]
    assert not {kind for kind in NEVER_LEFT if f"-{kind}" in OPTIONS[name].changes}
    for logical_id in before.keys() & after.keys():
        old, new = before[logical_id], after[logical_id]
        assert (new["Type"], fixed(new)) == (old["Type"], fixed(old)), logical_id


def fixed(resource: dict[str, Any]) -> dict[str, Any]:
    """Return the properties that a resource cannot change without being replaced, with their values."""
    found = {}
    for pointer in create_only(resource["Type"]):
        value: Any = resource.get("Properties", {})
        for part in pointer.removeprefix("/properties/").split("/"):
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None:
            found[pointer.removeprefix("/properties/")] = value
    return found


@functools.cache
def create_only(kind: str) -> tuple[str, ...]:
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
    return tuple(schema.get("createOnlyProperties", ()))


def text_of(value: Any) -> str:
    return str(value["Fn::Sub"] if isinstance(value, dict) else value)


def test_a_new_name_counts_as_a_replacement() -> None:
    bucket = default()["Resources"]["StorageBucket5CB7C8EA"]
    renamed = {**bucket, "Properties": {**bucket["Properties"], "BucketName": "another"}}
    assert fixed(renamed) != fixed(bucket)
