"""A local AWS that stays up: its env file, what its terminal says, and its end by Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console

from local.aws import LocalAWS
from ops.output.terminal import say

_FORGET = r"unset AWS_PROFILE $(env | sed -n 's/^\(AWS_[A-Za-z0-9_]*\)=.*/\1/p')"
"""Forgets AWS's variables of the shell: another profile, AWS_ENDPOINT_URL_S3, a token that has expired."""
_QUOTED, _ESCAPED = re.compile(r'[\\$`"]'), r"\\\g<0>"
"""What a shell reads in double quotes: the path of a checkout may have it."""
_NO_PROXY = '"localhost,127.0.0.1,${%s:-}"'
"""A company's proxy is not to have requests to this machine."""


def check_env_file(path: Path) -> None:
    """Raise a UsageError where another local AWS, which still runs, wrote the file; OSError where nobody can.

    Whoever wrote it holds a lock on it, which ends with its process however that ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent):
        pass
    try:
        with path.open("rb") as file:
            _lock(file.fileno())
    except FileNotFoundError:
        return
    except BlockingIOError:
        raise click.UsageError(
            f"{path} belongs to another local AWS, which still runs: end it with Ctrl-C in its terminal, or "
            "give another --env-file"
        ) from None


@contextmanager
def env_file(path: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """Write the variables for `set -a; . FILE` and for dotenv readers, with mode 0600; remove it at the end.

    A shell forgets its own AWS_* variables first; dotenv readers do not understand that line and skip it.

    Raises:
        click.UsageError: It belongs to another local AWS, which still runs.
    """
    check_env_file(path)
    descriptor, beside = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        _lock(descriptor)
        lines = [f'{name}="{_QUOTED.sub(_ESCAPED, value)}"' for name, value in variables.items()]
        around = [f"{name}={_NO_PROXY % name}" for name in ("NO_PROXY", "no_proxy")]
        file.writelines(f"{line}\n" for line in (_FORGET, *lines, *around))
        file.flush()
        Path(beside).replace(path)  # it appears whole, and locked
        try:
            yield
        finally:
            if path.exists() and os.path.samestat(path.stat(), os.fstat(descriptor)):
                path.unlink()


def _lock(descriptor: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def stay(aws: LocalAWS, path: Path, console: Console, following: Sequence[str]) -> None:
    """Say how to use local AWS, and what may follow, and wait for Ctrl-C or SIGTERM."""
    with env_file(path, aws.environment()):
        try:
            say(console, "Ctrl-C stops local AWS, and what it holds is gone then.")
            say(console, f"In a browser: {aws.page_url}")
            say(console, f"In another terminal: set -a; . {shlex.quote(str(path.absolute()))}; set +a")
            for line in following:
                say(console, line)
            aws.wait()
        except KeyboardInterrupt:
            say(console, "Stopping")


def command_line() -> str:
    """Return how the other terminal calls ops: by its path where its shell would not find it."""
    name = "cv-pipeline"
    return name if shutil.which(name) else shlex.quote(str(Path(sys.executable).absolute().with_name(name)))
