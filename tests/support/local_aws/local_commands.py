"""The commands of `python -m local` as a person starts them, and what they leave behind."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def environment(scratch: Path) -> dict[str, str]:
    """Return a person's environment, whose temporary folders a test can look through."""
    source = os.pathsep.join(str(ROOT / each) for each in (".", "lambda"))
    return {**os.environ, "TMPDIR": str(scratch), "COLUMNS": "160", "PYTHONPATH": source}


@contextmanager
def up(
    env_file: Path, *more: str, cwd: Path = ROOT, variables: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Start `python -m local up`, whose own image is a toy, and wait until it is up; kill it at the end."""
    command = [
        sys.executable,
        str(ROOT / "tests/support/local_aws/toy_up.py"),
        "up",
        "--env-file",
        str(env_file),
        *more,
    ]
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=variables or environment(Path(tempfile.gettempdir())),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            assert any("In another terminal" in line for line in process.stdout), "it did not come up"
            yield process
        finally:
            process.kill()


def read_env(path: Path) -> dict[str, str]:
    """Source the file as a shell would, and return what it sets."""
    script = 'set -a; . "$1"; set +a; exec env -0'
    done = subprocess.run(["bash", "-c", script, "bash", str(path)], capture_output=True, check=True, env={})
    return dict(pair.split("=", 1) for pair in done.stdout.decode().split("\0") if pair.startswith("AWS_"))


def processes_under(folder: Path) -> list[str]:
    """Return the command lines of the processes that work in `folder` or were told of it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            cwd = str((entry / "cwd").readlink())
            told = (entry / "environ").read_bytes().decode(errors="replace")
            line = (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue  # it ended, or is not ours
        if cwd.startswith(str(folder)) or f"={folder}" in told:
            found.append(line)
    return found
