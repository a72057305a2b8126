"""`on_running: stop` on local AWS: an upload stops what runs, if the function's role may do that."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from infra.config import Config
from infra.deployment import Deployment
from infra.iam.function_grants import function_grants
from infra.names import Names
from local.deploy import deploy
from local.run import STACK, TEMPLATE
from ops.uploads.start import wait_for_verdict
from tests.support.local_aws.deployed import deployed_stack
from tests.support.local_aws.toy_pipeline import SHIPPED, SLEEPING_IMAGE


def stopping(statements: list[dict[str, Any]], directory: Path) -> Path:
    """Write the committed template as `on_running: stop` makes it, with what the function may do for that."""
    template: dict[str, Any] = json.loads(TEMPLATE.read_text())
    resources = template["Resources"].values()
    (function,) = (each for each in resources if each["Type"] == "AWS::Lambda::Function")
    function["Properties"]["Environment"]["Variables"]["ON_RUNNING"] = "stop"
    role = template["Resources"][function["Properties"]["Role"]["Fn::GetAtt"][0]]
    role["Properties"]["Policies"][0]["PolicyDocument"]["Statement"] += statements
    path = directory / "template.json"
    path.write_text(json.dumps(template))
    return path


@pytest.mark.slow
def test_an_upload_stops_what_runs_and_warns_when_it_may_not(tmp_path: Path) -> None:
    deployment = Deployment(config=Config(on_running="stop"), names=Names(STACK))
    (grant,) = [each for each in function_grants(deployment) if each.sid == "StopOlder"]
    resources = [{"Fn::Sub": each} for each in grant.resources]
    right = {"Sid": grant.sid, "Effect": "Allow", "Action": list(grant.actions), "Resource": resources}
    template = stopping([], tmp_path)
    with deployed_stack(tmp_path / "aws", template=template, image=SLEEPING_IMAGE) as running:
        first = running.start(SHIPPED)
        uploaded = running.upload(SHIPPED, Seed="2")
        clients = running.aws.client("s3"), running.aws.client("sqs")
        verdict = wait_for_verdict(*clients, uploaded, running.outputs["FailureQueueUrl"], 30.0)
        assert verdict["verdict"] == "STARTED"
        (warning,) = verdict["warnings"]
        assert re.search(r"AccessDenied.* sagemaker:StopPipelineExecution on resource", warning["message"])
        assert running.describe(first)["PipelineExecutionStatus"] == "Executing"
        deploy(running.aws, stopping([right], tmp_path), STACK)
        second = running.start(SHIPPED, Seed="3")
        assert running.describe(first)["PipelineExecutionStatus"] in ("Stopping", "Stopped")
        assert running.describe(second)["PipelineExecutionStatus"] == "Executing"
