"""Keep /opt/ml/checkpoints and CheckpointConfig.S3Uri the same while a training job runs."""

from __future__ import annotations

import time
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from local.engine.jobs.records import JobFailedError
from local.engine.jobs.transfer import S3Uri, Transfer, regular_files

DEFAULT_PATH = "/opt/ml/checkpoints"


class CheckpointSync:
    """Uploads the files that changed; nothing is removed from S3, as SageMaker does not."""

    def __init__(self, folder: Path, uri: S3Uri, transfer: Transfer, interval: float) -> None:
        self.folder = folder
        self._uri = uri
        self._transfer = transfer
        self._interval = interval
        self._next = 0.0
        self._known: dict[str, tuple[int, int]] = {}

    def restore(self) -> None:
        """Fetch what an earlier attempt or job left in S3."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._transfer.download_checkpoints(self._uri, self.folder)
        self._known = dict(self._changed())

    def tick(self) -> None:
        """Upload what changed, at most once an interval."""
        if time.monotonic() >= self._next:
            self.flush()

    def flush(self) -> None:
        """Upload what changed since the last time; raise JobFailedError when S3 refuses it."""
        for name, state in self._changed():
            try:
                # As bytes: the job may write to the file while it is sent.
                self._transfer.put((self.folder / name).read_bytes(), self._uri.join(name))
            except FileNotFoundError:
                continue  # a temporary file that was renamed meanwhile: the next round has it
            except (ClientError, BotoCoreError, OSError) as error:
                raise JobFailedError(f"ClientError: Checkpoint upload failed:{error}") from error
            self._known[name] = state
        self._next = time.monotonic() + self._interval

    def _changed(self) -> list[tuple[str, tuple[int, int]]]:
        changed = []
        try:
            for name, path in regular_files(self.folder):
                status = path.stat()
                state = (status.st_mtime_ns, status.st_size)
                if self._known.get(name) != state:
                    changed.append((name, state))
        except FileNotFoundError:
            return []  # a file went away while the folder was read: the next round sees the rest
        return changed
