"""A deployment whose money can be asked for: a stack in moto, SageMaker and Cost Explorer in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from ops import __main__ as cli
from tests.support.definitions.policy_cases import DEPLOYED
from tests.support.ops.deployment import TEMPLATE, FakeLambda
from tests.support.services.fake_cost_explorer import ScriptedCostExplorer
from tests.support.services.fake_execution import ScriptedSageMaker, client_of
from tests.support.services.fake_execution_scenarios import succeeded


@dataclass
class Ledger:
    """What the commands ask."""

    sagemaker: ScriptedSageMaker
    ce: ScriptedCostExplorer
    function: FakeLambda
    capsys: pytest.CaptureFixture[str]

    def client(self, service: str) -> Any:
        if service in ("sagemaker", "ce"):
            return getattr(self, service).client()
        return self.function if service == "lambda" else client_of(service)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run a command; return its exit code, and what it said on standard output and on standard error."""
        self.capsys.readouterr()
        code = cli.run(list(arguments))
        said = self.capsys.readouterr()
        return code, said.out, said.err


@pytest.fixture
def ledger(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Ledger]:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.chdir(tmp_path)
    sagemaker = ScriptedSageMaker(succeeded())
    sagemaker.clock = 1000.0
    with mock_aws():
        client_of("cloudformation").create_stack(
            StackName="cv-birds", TemplateBody=json.dumps(TEMPLATE), Capabilities=["CAPABILITY_IAM"]
        )
        ce = ScriptedCostExplorer(today=datetime.now(UTC).date())
        made = Ledger(sagemaker, ce, FakeLambda(), capsys)
        made.function.environment["PIPELINE_PARAMETERS"] = json.dumps(DEPLOYED)
        monkeypatch.setattr(cli.Session, "client", lambda self, service: made.client(service))
        yield made
