"""pipeline.json is what its source gives, on any machine, and to build it nothing is asked of a network."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
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


def test_the_variant_does_not_overwrite_the_committed_file() -> None:
    command = [sys.executable, "-m", "pipeline_definition", "--pretrained-channel"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "needs --output" in run.stderr
