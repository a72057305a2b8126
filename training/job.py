"""How a job ends: exit codes, the text SageMaker shows as its reason, and SIGTERM.

0    done
1    failed; the reason is the first line of /opt/ml/output/failure (training) or message (processing)
143  stopped by SIGTERM (128 + 15), training after it wrote a checkpoint
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

from image_data.errors import DataError

SUCCEEDED, FAILED, STOPPED = 0, 1, 143

REASON_LIMIT = 1024
"""What SageMaker keeps of the failure file or of the exit message."""


class JobError(Exception):
    """A mistake in the job's input that its message explains in full; shown without a traceback."""


class Stopped(Exception):  # noqa: N818 - SIGTERM is not an error
    """SIGTERM came; what is worth keeping has been kept."""


class ArgumentParser(argparse.ArgumentParser):
    """A parser whose complaint becomes the job's exit message, like every other mistake."""

    def error(self, message: str) -> NoReturn:
        """Raise a JobError instead of leaving with the usage alone."""
        raise JobError(f"{message}. {self.format_usage().strip()}")


class StopRequest:
    """Whether SIGTERM has come. As pid 1 Python ignores the signal unless a handler is in place."""

    def __init__(self) -> None:
        self.requested = False
        self._at_once = False

    @classmethod
    def on_sigterm(cls, *, at_once: bool = False) -> StopRequest:
        """Install the handler: it sets the flag, and until `defer` may end the job at once."""
        request = cls()
        request._at_once = at_once
        signal.signal(signal.SIGTERM, request._set)
        return request

    def _set(self, _signal: int, _frame: FrameType | None) -> None:
        again, self.requested = self.requested, True
        if self._at_once and not again:  # a second one would interrupt what the first one began
            self.check()

    def defer(self) -> None:
        """From now on there is something to keep: the work asks between two steps and ends by itself."""
        self._at_once = False
        self.check()

    def check(self) -> None:
        """Raise Stopped where SIGTERM has come and there is nothing to keep."""
        if self.requested:
            raise Stopped("stopped by SIGTERM")


def stop_at_sigterm() -> None:
    """Leave at once when SIGTERM comes: for jobs that keep nothing half done."""

    def leave(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise Stopped("stopped by SIGTERM")

    signal.signal(signal.SIGTERM, leave)


def run(work: Callable[[], int | None], reason_file: Path) -> int:
    """Do the work and return the exit code, its own if it has one.

    Anything unforeseen keeps its traceback and leaves its reason.
    """
    try:
        return work() or SUCCEEDED
    except (JobError, DataError) as error:
        return _fail(str(error), reason_file)
    except Stopped as error:
        print(error, file=sys.stderr, flush=True)
        return STOPPED
    except OSError as error:
        if error.errno == errno.ENOSPC:
            where = f"no space left on the device while writing {error.filename or ''}"
            return _fail(f"{where}: {FULL_DISK}", reason_file)
        if error.errno in NOT_ALLOWED and error.filename:
            return _fail(not_allowed(error, f"access {error.filename}"), reason_file)
        write_reason(reason_file, f"{type(error).__name__}: {error}")
        raise
    except Exception as error:
        write_reason(reason_file, f"{type(error).__name__}: {error}")
        raise


FULL_DISK = "give the job a bigger volume (VolumeSizeInGB) or free the disk, then start it again"
NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)


def check_writable(*folders: Path) -> None:
    """Raise JobError for a folder in which nothing can be written, before hours of work are lost by it."""
    for folder in folders:
        there = next(each for each in (folder, *folder.parents) if each.exists())
        if not there.is_dir():
            raise JobError(f"{there} is a file, where the job needs a folder")
        try:
            # Has no name on Linux, so that nothing is uploaded that looks for files.
            with tempfile.TemporaryFile(dir=there):
                pass
        except OSError as error:
            if error.errno not in NOT_ALLOWED:
                raise
            raise JobError(not_allowed(error, f"write in {folder}")) from error


def not_allowed(error: OSError, what: str) -> str:
    """Say what the job's user may not do, and how a deployment's jobs get another user."""
    user = os.getuid()
    hint = "; deploy with -c image_user_id=0, because SageMaker's folders are root's" if user else ""
    return f"user {user} cannot {what}: {error.strerror}{hint}"


def _fail(reason: str, reason_file: Path) -> int:
    print(f"error: {reason}", file=sys.stderr, flush=True)
    write_reason(reason_file, reason)
    return FAILED


def write_reason(reason_file: Path, reason: str) -> None:
    """Leave the reason for SageMaker: one line, at most 1,024 bytes of UTF-8."""
    line = " ".join(reason.split()).encode()[:REASON_LIMIT].decode(errors="ignore")
    try:
        reason_file.parent.mkdir(parents=True, exist_ok=True)
        reason_file.write_text(line + "\n" if len(line.encode()) < REASON_LIMIT else line, encoding="utf-8")
    except OSError as error:  # the log still has it
        print(f"warning: cannot write {reason_file}: {error}", file=sys.stderr, flush=True)
