"""Fixtures that more than one test file uses."""

import functools
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import botocore.session
import pytest

from tests.support import shared
from tests.support.infra.node import path_with_node
from tests.support.local_aws.deployed import DeployedStack, deployed_stack

PHOTOS = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "photos"


def is_live(config: pytest.Config) -> bool:
    """Whether this is `pytest -m live`, which runs on the AWS of the environment and on nothing else."""
    return bool(config.getoption("markexpr") == "live")


def pytest_configure(config: pytest.Config) -> None:
    """Keep a developer's own AWS settings out of every test but the live ones."""
    if is_live(config):
        return
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    # The CDK looks through every template itself, which takes half of a synthesis and seconds for the first;
    # tests/infra/test_scanners.py does that with cfn-lint, and tests/end_to_end/test_cdk_cli.py leaves it on.
    os.environ["CDK_VALIDATION"] = "false"
    shared.share(config)
    # Each session would read the services' descriptions again, half of the time that its first client takes.
    botocore.session.create_loader = functools.cache(botocore.session.create_loader)
    if "PYTEST_XDIST_WORKER" in os.environ:
        # Workers share the cores: a PyTorch that takes them all waits for the others, five times as long.
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the live tests out unless they were asked for: they need an account and cost money."""
    if not is_live(config):
        live = [item for item in items if item.get_closest_marker("live")]
        config.hook.pytest_deselected(items=live)
        items[:] = [item for item in items if item not in live]


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name a case of bytes by its argument: archives hold the second in which they were made.

    The workers would not agree on what there is to run, and run nothing.
    """
    return argname if isinstance(val, bytes) else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much the exhaustive searches have looked at."""
    reports = [each for each in terminalreporter.getreports("passed") if each.when == "call"]
    found = [text for each in reports for name, text in each.user_properties if name == "explored"]
    if found:
        terminalreporter.section("everything within these scopes was looked at")
    for text in found:
        terminalreporter.write_line(str(text))


SIGTERM_ACTION = signal.getsignal(signal.SIGTERM)


@pytest.fixture(autouse=True)
def _sigterm_ends_pytest() -> Iterator[None]:
    """The steps' main() installs its own handler, which would raise Stopped in whatever test runs later."""
    signal.signal(signal.SIGTERM, SIGTERM_ACTION)
    yield
    signal.signal(signal.SIGTERM, SIGTERM_ACTION)


@pytest.fixture(scope="session")
def photos() -> Path:
    """A data set of real photographs in CUB layout, kept outside the repository."""
    folder = Path(os.environ.get("CV_PHOTOS", PHOTOS))
    if not folder.is_dir():
        pytest.skip(f"no photographs at {folder} (CV_PHOTOS names another folder)")
    return folder


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployedStack]:
    """Local AWS with the real template on it; for pipelines whose containers are toys."""
    with deployed_stack(tmp_path_factory.mktemp("aws")) as running:
        yield running


@pytest.fixture(scope="session")
def synthesis() -> Iterator[ModuleType]:
    """Return infra.template, imported late: the import starts Node."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", path_with_node())
        import infra.template

        yield infra.template
