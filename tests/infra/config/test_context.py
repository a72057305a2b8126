"""The deployment's choices: what cdk.json and -c may say, and what a mistake is answered with."""

import dataclasses

import pytest

from infra.config import Config, ConfigError, DeploymentPolicy, context_keys, read_context

KEY_ARN = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def test_without_context_every_setting_has_a_default() -> None:
    assert read_context({}) == Config()
    assert Config().project == "cv-birds"


def test_keys_of_the_cdk_itself_are_left_alone() -> None:
    context = {"aws:cdk:version-reporting": False, "@aws-cdk/core:stackRelativeExports": True, "a/b": 1}
    assert read_context(context) == Config()


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("project", "my-birds-2", "my-birds-2"),
        ("image_user_id", "0", 0),
        ("image_user_id", "1000", 1000),
        ("executions_expire_days", 60.0, 60),
        ("reserved_concurrency", "1", 1),
        ("on_running", "stop", "stop"),
        ("subnet_ids", "none", ()),
        ("reserved_concurrency", "none", None),
        ("executions_expire_days", None, None),
        ("executions_expire_days", "90", 90),
        ("log_retention_days", "30", 30),
        ("notify_email", "team+birds@example.co.uk", "team+birds@example.co.uk"),
        ("notify_email", "none", None),
        ("retain_data", "false", False),
        ("encryption_key", "own", "own"),
        ("encryption_key", "s3", "s3"),
        ("encryption_key", KEY_ARN, KEY_ARN),
        ("former_encryption_keys", f"{KEY_ARN},{KEY_ARN}1", (KEY_ARN, f"{KEY_ARN}1")),
        ("retain_data", True, True),
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
        ("tags", "owner=,cost center=a/b:c@d", (("cost center", "a/b:c@d"), ("owner", ""))),
        ("tags", {"Größe": "k" * 256, "k" * 128: "größer"}, (("Größe", "k" * 256), ("k" * 128, "größer"))),
        (
            "uploader_arns",
            ["arn:aws:iam::123456789012:role/a,b"],
            ("arn:aws:iam::123456789012:role/a,b",),
        ),
    ],
)
def test_the_command_line_and_cdk_json_mean_the_same(key: str, value: object, expected: object) -> None:
    assert getattr(read_context({"security": "hardened", key: value}), key) == expected


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
        ("reserved_concurrency", 0),
        ("on_running", "queue"),
        ("security", "strict"),
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
        ("uploader_arns", "everybody"),
        ("uploader_arns", "arn:aws:iam::*:role/ml"),
        ("break_glass_arns", "arn:aws:sts::123456789012:assumed-role/ml/jo"),
        ("break_glass_requires_mfa", "yes"),
        ("permissions_boundary", "two words"),
        ("permissions_boundary", "arn:aws:iam::123456789012:role/edge"),
        ("tags", "owner"),
        ("tags", {"owner": 7}),
        # What AWS would refuse, and so the deployment fail, halfway.
        ("project", "sthree-birds"),
        ("project", "sthree"),
        ("project", "amzn-s3-demo-birds"),
        ("project", "amzn-s3-demo"),
        ("environment", "sthree"),
        ("environment", "amzn-s3-demo"),
        ("project", "bi\u0131rds"),
        ("subnet_ids", "subnet-١٢٣٤٥٦٧٨"),
        ("image_user_id", "\u0661"),
        ("notify_email", "a..b@example.com"),
        ("notify_email", ".a@example.com"),
        ("notify_email", "a.@example.com"),
        ("notify_email", f"{'a' * 65}@example.com"),
        ("notify_email", "jö@example.com"),
        ("notify_email", "a@-example.com"),
        ("notify_email", "a@example..com"),
        ("notify_email", "a@10.0.0.1"),
        ("alarm_topic_arn", "arn:aws:sns:eu-west-1:123456789012:birds.fifo"),
        ("uploader_arns", "arn:aws:iam::123456789012:role/größe"),
        ("tags", {"aws:x": "me"}),
        ("tags", {"AWS:x": "me"}),
        ("tags", {"k" * 129: "v"}),
        ("tags", {"": "v"}),
        ("tags", {"Owner": "v" * 257}),
        ("tags", {"Owner": "me; you <x>"}),
        ("tags", {"Owner\n": "me", "a\nb": "me"}),
        ("tags", {"Owner": "me\tyou"}),
        ("tags", {"a*": "me"}),
        ("tags", {f"tag-{number:02}": "x" for number in range(46)}),
        # IAM's tags differ in more than their case, and these two are the deployment's own.
        ("tags", {"Owner": "me", "owner": "me"}),
        ("tags", {"project": "mine"}),
        ("tags", {"Project": "mine"}),
    ],
)
def test_an_illegal_value_is_refused_with_its_key_and_the_value(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"context {key}=") as refusal:
        read_context({key: value})
    assert repr(value) in str(refusal.value)
    assert f"-c {key}=" in str(refusal.value)


ACCOUNT, DIGEST = "123456789012", f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    "host",
    [
        f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com",
        f"{ACCOUNT}.dkr.ecr.cn-north-1.amazonaws.com.cn",
        f"{ACCOUNT}.dkr.ecr.eusc-de-east-1.amazonaws.eu",
        f"{ACCOUNT}.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
        f"{ACCOUNT}.dkr-ecr.eu-west-1.on.aws",
        f"{ACCOUNT}.dkr-ecr-fips.us-east-1.on.aws",
        f"{ACCOUNT}.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn",
        f"{ACCOUNT}.dkr.ecr.us-iso-east-1.c2s.ic.gov",
        f"{ACCOUNT}.dkr.ecr.us-isob-east-1.sc2s.sgov.gov",
        f"{ACCOUNT}.dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk",
        f"{ACCOUNT}.dkr.ecr.us-isof-south-1.csp.hci.ic.gov",
    ],
)
def test_an_image_may_be_in_the_registry_of_any_partition(host: str) -> None:
    uri = f"{host}/team/birds@{DIGEST}"
    assert read_context({"image": uri}).image == uri


@pytest.mark.parametrize(
    "uri",
    [
        f"{ACCOUNT}.dkr.ecr.eu-west-1.example.com/birds@{DIGEST}",
        f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com.example.com/birds@{DIGEST}",
        f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/Birds@{DIGEST}",
        f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/birds/@{DIGEST}",
        f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/birds@{DIGEST[:-1]}",
        f"{ACCOUNT[1:]}.dkr.ecr.eu-west-1.amazonaws.com/birds@{DIGEST}",
        f"public.ecr.aws/team/birds@{DIGEST}",
    ],
)
def test_what_is_no_private_repository_of_ecr_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError, match="context image="):
        read_context({"image": uri})


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-eusc"])
def test_arns_may_be_of_any_partition(partition: str) -> None:
    given = {
        "encryption_key": f"arn:{partition}:kms:some-region-1:{ACCOUNT}:key/mrk-{'a' * 32}",
        "alarm_topic_arn": f"arn:{partition}:sns:some-region-1:{ACCOUNT}:birds",
        "permissions_boundary": f"arn:{partition}:iam::{ACCOUNT}:policy/team/edge",
        "studio_template": "s3",
        "studio_principals": f"arn:{partition}:iam::{ACCOUNT}:role/people",
    }
    for key, value in vars(read_context(given)).items():
        if key in given:
            assert value in (given[key], (given[key],))


def test_an_environment_s_own_tag_is_nobody_else_s() -> None:
    assert read_context({"tags": {"environment": "prod"}}).tags
    with pytest.raises(ConfigError, match="Environment is the deployment's own tag"):
        read_context({"tags": {"Environment": "prod"}, "environment": "staging"})


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
    ],
)
def test_jobs_are_given_a_whole_network_or_none(key: str, context: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=f"context {key}=.*{said}"):
        read_context(context)


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
        read_context(context)


@pytest.mark.parametrize("key", ["uploader_arns", "break_glass_arns"])
def test_no_more_people_are_named_than_a_trust_policy_has_room_for(key: str) -> None:
    arns = [f"arn:aws:iam::123456789012:role/uploaders/{number:04}" for number in range(40)]
    assert len(getattr(read_context({"security": "hardened", key: arns[:20]}), key)) == 20
    with pytest.raises(ConfigError, match=rf"context {key}=.*one pattern such as arn:aws:iam::"):
        read_context({"security": "hardened", key: arns})


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
        read_context({key: value})
    assert read_context({"security": "hardened", key: value})


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
    assert read_context(context).encryption_key == key


def test_the_command_line_and_cdk_json_name_the_same_network() -> None:
    listed = read_context({"subnet_ids": SUBNETS[:2], "security_group_ids": GROUPS[:1]})
    text = {"subnet_ids": ", ".join(SUBNETS[:2]), "security_group_ids": GROUPS[0]}
    assert read_context(text) == listed
    assert listed.subnet_ids == tuple(SUBNETS[:2])


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
    policy = DeploymentPolicy(training_instance_types=("ml.c5.xlarge", instance_type))
    own_key = {"encryption_key": "own", "encrypt_volumes": True}
    if not has_one:
        assert read_context(own_key, policy).encrypt_volumes
        return
    said = (
        f"refuses it for {instance_type}, .*: take them out of training_instance_types in "
        "deployment_policy.json"
    )
    with pytest.raises(ConfigError, match=said):
        read_context(own_key, policy)
    assert read_context({**own_key, "encrypt_volumes": "false"}, policy).policy == policy


def test_volumes_have_no_key_where_the_deployment_has_none() -> None:
    context = {"encrypt_volumes": "true"}
    assert read_context({**context, "security": "hardened"})
    for chosen in ({}, {"encryption_key": "s3"}):
        with pytest.raises(ConfigError, match=r"no key for volumes .* write encryption_key=own"):
            read_context({**context, **chosen})


def test_an_environment_begins_the_name_so_that_no_pipeline_of_the_project_can_have_it() -> None:
    assert Config(environment="staging").name == "staging-cv-birds"
    assert Config().name == "cv-birds"
    assert not Config(environment="staging").name.startswith(f"{Config().name}-")


def test_an_unknown_key_is_answered_with_the_nearest_setting() -> None:
    with pytest.raises(ConfigError, match=r"'projct' is not a setting \(did you mean project\?\)") as refusal:
        read_context({"projct": "birds"})
    for key in context_keys():
        assert key in str(refusal.value)


def test_a_first_user_meets_few_keys() -> None:
    assert len(context_keys()) <= 28


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(DeploymentPolicy)])
def test_a_key_that_is_a_member_of_the_policy_now_is_refused_with_where_it_is(name: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        read_context({name: "4"})
    assert str(refusal.value) == (
        f"context '{name}': what a definition may ask for is in deployment_policy.json now, beside cdk.json, "
        "under the same name; write it there. Remove that from cdk.json, or leave out the -c."
    )


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("access_logs_expire_days", "log_retention_days says"),
        ("create_vpc", "subnet_ids and security_group_ids name"),
        ("min_accuracy_threshold", "the person who approves, as model_approval_statuses"),
        ("reconcile_minutes", "every hour"),
        ("torch_index_url", "as soon as deployment_policy.json allows"),
        ("training_image_uri", "write -c image=<uri>@sha256:<digest>"),
    ],
)
def test_a_key_that_is_gone_is_refused_with_the_reason(key: str, said: str) -> None:
    with pytest.raises(ConfigError, match=f"context '{key}' is gone: .*{said}"):
        read_context({key: "x"})


def test_all_keys_that_moved_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as refusal:
        read_context({"max_volume_gb": 50, "create_vpc": True, "cost": 1, "policy_off": {}})
    said = str(refusal.value)
    assert said.startswith("context 'policy_off', 'max_volume_gb': what a definition may ask for")
    assert "under the same names" in said
    assert "'create_vpc' is gone" in said


def test_a_value_next_to_a_legal_one_is_answered_with_it() -> None:
    with pytest.raises(ConfigError, match="did you mean parallel"):
        read_context({"on_running": "paralel"})


def test_a_config_cannot_change_after_it_was_checked() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().project = "other"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().policy.max_volume_gb = 1  # type: ignore[misc]
