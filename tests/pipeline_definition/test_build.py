"""pipeline.json is what its source gives, on any machine, and to build it nothing is asked of a network."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline_definition.checks import check
from pipeline_definition.checks.service_model import bundled_model
from tests.support.definitions.policy_cases import DEPLOYED, judge

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "pipeline_definition" / "pipeline.json"
# Refuses and records every connection and name look-up: a library that swallows the error is noticed as well.
GUARDED = """
import runpy, sys
asked = []
def guard(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        asked.append((event, arguments[-1]))
        raise OSError("no network while the pipeline is built")
sys.addaudithook(guard)
try:
    runpy.run_module("pipeline_definition", run_name="__main__", alter_sys=True)
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


def build(home: Path, hash_seed: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, as somebody else with another configuration."""
    config = home / "sagemaker" / "config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text(HOSTILE)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "AWS_PROFILE": "somebody",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "PYTHONHASHSEED": hash_seed,
    }
    command = [sys.executable, "-c", GUARDED, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_committed_file_is_what_the_source_gives(tmp_path: Path) -> None:
    run = build(tmp_path, "1", "--check")
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


@pytest.mark.slow
def test_the_pretrained_variant_differs_by_one_parameter_and_one_channel(tmp_path: Path) -> None:
    output = tmp_path / "pretrained.json"
    run = build(tmp_path / "home", "2", "--pretrained-channel", "--output", str(output))
    assert run.returncode == 0, run.stderr

    variant: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    variant["Parameters"].remove({"Name": "PretrainedUrl", "Type": "String"})
    for step in (step for step in variant["Steps"] if step["Type"] == "Training"):
        channel = step["Arguments"]["InputDataConfig"].pop()
        assert channel["ChannelName"] == "pretrained"
        assert channel["DataSource"]["S3DataSource"]["S3Uri"] == {"Get": "Parameters.PretrainedUrl"}
    assert json.dumps(variant, indent=2) + "\n" == COMMITTED.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_variant_for_a_vpc_differs_by_its_ids_alone_and_may_start_there(tmp_path: Path) -> None:
    output = tmp_path / "vpc.json"
    options = ("--subnets", "3", "--security-groups", "2", "--output", str(output))
    run = build(tmp_path / "home", "3", *options)
    assert run.returncode == 0, run.stderr

    variant: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    names = ["SubnetId1", "SubnetId2", "SubnetId3", "SecurityGroupId1", "SecurityGroupId2"]
    given = {**DEPLOYED, **{name: name.lower() for name in names}}
    assert judge(variant, deployed=given) == []
    assert check(variant, bundled_model()) == []
    for name in names:
        variant["Parameters"].remove({"Name": name, "Type": "String"})
    configured = 0
    for step in variant["Steps"]:
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
