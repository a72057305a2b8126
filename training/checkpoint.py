"""Checkpoints that survive: a job killed at any moment goes on from a complete one, and only from its own.

    /opt/ml/checkpoints/<fingerprint>/checkpoint-0.pt, checkpoint-1.pt

Two names take turns, each written to a temporary file, synced and renamed, behind the sha256 of its
content; the newest that verifies is loaded. Never one file alone: the sync with S3 keeps deleted files and
may stall. The fingerprint stands for hyper-parameters, data, weights and code: another run's checkpoints are
never taken.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import image_data

SECONDS_BETWEEN = 60.0
"""The most work that an interruption costs; writing more often would cost every training time."""
_DIGEST_BYTES = 64  # sha256 in hexadecimal


def fingerprint(identity: Mapping[str, Any]) -> str:
    """Name what a checkpoint belongs to, in 16 characters."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def code_version() -> str:
    """Hash the sources of this package and of what it reads images with."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for path in sorted([*here.rglob("*.py"), *Path(image_data.__file__).parent.rglob("*.py")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def machine() -> dict[str, Any]:
    """Describe what must stay the same for a resumed run to give the same bits."""
    return {
        "torch": str(torch.__version__),  # a class of its own that weights_only refuses
        "threads": torch.get_num_threads(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


@dataclass(frozen=True)
class _Slot:
    path: Path
    state: dict[str, Any]


class CheckpointStore:
    """The checkpoints of one run in its own sub-folder; the others' are neither read nor removed.

    Where the folder cannot be made the store does nothing, so a job without CheckpointConfig trains the same.
    """

    def __init__(self, folder: Path, run: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder: Path | None = folder / run
        self._clock = clock
        self._saved_at = clock()
        self._next = 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            _warn(f"no checkpoints: cannot make {self.folder}: {error}")
            self.folder = None

    def is_due(self) -> bool:
        """Return whether the last checkpoint is a minute old."""
        return self._clock() - self._saved_at >= SECONDS_BETWEEN

    def load(self) -> dict[str, Any] | None:
        """Return the newest state that verifies, or None for a fresh start."""
        paths = sorted(self.folder.glob("checkpoint-?.pt")) if self.folder else []
        slots = [slot for slot in map(_read, paths) if slot]
        newest = max(slots, key=lambda slot: int(slot.state["step"]), default=None)
        if newest is None:
            return None
        self._next = 1 - int(newest.path.stem[-1])
        _compare(newest.state["machine"], machine())
        return newest.state

    def save(self, state: dict[str, Any]) -> bool:
        """Write the state beside the previous one; a full disk costs the checkpoint, never the training."""
        self._saved_at = self._clock()
        if self.folder is None:
            return False
        buffer = io.BytesIO()
        torch.save({**state, "machine": machine()}, buffer)
        path = self.folder / f"checkpoint-{self._next}.pt"
        try:
            _write(path, buffer.getbuffer())
        except OSError as error:
            _warn(
                f"CHECKPOINT NOT WRITTEN, an interruption now loses work since the last one: {path}: {error}"
            )
            return False
        self._next = 1 - self._next
        print(f"checkpoint step={state['step']} file={path.parent.name}/{path.name}", flush=True)
        return True


def _write(path: Path, content: memoryview) -> None:
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(hashlib.sha256(content).hexdigest().encode())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> _Slot | None:
    try:
        data = path.read_bytes()
    except OSError as error:
        _warn(f"checkpoint {path.name} cannot be read: {error}")
        return None
    content = memoryview(data)[_DIGEST_BYTES:]
    if hashlib.sha256(content).hexdigest().encode() != data[:_DIGEST_BYTES]:
        _warn(f"checkpoint {path.name} is damaged and left alone")
        return None
    try:
        return _Slot(path, torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    except pickle.UnpicklingError:
        _warn(f"checkpoint {path.name} holds more than numbers and tensors, so it is left alone")
        return None


def _compare(then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    changed = [f"{key} {then.get(key)} -> {value}" for key, value in now.items() if then.get(key) != value]
    if changed:
        _warn(f"resumed on another machine ({', '.join(changed)}): the result may differ in its last bits")


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr, flush=True)
