"""pipeline.json is what its source gives, on any machine, and to build it nothing is asked of a network."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline_definition.checks import check
from pipeline_definition.checks.service_model import bundled_model
from tests.support.definitions.policy_cases import DEPLOYED, judge, values
from tests.support.delivery.handler_uploads import BUCKET
from upload_trigger.definition import walk
from upload_trigger.policy import worst_case_cost
from upload_trigger.settings import Policy

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "pipeline_definition" / "pipeline.json"
# Refuses and records every connection and name look-up: a library that swallows the error is noticed as well.
# Builds once for each list of arguments: the SDK takes longer to import than to do all of it.
GUARDED = """
import json, runpy, sys
asked = []
def guard(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        asked.append((event, arguments[-1]))
        raise OSError("no network while the pipeline is built")
sys.addaudithook(guard)
for arguments in json.loads(sys.argv[1]):
    sys.argv[1:] = arguments
    try:
        runpy.run_module("pipeline_definition", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        assert not end.code, (arguments, end.code)
    finally:
        assert not asked, asked
"""
# Another machine's settings: none of them may show in the definition.
HOSTILE = """
SchemaVersion: '1.0'
SageMaker:
  TrainingJob:
    RoleArn: arn:aws:iam::555555555555:role/Theirs
    VpcConfig: {SecurityGroupIds: [sg-1], Subnets: [subnet-1]}
  PythonSDK:
    Modules:
      Session: {DefaultS3Bucket: theirs}
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the variants, all built by somebody else with another configuration."""
    folder = tmp_path_factory.mktemp("built")
    config = folder / "home" / "sagemaker" / "config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text(HOSTILE)
    variants = [
        ["--check"],
        ["--output", str(folder / "pipeline.json")],
        ["--pretrained-channel", "--output", str(folder / "pretrained.json")],
        ["--subnets", "3", "--security-groups", "2", "--output", str(folder / "vpc.json")],
    ]
    done = subprocess.run(
        [sys.executable, "-c", GUARDED, json.dumps(variants)],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "XDG_CONFIG_HOME": str(folder / "home"),
            "AWS_PROFILE": "somebody",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "PYTHONHASHSEED": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    # Of the committed file nothing is said; of a variant, where it is.
    assert [line.partition(" ")[0] for line in done.stdout.splitlines()] == ["wrote"] * 3
    return folder


@pytest.mark.slow
def test_the_committed_file_is_what_the_source_gives(built: Path) -> None:
    assert (built / "pipeline.json").read_bytes() == COMMITTED.read_bytes()


@pytest.mark.slow
def test_the_pretrained_variant_differs_by_a_parameter_a_channel_and_the_backbones(built: Path) -> None:
    variant: dict[str, Any] = json.loads((built / "pretrained.json").read_text(encoding="utf-8"))
    assert check(variant, bundled_model()) == []
    # All that training knows, which are too many to list.
    backbone = walk.parameters(variant)["Backbone"]
    assert "EnumValues" not in backbone
    backbone["EnumValues"] = ["efficientnet_lite0"]
    variant["Parameters"].remove({"Name": "PretrainedUrl", "Type": "String"})
    for step in (step for step in variant["Steps"] if step["Type"] == "Training"):
        channel = step["Arguments"]["InputDataConfig"].pop()
        assert channel["ChannelName"] == "pretrained"
        assert channel["DataSource"]["S3DataSource"]["S3Uri"] == {"Get": "Parameters.PretrainedUrl"}
    assert json.dumps(variant, indent=2) + "\n" == COMMITTED.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_recipe_for_cub_is_admitted_by_the_policy_that_it_names(built: Path) -> None:
    variant: dict[str, Any] = json.loads((built / "pretrained.json").read_text(encoding="utf-8"))
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8").replace("<bucket>", BUCKET)
    blocks = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    [said] = [block for block in blocks if "PretrainedUrl" in block]
    given = json.loads(said)
    assert given.keys() <= walk.parameters(variant).keys()
    document = json.loads((ROOT / "deployment_policy.json").read_text(encoding="utf-8"))
    assert judge(variant, Policy.read(json.dumps(document)), given)
    [instance_type] = re.findall(r'add `"(ml\.[\w.]+)"` to `training_instance_types`', text)
    [cost] = re.findall(r'`"max_execution_cost_usd": (\d+)`', text)
    document["training_instance_types"].append(instance_type)
    document["max_execution_cost_usd"] = int(cost)
    policy = Policy.read(json.dumps(document))
    assert judge(variant, policy, given) == []
    worst = worst_case_cost(variant, values(variant, given), policy)
    assert worst is not None
    assert f"{worst:.0f} USD, because" in " ".join(text.split())


@pytest.mark.slow
def test_the_variant_for_a_vpc_differs_by_its_ids_alone_and_may_start_there(built: Path) -> None:
    variant: dict[str, Any] = json.loads((built / "vpc.json").read_text(encoding="utf-8"))
    names = ["SubnetId1", "SubnetId2", "SubnetId3", "SecurityGroupId1", "SecurityGroupId2"]
    given = {**DEPLOYED, **{name: name.lower() for name in names}}
    assert judge(variant, deployed=given) == []
    assert check(variant, bundled_model()) == []
    for name in names:
        variant["Parameters"].remove({"Name": name, "Type": "String"})
    configured = 0
    for _, step, _ in walk.steps(variant):
        place = step["Arguments"].get("NetworkConfig", step["Arguments"])
        if step["Type"] in ("Processing", "Training"):
            config = place.pop("VpcConfig")
            assert [each["Get"] for each in config["Subnets"]] == [f"Parameters.{each}" for each in names[:3]]
            groups = [each["Get"] for each in config["SecurityGroupIds"]]
            assert groups == [f"Parameters.{each}" for each in names[3:]]
            configured += 1
    assert configured == 5
    assert json.dumps(variant, indent=2) + "\n" == COMMITTED.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--pretrained-channel"], "needs --output"),
        (["--subnets", "2", "--security-groups", "1"], "needs --output"),
        (["--subnets", "2", "--output", "a.json"], "go together"),
        (["--security-groups", "1", "--output", "a.json"], "go together"),
        (["--subnets", "17", "--security-groups", "1", "--output", "a.json"], "invalid choice"),
    ],
)
def test_a_variant_is_asked_for_whole_and_overwrites_no_committed_file(options: list[str], said: str) -> None:
    command = [sys.executable, "-m", "pipeline_definition", *options]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert said in run.stderr
