"""Fixtures that more than one test file uses."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from laptop import Laptop, laptop

PHOTOS = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "photos"


def pytest_configure() -> None:
    """Keep a developer's own AWS settings out of every test and of what the tests start."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"


@pytest.fixture(scope="session")
def photos() -> Path:
    """A data set of real photographs in CUB layout, kept outside the repository."""
    folder = Path(os.environ.get("CV_PHOTOS", PHOTOS))
    if not folder.is_dir():
        pytest.skip(f"no photographs at {folder} (CV_PHOTOS names another folder)")
    return folder


@pytest.fixture(scope="module")
def toy_laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """The laptop's AWS with the real template on it; for pipelines whose containers are toys."""
    with laptop(tmp_path_factory.mktemp("laptop")) as running:
        yield running
