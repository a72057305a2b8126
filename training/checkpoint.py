"""Checkpoints that survive: a job killed at any moment goes on from a complete one, and only from its own.

    /opt/ml/checkpoints/<fingerprint>/checkpoint-0.pt, checkpoint-1.pt, features-train.pt, ...

Two names take turns, each written to a temporary file, synced and renamed, behind the sha256 of its
content; the newest that verifies is loaded. Never one file alone: the sync with S3 keeps deleted files and
may stall. The fingerprint stands for hyper-parameters, data, weights and code: another run's checkpoints are
never taken. What a training that has ended leaves is empty, for SageMaker copies all of it to every later
job's start, and the sync would keep in S3 what was deleted here.
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
from torch import Tensor

import image_data
from training.distributed import World

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
    content: bytes
    state: dict[str, Any]


class CheckpointStore:
    """The checkpoints of one run in its own sub-folder; the others' are neither read nor removed.

    Where the folder cannot be made the store does nothing, so a job without CheckpointConfig trains the same.
    Of several processes the first one writes, and reads for all: they may not have the same files.
    """

    def __init__(
        self,
        folder: Path,
        run: str,
        *,
        seconds: float = 60,
        clock: Callable[[], float] = time.monotonic,
        world: World | None = None,
    ) -> None:
        self.folder: Path | None = folder / run
        self._seconds = seconds
        self._clock = clock
        self._world = world or World()
        self._saved_at = clock()
        self._next = 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            _warn(f"no checkpoints: cannot make {self.folder}: {error}")
            self.folder = None

    def is_due(self) -> bool:
        """Return whether the last checkpoint is old; always false where another process writes them."""
        return self._world.is_first and self._clock() - self._saved_at >= self._seconds

    def load(self) -> dict[str, Any] | None:
        """Return the newest state that verifies, or None for a fresh start."""
        newest = self._newest() if self._world.is_first else None
        if newest:
            self._next = 1 - int(newest.path.stem[-1])
            _compare(newest.state["machine"], machine())
        if self._world.size == 1:
            return newest.state if newest else None
        content = self._world.from_first(newest.content if newest else None)
        return None if content is None else _load(content)

    def _newest(self) -> _Slot | None:
        paths = sorted(self.folder.glob("checkpoint-?.pt")) if self.folder else []
        slots = [slot for slot in map(_read, paths) if slot]
        return max(slots, key=lambda slot: int(slot.state["step"]), default=None)

    def save(self, state: dict[str, Any]) -> bool:
        """Write the state beside the previous one; a full disk costs the checkpoint, never the training."""
        name = f"checkpoint-{self._next}.pt"
        if not self._write(name, {**state, "machine": machine()}):
            return False
        self._next = 1 - self._next
        print(f"checkpoint step={state['step']} file={self._run}/{name}", flush=True)
        return True

    def load_features(self, name: str, images: int, width: int) -> Tensor | None:
        """Return the features (up to images, width) of a channel's first images, as far as they were kept."""
        kept = _read(self.folder / f"features-{name}.pt") if self.folder and self._world.is_first else None
        if kept and not _are_features(kept.state.get("features"), images, width):
            _warn(f"{kept.path.name} holds no features of this training; they are computed again")
            kept = None
        if self._world.size == 1:
            return kept.state["features"] if kept else None
        content = self._world.from_first(kept.content if kept else None)
        return None if content is None else _load(content)["features"]

    def save_features(self, name: str, features: Tensor) -> bool:
        """Write the features of a channel's first images."""
        if not self._write(f"features-{name}.pt", {"features": features}):
            return False
        print(f"checkpoint features={len(features)} file={self._run}/features-{name}.pt", flush=True)
        return True

    def empty(self) -> None:
        """Leave empty files of a training that has ended."""
        for path in self.folder.glob("*.pt") if self.folder and self._world.is_first else ():
            try:
                os.truncate(path, 0)
            except OSError as error:
                _warn(f"{path} stays, and later jobs copy it: {error}")

    @property
    def _run(self) -> str:
        return self.folder.name if self.folder else ""

    def _write(self, name: str, state: dict[str, Any]) -> bool:
        self._saved_at = self._clock()
        if self.folder is None or not self._world.is_first:
            return False
        buffer = io.BytesIO()
        torch.save(state, buffer)
        path = self.folder / name
        try:
            _write(path, buffer.getbuffer())
        except OSError as error:
            _warn(
                f"CHECKPOINT NOT WRITTEN, an interruption now loses work since the last one: {path}: {error}"
            )
            return False
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
    except FileNotFoundError:
        return None
    except OSError as error:
        _warn(f"checkpoint {path.name} cannot be read: {error}")
        return None
    if not data:  # of a training that has ended
        return None
    content = data[_DIGEST_BYTES:]
    if hashlib.sha256(content).hexdigest().encode() != data[:_DIGEST_BYTES]:
        _warn(f"checkpoint {path.name} is damaged and left alone")
        return None
    try:
        return _Slot(path, content, _load(content))
    except pickle.UnpicklingError:
        _warn(f"checkpoint {path.name} holds more than numbers and tensors, so it is left alone")
        return None


def _are_features(value: object, images: int, width: int) -> bool:
    return (
        isinstance(value, Tensor)
        and value.is_floating_point()
        and value.dim() == 2
        and len(value) <= images
        and value.shape[1] == width
        and bool(value.isfinite().all())
    )


def _load(content: bytes) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return state


def _compare(then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    changed = [f"{key} {then.get(key)} -> {value}" for key, value in now.items() if then.get(key) != value]
    if changed:
        _warn(f"resumed on another machine ({', '.join(changed)}): the result may differ in its last bits")


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr, flush=True)
