"""deployment_policy.json: what it may say, what a mistake is answered with, and that all of it counts."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.config import POLICY_FILE, Config, ConfigError, DeploymentPolicy
from infra.config.deployment_policy import RULES
from tests.support.infra.node import path_with_node
from upload_trigger import settings

COMMITTED = Path(__file__).resolve().parents[3] / POLICY_FILE
NAMES = [field.name for field in dataclasses.fields(DeploymentPolicy)]
IMAGE = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/birds@sha256:{'a' * 64}"
OTHER: dict[str, Any] = {
    "policy_off": {"cost": "the budget alarm watches it"},
    "further_step_types": {"Lambda": "it tells our own service"},
    "allowed_images": [IMAGE],
    "entry_points": ["python -m mine --fast"],
    "environment_keys": ["LOG_LEVEL"],
    "tag_keys": ["Cost Center", "Größe"],
    "processing_instance_types": ["ml.m5.large"],
    "training_instance_types": ["ml.g5.xlarge"],
    "max_instance_count": 1,
    "max_volume_gb": 50,
    "max_runtime_seconds": 3600,
    "max_wait_seconds": 7200,
    "max_retry_attempts": 0,
    "max_cache_days": 0,
    "model_approval_statuses": ["Approved", "Rejected"],
    "instance_prices": {"ml.g5.xlarge": 1.5, "ml.m5.large": 0},
    "max_execution_cost_usd": 10.5,
}


def read(tmp_path: Path, document: Any) -> DeploymentPolicy:
    text = document if isinstance(document, str) else json.dumps(document)
    (tmp_path / POLICY_FILE).write_text(text, encoding="utf-8")
    return DeploymentPolicy.read(tmp_path / POLICY_FILE)


def refusal(tmp_path: Path, document: Any) -> str:
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, document)
    said = str(refused.value)
    assert said.startswith(POLICY_FILE)
    assert "\n" not in said
    return said


def test_without_a_document_the_defaults_count(tmp_path: Path) -> None:
    assert DeploymentPolicy.read(tmp_path / POLICY_FILE) == DeploymentPolicy() == read(tmp_path, {})


def test_the_committed_document_writes_every_default_out() -> None:
    document = json.loads(COMMITTED.read_text(encoding="utf-8"))
    assert list(document) == NAMES
    assert DeploymentPolicy.read(COMMITTED) == DeploymentPolicy()


def test_every_member_may_be_another_and_reaches_the_function_as_it_is(tmp_path: Path) -> None:
    assert list(OTHER) == NAMES
    policy = read(tmp_path, OTHER)
    for name in NAMES:
        assert getattr(policy, name) != getattr(DeploymentPolicy(), name), name
    assert json.loads(policy.variable({})) == OTHER


def test_one_member_alone_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    assert read(tmp_path, {"max_volume_gb": 50}) == dataclasses.replace(DeploymentPolicy(), max_volume_gb=50)


def test_a_document_saved_on_windows_is_one(tmp_path: Path) -> None:
    assert read(tmp_path, '\ufeff{\r\n"max_volume_gb": 50\r\n}').max_volume_gb == 50


# --- with the function's own ----------------------------------------------------------------------------


def test_the_function_has_the_same_members_with_the_same_defaults() -> None:
    # The gate's own threshold is neither sent nor configurable any more.
    theirs = {each.name for each in dataclasses.fields(settings.Policy)}
    assert set(NAMES) == theirs
    for name in NAMES:
        assert getattr(DeploymentPolicy(), name) == getattr(settings.Policy(), name), name
    assert settings.Policy.read(DeploymentPolicy().variable({})) == settings.Policy()


def test_the_function_reads_what_the_document_says(tmp_path: Path) -> None:
    theirs = settings.Policy.read(read(tmp_path, OTHER).variable({}))
    for name, value in OTHER.items():
        assert getattr(theirs, name) == (tuple(value) if isinstance(value, list) else value), name


def test_the_rules_are_the_function_s() -> None:
    assert RULES == settings.RULES


# --- mistakes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"max_instance_count": "4"}, '/max_instance_count is "4"; it must be a whole number from 1 to 100'),
        ({"max_instance_count": 0}, "/max_instance_count is 0; it must be a whole number from 1 to 100"),
        ({"max_instance_count": 2.5}, "/max_instance_count is 2.5; it must be a whole number"),
        ({"max_instance_count": True}, "/max_instance_count is true; it must be a whole number"),
        ({"max_instance_count": None}, "/max_instance_count is null; it must be a whole number"),
        ({"max_runtime_seconds": "1h"}, '/max_runtime_seconds is "1h"; it must be a whole number from 60 to'),
        ({"max_retry_attempts": 21}, "a whole number from 0 to 20"),
        ({"max_cache_days": -1}, "/max_cache_days is -1; it must be a whole number from 0 to 3,650"),
        ({"max_execution_cost_usd": "10"}, '/max_execution_cost_usd is "10"; it must be a number from 0'),
        ('{"max_execution_cost_usd": NaN}', "/max_execution_cost_usd is NaN; it must be a number from 0"),
        ('{"max_execution_cost_usd": Infinity}', "is Infinity; it must be a number from 0 to 1,000,000"),
        (
            {"training_instance_types": "ml.m5.large"},
            '/training_instance_types is "ml.m5.large"; it must be a',
        ),
        ({"training_instance_types": []}, "is []; it must be a list with at least one entry"),
        (
            {"training_instance_types": ["ml.m5.large", "c5.xlarge"]},
            '/training_instance_types/1 is "c5.xlarge"; it must be an instance type such as ml.m5.xlarge',
        ),
        ({"entry_points": ["python -c $(id)"]}, "/entry_points/0 is"),
        ({"environment_keys": ["LOG-LEVEL"]}, "/environment_keys/0 is"),
        ({"tag_keys": ["aws:x"]}, '/tag_keys/0 is "aws:x"; it must be the key of a tag'),
        ({"allowed_images": [IMAGE.replace("@", ":")]}, "an image in ECR with its digest"),
        (
            {"model_approval_statuses": ["PendingManualAproval"]},
            "one of Approved, PendingManualApproval, Rejected (did you mean PendingManualApproval?)",
        ),
        ({"policy_off": ["cost"]}, '/policy_off is ["cost"]; it must be an object'),
        ({"policy_off": {"costs": "why"}}, "/policy_off names costs, which is no rule (did you mean cost?)"),
        ({"policy_off": {"cost": " "}}, '/policy_off/cost is " "; it must be the reason, in words'),
        ({"policy_off": {"cost": True}}, "/policy_off/cost is true; it must be the reason, in words"),
        ({"policy_off": {"registration_gate": "why"}}, "did you mean registration?"),
        (
            {"further_step_types": {"a step": "why"}},
            "/further_step_types names 'a step', which is not a step",
        ),
        ({"further_step_types": {"Lambda": ""}}, "/further_step_types/Lambda is"),
        ({"instance_prices": {"g5": 1}}, "/instance_prices names 'g5', which is not an instance type"),
        (
            {"instance_prices": {"ml.g5.xlarge": "1"}},
            '/instance_prices/ml.g5.xlarge is "1"; it must be a number',
        ),
        (
            {"max_instance_cuont": 3},
            "/max_instance_cuont is not a member of the policy (did you mean max_instance_count?). Its",
        ),
        ({"min_accuracy_threshold": 0.5}, "/min_accuracy_threshold is not a member of the policy"),
        ("[]", "the document is []; it must be an object"),
        ("4", "the document is 4; it must be an object"),
        ('{"max_volume_gb": 1, "max_volume_gb": 2}', "max_volume_gb is there more than once"),
    ],
)
def test_a_mistake_is_answered_with_where_it_is_and_what_to_write(
    tmp_path: Path, document: Any, said: str
) -> None:
    assert said in refusal(tmp_path, document)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "line 1, column 1"),
        ('{\n  "max_volume_gb": 50,\n}', "line 3, column 1"),
        ('{\n  "max_volume_gb": 50 // GB\n}', "line 2, column 23"),
    ],
)
def test_what_is_not_json_is_answered_with_line_and_column(tmp_path: Path, text: str, where: str) -> None:
    assert refusal(tmp_path, text).startswith(f"{POLICY_FILE}, {where}: it is not JSON: ")


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / POLICY_FILE).write_bytes(b'{"a": "\xff"}')
    with pytest.raises(ConfigError, match="cannot be read as a text in UTF-8"):
        DeploymentPolicy.read(tmp_path / POLICY_FILE)
    (tmp_path / "folder" / POLICY_FILE).mkdir(parents=True)
    with pytest.raises(ConfigError, match="cannot be read"):
        DeploymentPolicy.read(tmp_path / "folder" / POLICY_FILE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"max_volume_gb": 50,}', f"error: {POLICY_FILE}, line 1, column 22: it is not JSON"),
        (json.dumps({"policy_off": {"cost": "because " * 400}}), f"error: {POLICY_FILE}: it has 3,"),
    ],
    ids=["when it is read", "when the stack is made"],
)
def test_the_app_ends_with_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    shutil.copy(COMMITTED.with_name("app.py"), tmp_path)
    (tmp_path / POLICY_FILE).write_text(text)
    done = subprocess.run(
        [sys.executable, "app.py"],
        cwd=tmp_path,
        env={**os.environ, "PATH": path_with_node(), "PYTHONPATH": str(COMMITTED.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(said)
    assert "Traceback" not in done.stderr


# --- the function's environment --------------------------------------------------------------------------


def test_a_policy_that_the_function_s_environment_has_no_room_for_is_refused_with_what_to_shorten() -> None:
    policy = DeploymentPolicy(policy_off={"cost": "because " * 400})
    with pytest.raises(ConfigError, match="shorten the reasons in policy_off and further_step_types, or"):
        policy.variable({})


def test_the_largest_network_leaves_the_policy_less_room_and_a_common_one_enough() -> None:
    subnets = {f"SubnetId{number}": f"subnet-{number:017x}" for number in range(1, 17)}
    groups = {f"SecurityGroupId{number}": f"sg-{number:017x}" for number in range(1, 6)}
    long = DeploymentPolicy(policy_off={"cost": "b" * 1400})
    assert long.variable({})
    with pytest.raises(ConfigError, match="shorten the reasons in policy_off"):
        long.variable({**subnets, **groups})
    common = {**dict([*subnets.items()][:6]), **dict([*groups.items()][:3])}
    assert DeploymentPolicy().variable(
        {**common, "VolumeKmsKeyId": "${Token[Arn.1]}"}
    ) == DeploymentPolicy().variable({})


@pytest.mark.parametrize(
    ("kind", "has_one"),
    [
        *((kind, True) for kind in ("ml.g4dn.xlarge", "ml.g5.xlarge", "ml.g6e.xlarge", "ml.gr6.4xlarge")),
        *((kind, True) for kind in ("ml.p3.2xlarge", "ml.p4d.24xlarge", "ml.p6-b200.48xlarge")),
        *((kind, False) for kind in ("ml.m5.large", "ml.c6g.xlarge", "ml.inf2.xlarge", "ml.trn1.2xlarge")),
    ],
)
def test_an_instance_type_with_a_gpu_is_known_by_its_family(kind: str, has_one: bool) -> None:
    assert DeploymentPolicy(training_instance_types=("ml.c5.xlarge", kind)).gpus is has_one
    assert DeploymentPolicy(processing_instance_types=(kind,)).gpus is has_one
    assert not Config().policy.gpus
