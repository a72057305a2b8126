"""Local AWS with SageMaker, a bucket and a role, for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from local.aws import LocalAWS
from tests.support.sagemaker.account import ToyAccount
from tests.support.sagemaker.toy_jobs import BUCKET, SETTINGS


@contextmanager
def open_local_account(work_dir: Path, **settings: Any) -> Iterator[ToyAccount]:
    """Open local AWS with a bucket and the role `job`, which may do everything; `settings` are its jobs'."""
    with LocalAWS(work_dir=work_dir, jobs=replace(SETTINGS, **settings)) as aws:
        account = ToyAccount(aws, aws.client("s3"), aws.client("sagemaker"))
        account.s3.create_bucket(Bucket=BUCKET)
        account.make_role("job")
        yield account
