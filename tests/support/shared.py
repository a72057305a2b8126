"""What takes seconds to make, such as a synthesis, is made once for all workers of a run."""

import fcntl
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_folder: Path | None = None


def share(config: pytest.Config) -> None:
    """Let this process share with the other workers of its run, if it is one of several."""
    global _folder  # noqa: PLW0603 - a process is one worker
    if hasattr(config, "workerinput"):
        _folder = Path(config.option.basetemp).parent / "shared"
        _folder.mkdir(parents=True, exist_ok=True)


def made_once(name: str, make: Callable[[], Any]) -> Any:
    """Return a value of JSON's, made by the first worker that asks for it."""
    if _folder is None:
        return make()
    path = _folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            # What the maker raises is raised again for the next one who asks.
            path.write_text(json.dumps(make()), encoding="utf-8")
        return json.loads(path.read_text(encoding="utf-8"))
