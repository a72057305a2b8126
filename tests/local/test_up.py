"""`python -m local up` as a person meets it: beside another one, in folders with any name, and killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local import stay
from local.run import STACK
from ops.uploads import upload
from tests.support.local_aws.functions import eventually
from tests.support.local_aws.local_commands import ROOT, environment, processes_under, read_env, up
from tests.support.local_aws.toy_pipeline import SHIPPED, SLEEPING_IMAGE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc"),
]
BUCKET = f"{STACK}-123456789012-us-east-1"


@dataclass
class Up:
    """A running command, and clients of somebody who sourced its env file."""

    process: subprocess.Popen[str]
    settings: dict[str, str]
    scratch: Path
    env_file: Path

    def client(self, service: str, /, endpoint_url: str = "") -> Any:
        return boto3.session.Session(
            self.settings["AWS_ACCESS_KEY_ID"], self.settings["AWS_SECRET_ACCESS_KEY"]
        ).client(
            service,
            region_name=self.settings["AWS_REGION"],
            endpoint_url=endpoint_url or self.settings["AWS_ENDPOINT_URL"],
        )

    def processes(self, what: str = "") -> list[str]:
        """Return the command lines of its processes that hold a text."""
        return [line for line in processes_under(self.scratch) if what in line]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Up, Up]]:
    """Two that run at once, started in a folder that has a blank and an umlaut in its name."""
    folder = tmp_path_factory.mktemp("Müllers Vögel")
    with ExitStack() as stack:

        def start(name: str) -> Up:
            scratch, env_file = folder / f"für {name}", folder / f"{name}.env"
            scratch.mkdir()
            variables = environment(scratch) | {"TOY_IMAGE": str(SLEEPING_IMAGE)}
            process = stack.enter_context(up(env_file, cwd=folder, variables=variables))
            return Up(process, read_env(env_file), scratch, env_file)

        yield start("eins"), start("zwei")


def test_two_run_side_by_side_and_share_nothing(two: tuple[Up, Up]) -> None:
    one, other = two
    one.client("s3").put_object(Bucket=BUCKET, Key="data/mine", Body=b"")
    assert other.client("s3").list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        other.client("s3", one.settings["AWS_ENDPOINT_URL"]).list_buckets()


def test_the_port_of_another_one_is_refused_in_one_sentence(two: tuple[Up, Up], tmp_path: Path) -> None:
    port = two[0].settings["AWS_ENDPOINT_URL"].rpartition(":")[2]
    command = [sys.executable, "-m", "local", "up", "--env-file", str(tmp_path / "env"), "--port", port]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"port {port} of 127.0.0.1 cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_env_file_of_another_one_that_runs_is_refused_in_one_sentence(two: tuple[Up, Up]) -> None:
    path = two[0].env_file
    before = path.read_bytes()
    for arguments in (("up",), ("run", "--keep", "--data", "nowhere")):
        command = [sys.executable, "-m", "local", *arguments, "--env-file", str(path)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"{path} belongs to another local AWS, which still runs" in done.stderr
        assert "Traceback" not in done.stderr
    assert path.read_bytes() == before


def test_a_killed_one_leaves_no_process_and_the_other_goes_on(two: tuple[Up, Up]) -> None:
    one, other = two
    s3 = one.client("s3")
    s3.put_object(Bucket=BUCKET, Key="data/toy/images.txt", Body=b"1 a/a.jpg\n")
    upload.upload_definition(s3, BUCKET, SHIPPED, {"InputDataUrl": f"s3://{BUCKET}/data/toy/"})
    for what in ("local.aws.server", "training.preprocess", "signal.SIG_IGN"):
        assert eventually(partial(one.processes, what), 60), f"{what} does not run"
    one.process.send_signal(signal.SIGKILL)
    assert eventually(lambda: not one.processes(), 30), one.processes()
    assert other.client("s3").list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0
    with stay.env_file(one.env_file, {"A": "b"}):  # what a killed one left is free to take
        assert 'A="b"' in one.env_file.read_text()
        one.env_file.replace(other.env_file)
    other.process.send_signal(signal.SIGINT)
    assert other.process.wait(timeout=30) == 0
    assert not other.processes()
    assert not list(other.scratch.iterdir())
    assert other.env_file.exists(), "it removed a file that it had not written"
