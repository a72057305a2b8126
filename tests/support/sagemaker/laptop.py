"""Local AWS with SageMaker, a bucket and a role, for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from local.aws import LocalAWS
from tests.support.sagemaker.toy_jobs import BUCKET, SETTINGS, Laptop


@contextmanager
def open_laptop(work_dir: Path, **settings: Any) -> Iterator[Laptop]:
    """Open local AWS with a bucket and the role `job`, which may do everything; `settings` are its jobs'."""
    with LocalAWS(work_dir=work_dir, jobs=replace(SETTINGS, **settings)) as aws:
        laptop = Laptop(aws, aws.client("s3"), aws.client("sagemaker"))
        laptop.s3.create_bucket(Bucket=BUCKET)
        laptop.make_role("job")
        yield laptop
