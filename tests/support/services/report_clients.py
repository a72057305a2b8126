"""The clients that a report is read with: the scripted SageMaker, and moto's for everything else."""

from __future__ import annotations

from typing import Any

from tests.support.services.fake_execution import ScriptedSageMaker, client_of


class ReportClients:
    """Makes boto3 clients as a session does."""

    def __init__(self, fake: ScriptedSageMaker) -> None:
        self.fake = fake

    def client(self, service: str, /) -> Any:
        return self.fake.client() if service == "sagemaker" else client_of(service)
