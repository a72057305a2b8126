"""What the local SageMaker refuses because of another request: at once, or with the same token."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.sagemaker.account import ToyAccount
from tests.support.sagemaker.memory_account import open_memory_account
from tests.support.sagemaker.toy_jobs import ROLE
from tests.support.sagemaker.toy_pipelines import create, definition, error_of, fail

TOKEN = "t" * 32


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToyAccount]:
    with open_memory_account(tmp_path_factory.mktemp("work")) as opened:
        yield opened


@contextmanager
def being_updated(account: ToyAccount, name: str) -> Iterator[Future[Any]]:
    """Keep an UpdatePipeline from ending; afterwards it goes on."""
    began, go_on = threading.Event(), threading.Event()
    runtime = account.sagemaker.service._runtime
    check = runtime.check_role

    def slowly(role_arn: str, source_arn: str) -> None:
        if not began.is_set():
            began.set()
            assert go_on.wait(30)
        check(role_arn, source_arn)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setattr(runtime, "check_role", slowly)
        answer = pool.submit(account.sagemaker.update_pipeline, PipelineName=name, RoleArn=ROLE)
        try:
            assert began.wait(30)
            yield answer
        finally:
            go_on.set()


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("update_pipeline", {"PipelineDescription": "mine"}),
        ("start_pipeline_execution", {"ClientRequestToken": TOKEN}),
        ("delete_pipeline", {"ClientRequestToken": TOKEN}),
        (
            "create_pipeline",
            {"PipelineDefinition": definition(fail()), "RoleArn": ROLE, "ClientRequestToken": TOKEN},
        ),
    ],
)
def test_a_pipeline_that_is_being_changed_can_neither_be_changed_nor_started(
    account: ToyAccount, operation: str, request_: dict[str, Any]
) -> None:
    name = f"busy-{operation.replace('_', '-')}"
    create(account, name, definition(fail()))
    with being_updated(account, name) as answer:
        code, message = error_of(account, operation, PipelineName=name, **request_)
        assert (code, name in message) == ("ConflictException", True)
        account.sagemaker.describe_pipeline(PipelineName=name)
    assert answer.result()["PipelineVersionId"] == 1
    assert account.sagemaker.list_pipeline_executions(PipelineName=name)["PipelineExecutionSummaries"] == []
    account.sagemaker.update_pipeline(PipelineName=name, PipelineDescription="mine")


def test_another_pipeline_can_be_started_meanwhile(account: ToyAccount) -> None:
    for name in ("busy", "free"):
        create(account, name, definition(fail()))
    with being_updated(account, "busy"):
        account.sagemaker.start_pipeline_execution(PipelineName="free")


def test_a_token_that_was_answered_is_answered_again_while_the_pipeline_is_being_changed(
    account: ToyAccount,
) -> None:
    create(account, "answered", definition(fail()))
    start = {"PipelineName": "answered", "ClientRequestToken": TOKEN}
    first = account.sagemaker.start_pipeline_execution(**start)["PipelineExecutionArn"]
    with being_updated(account, "answered"):
        assert account.sagemaker.start_pipeline_execution(**start)["PipelineExecutionArn"] == first


def test_of_two_starts_with_one_token_the_one_pinned_to_another_version_is_refused(
    account: ToyAccount,
) -> None:
    create(account, "repinned", definition(fail(message="one")))
    account.sagemaker.update_pipeline(
        PipelineName="repinned", PipelineDefinition=definition(fail(message="two"))
    )
    start = {"PipelineName": "repinned", "ClientRequestToken": TOKEN}
    first = account.sagemaker.start_pipeline_execution(**start, PipelineVersionId=1)["PipelineExecutionArn"]
    code, message = error_of(account, "start_pipeline_execution", **start, PipelineVersionId=2)
    assert (code, TOKEN in message) == ("ConflictException", True)
    listed = account.sagemaker.list_pipeline_executions(PipelineName="repinned")["PipelineExecutionSummaries"]
    assert [each["PipelineExecutionArn"] for each in listed] == [first]
