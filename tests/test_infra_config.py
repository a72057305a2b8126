"""The deployment's choices: what cdk.json and -c may say, and what a mistake is answered with."""

import dataclasses
import json

import pytest

from infra import deployment_policy
from infra.config import Config, ConfigError

KEY_ARN = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def test_without_context_every_setting_has_a_default() -> None:
    assert Config.from_context({}) == Config()
    assert Config().project == "cv-birds"


def test_keys_of_the_cdk_itself_are_left_alone() -> None:
    context = {"aws:cdk:version-reporting": False, "@aws-cdk/core:stackRelativeExports": True, "a/b": 1}
    assert Config.from_context(context) == Config()


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("project", "my-birds-2", "my-birds-2"),
        ("torch_index_url", "https://wheels.example/cpu", "https://wheels.example/cpu"),
        ("image_user_id", "0", 0),
        ("max_runtime_seconds", "3600", 3600),
        ("max_runtime_seconds", 3600.0, 3600),
        ("reserved_concurrency", "1", 1),
        ("on_running", "stop", "stop"),
        ("reconcile_minutes", "5", 5),
        ("min_accuracy_threshold", "0.9", 0.9),
        ("min_accuracy_threshold", 1, 1.0),
        ("max_execution_cost_usd", "20.5", 20.5),
        (
            "instance_prices",
            "ml.g5.xlarge=1.6,ml.m5.large=0.2",
            (("ml.g5.xlarge", 1.6), ("ml.m5.large", 0.2)),
        ),
        ("instance_prices", {"ml.g5.xlarge": 1.6}, (("ml.g5.xlarge", 1.6),)),
        ("policy_off", "cost=we have budgets", (("cost", "we have budgets"),)),
        ("policy_off", {"tags": "any"}, (("tags", "any"),)),
        ("entry_points", "python -m mine", ("python -m mine",)),
        ("environment_keys", "none", ()),
        ("environment_keys", "LOG_LEVEL, SEED", ("LOG_LEVEL", "SEED")),
        ("subnet_ids", "none", ()),
        ("tag_keys", [], ()),
        ("reserved_concurrency", "none", None),
        ("executions_expire_days", None, None),
        ("executions_expire_days", "90", 90),
        ("log_retention_days", "30", 30),
        ("access_logs_expire_days", "14", 14),
        ("notify_email", "team+birds@example.co.uk", "team+birds@example.co.uk"),
        ("notify_email", "none", None),
        ("retain_data", "false", False),
        ("encryption_key", "own", "own"),
        ("encryption_key", "s3", "s3"),
        ("encryption_key", KEY_ARN, KEY_ARN),
        ("former_encryption_keys", f"{KEY_ARN},{KEY_ARN}1", (KEY_ARN, f"{KEY_ARN}1")),
        ("retain_data", True, True),
        ("training_instance_types", "ml.c5.xlarge, ml.g5.xlarge", ("ml.c5.xlarge", "ml.g5.xlarge")),
        ("processing_instance_types", ["ml.m5.large"], ("ml.m5.large",)),
        (
            "model_approval_statuses",
            "Approved,PendingManualApproval",
            ("Approved", "PendingManualApproval"),
        ),
        ("permissions_boundary", "team/edge", "team/edge"),
        (
            "permissions_boundary",
            "arn:aws:iam::123456789012:policy/edge",
            "arn:aws:iam::123456789012:policy/edge",
        ),
        ("permissions_boundary", "none", None),
        (
            "uploader_arns",
            "arn:aws:iam::123456789012:user/jo, arn:aws:iam::123456789012:role/aws-reserved/*/ML_*",
            (
                "arn:aws:iam::123456789012:user/jo",
                "arn:aws:iam::123456789012:role/aws-reserved/*/ML_*",
            ),
        ),
        ("break_glass_arns", "none", ()),
        ("break_glass_requires_mfa", "false", False),
        ("tags", "owner=ml,stage=dev", (("owner", "ml"), ("stage", "dev"))),
        ("tags", {"owner": "ml"}, (("owner", "ml"),)),
    ],
)
def test_the_command_line_and_cdk_json_mean_the_same(key: str, value: object, expected: object) -> None:
    assert getattr(Config.from_context({"security": "hardened", key: value}), key) == expected


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("project", "Birds"),
        ("project", "a"),
        ("project", "birds_of_prey"),
        ("project", "birds--of"),
        ("project", "b" * 31),
        ("environment", "Staging"),
        ("environment", "a-very-long-environment"),
        ("image", "docker.io/library/python:3.13"),
        ("torch_index_url", "http://wheels.example"),
        ("torch_index_url", "https://user:secret@wheels.example"),
        ("training_instance_types", "c5.xlarge"),
        ("training_instance_types", []),
        ("max_runtime_seconds", "1h"),
        ("max_runtime_seconds", 0),
        ("max_runtime_seconds", True),
        ("model_approval_statuses", "approved"),
        ("reserved_concurrency", 0),
        ("on_running", "queue"),
        ("security", "strict"),
        ("reconcile_minutes", 1),
        ("min_accuracy_threshold", 1.1),
        ("min_accuracy_threshold", "nan"),
        ("min_accuracy_threshold", True),
        ("max_execution_cost_usd", "-1"),
        ("instance_prices", "g5=1"),
        ("instance_prices", "ml.g5.xlarge=cheap"),
        ("policy_off", "cost"),
        ("policy_off", "costs=too strict"),
        ("policy_off", {"cost": " "}),
        ("entry_points", "python -c $(id)"),
        ("entry_points", []),
        ("environment_keys", "LOG-LEVEL"),
        ("allowed_images", "123456789012.dkr.ecr.us-east-1.amazonaws.com/mine:latest"),
        ("log_retention_days", 31),
        ("retain_data", "yes"),
        ("encryption_key", "none"),
        ("former_encryption_keys", "s3"),
        ("encryption_key", "aws:kms"),
        ("encryption_key", "alias/birds"),
        ("encryption_key", KEY_ARN.replace("key/", "alias/")),
        ("encryption_key", KEY_ARN.rpartition("/")[2]),
        ("alarm_topic_arn", "my-topic"),
        ("notify_email", "team"),
        ("notify_email", "a@example.com,b@example.com"),
        ("notify_email", "team@example."),
        ("access_logs_expire_days", 0),
        ("uploader_arns", "everybody"),
        ("uploader_arns", "arn:aws:iam::*:role/ml"),
        ("break_glass_arns", "arn:aws:sts::123456789012:assumed-role/ml/jo"),
        ("break_glass_requires_mfa", "yes"),
        ("permissions_boundary", "two words"),
        ("permissions_boundary", "arn:aws:iam::123456789012:role/edge"),
        ("tags", "owner"),
        ("tags", {"owner": 7}),
    ],
)
def test_an_illegal_value_is_refused_with_its_key_and_the_value(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"context {key}=") as refusal:
        Config.from_context({key: value})
    assert repr(value) in str(refusal.value)
    assert f"-c {key}=" in str(refusal.value)


SUBNETS = [f"subnet-{number:08x}" for number in range(17)]
GROUPS = [f"sg-{number:08x}" for number in range(6)]


@pytest.mark.parametrize(
    ("key", "context", "said"),
    [
        ("security_group_ids", {"subnet_ids": SUBNETS[:1]}, "give both or none"),
        ("subnet_ids", {"security_group_ids": GROUPS[:1]}, "give both or none"),
        ("subnet_ids", {"subnet_ids": SUBNETS, "security_group_ids": GROUPS[:1]}, "at most 16 different"),
        ("security_group_ids", {"subnet_ids": SUBNETS[:1], "security_group_ids": GROUPS}, "at most 5"),
        ("subnet_ids", {"subnet_ids": SUBNETS[:1] * 2, "security_group_ids": GROUPS[:1]}, "different"),
        ("subnet_ids", {"subnet_ids": "subnet-1", "security_group_ids": "sg-00000001"}, "the id of a subnet"),
        ("security_group_ids", {"subnet_ids": SUBNETS[:1], "security_group_ids": "default"}, "the id of"),
        (
            "create_vpc",
            {"create_vpc": True, "subnet_ids": SUBNETS[:1], "security_group_ids": GROUPS[:1]},
            "not in both",
        ),
        ("create_vpc", {"create_vpc": True, "studio_template": "s3"}, "Studio's projects make no VPC"),
    ],
)
def test_jobs_are_given_a_whole_network_or_none(key: str, context: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=f"context {key}=.*{said}"):
        Config.from_context(context)


@pytest.mark.parametrize(
    ("key", "context"),
    [
        ("studio_domain_id", {"studio_domain_id": "d-a"}),
        ("studio_domain_id", {"studio_template": "catalog", "studio_domain_id": "d-a"}),
        ("studio_principals", {"studio_principals": "arn:aws:iam::123456789012:role/people"}),
        ("studio_versions", {"studio_template": "s3", "studio_versions": "0123456789ab"}),
    ],
)
def test_a_choice_for_studio_that_would_do_nothing_is_refused(key: str, context: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"context {key}=.*it is for studio_template="):
        Config.from_context(context)


@pytest.mark.parametrize("key", ["uploader_arns", "break_glass_arns"])
def test_no_more_people_are_named_than_a_trust_policy_has_room_for(key: str) -> None:
    arns = [f"arn:aws:iam::123456789012:role/uploaders/{number:04}" for number in range(40)]
    assert len(getattr(Config.from_context({"security": "hardened", key: arns[:20]}), key)) == 20
    with pytest.raises(ConfigError, match=rf"context {key}=.*one pattern such as arn:aws:iam::"):
        Config.from_context({"security": "hardened", key: arns})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("uploader_arns", "arn:aws:iam::123456789012:user/jo"),
        ("break_glass_arns", ["arn:aws:iam::123456789012:user/jo"]),
        ("break_glass_requires_mfa", "false"),
    ],
)
def test_what_is_for_the_roles_of_people_is_refused_where_there_are_none(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"context {key}=.*security=hardened"):
        Config.from_context({key: value})
    assert Config.from_context({"security": "hardened", key: value})


@pytest.mark.parametrize(
    ("context", "key"),
    [
        ({}, "s3"),
        ({"security": "default"}, "s3"),
        ({"security": "hardened"}, "own"),
        ({"encryption_key": "own"}, "own"),
        ({"security": "hardened", "encryption_key": "s3"}, "s3"),
        ({"security": "hardened", "encryption_key": KEY_ARN}, KEY_ARN),
    ],
)
def test_the_hardened_profile_has_a_key_unless_another_is_chosen(context: dict[str, str], key: str) -> None:
    assert Config.from_context(context).encryption_key == key


def test_the_command_line_and_cdk_json_name_the_same_network() -> None:
    listed = Config.from_context({"subnet_ids": SUBNETS[:2], "security_group_ids": GROUPS[:1]})
    text = {"subnet_ids": ", ".join(SUBNETS[:2]), "security_group_ids": GROUPS[0]}
    assert Config.from_context(text) == listed
    assert listed.subnet_ids == tuple(SUBNETS[:2])


def test_the_largest_network_leaves_the_policy_less_room_and_a_common_one_enough() -> None:
    long = {"policy_off": {"cost": "b" * 1500}}
    assert deployment_policy.variable(Config.from_context(long))
    with pytest.raises(ConfigError, match="shorten the reasons in policy_off"):
        deployment_policy.variable(
            Config.from_context({**long, "subnet_ids": SUBNETS[:16], "security_group_ids": GROUPS[:5]})
        )
    config = Config.from_context({"subnet_ids": SUBNETS[:6], "security_group_ids": GROUPS[:3]})
    assert deployment_policy.variable(config) == deployment_policy.variable(Config())


@pytest.mark.parametrize(
    ("instance_type", "has_one"),
    [
        *((kind, True) for kind in ("ml.g4dn.xlarge", "ml.g5.2xlarge", "ml.g6e.xlarge", "ml.p4d.24xlarge")),
        *(
            (kind, True)
            for kind in ("ml.p5.48xlarge", "ml.p6-b200.48xlarge", "ml.m5d.large", "ml.c6gd.xlarge")
        ),
        *((kind, True) for kind in ("ml.r5dn.large", "ml.trn1.2xlarge", "ml.i3en.large", "ml.p3dn.24xlarge")),
        *((kind, False) for kind in ("ml.m5.large", "ml.c5.4xlarge", "ml.p3.2xlarge", "ml.c6g.large")),
        *((kind, False) for kind in ("ml.m6i.large", "ml.r5.large", "ml.inf2.xlarge", "ml.t3.medium")),
    ],
)
def test_volumes_have_a_key_on_instances_without_storage_of_their_own(
    instance_type: str, has_one: bool
) -> None:
    types = ["ml.c5.xlarge", instance_type]
    context = {"encryption_key": "own", "encrypt_volumes": True, "training_instance_types": types}
    if not has_one:
        assert Config.from_context(context).encrypt_volumes
        return
    said = f"refuses it for {instance_type}, .*write -c training_instance_types=ml.c5.xlarge"
    with pytest.raises(ConfigError, match=said):
        Config.from_context(context)
    assert Config.from_context({**context, "encrypt_volumes": "false"}).training_instance_types


def test_volumes_have_no_key_where_the_deployment_has_none() -> None:
    context = {"encrypt_volumes": "true", "training_instance_types": "ml.c5.xlarge"}
    assert Config.from_context({**context, "security": "hardened"})
    for chosen in ({}, {"encryption_key": "s3"}):
        with pytest.raises(ConfigError, match=r"no key for volumes .* write encryption_key=own"):
            Config.from_context({**context, **chosen})


def test_an_environment_begins_the_name_so_that_no_pipeline_of_the_project_can_have_it() -> None:
    assert Config(environment="staging").name == "staging-cv-birds"
    assert Config().name == "cv-birds"
    assert not Config(environment="staging").name.startswith(f"{Config().name}-")


def test_an_unknown_key_is_answered_with_the_nearest_setting() -> None:
    with pytest.raises(ConfigError, match=r"'projct' is not a setting \(did you mean project\?\)") as refusal:
        Config.from_context({"projct": "birds"})
    for field in dataclasses.fields(Config):
        assert field.name in str(refusal.value)


def test_a_value_next_to_a_legal_one_is_answered_with_it() -> None:
    with pytest.raises(ConfigError, match="did you mean PendingManualApproval"):
        Config.from_context({"model_approval_statuses": "PendingManualAproval"})


def test_a_config_cannot_change_after_it_was_checked() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().project = "other"  # type: ignore[misc]


def test_a_policy_that_the_function_s_environment_has_no_room_for_is_refused_with_what_to_shorten() -> None:
    config = Config.from_context({"policy_off": {"cost": "because " * 400}})
    with pytest.raises(ConfigError, match="shorten the reasons in policy_off"):
        deployment_policy.variable(config)


def test_the_policy_in_the_environment_says_every_limit() -> None:
    config = Config.from_context({"min_accuracy_threshold": "0.8", "policy_off": "cost=we have budgets"})
    policy = json.loads(deployment_policy.variable(config))
    assert set(policy) == set(deployment_policy.SETTINGS)
    assert (policy["min_accuracy_threshold"], policy["policy_off"]) == (0.8, {"cost": "we have budgets"})
