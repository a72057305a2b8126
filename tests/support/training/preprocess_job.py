"""A processing job's folder for Preprocess, run in the test's own process."""

import json
from pathlib import Path
from typing import Any

import pytest

from training import preprocess
from training.data import Channel
from training.paths import BASE_VARIABLE, Paths

SPLITS = ("train", "validation", "test")


class PreprocessJob:
    """A processing job's folder, its input and how to run it."""

    def __init__(self, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.base, self._monkeypatch = base, monkeypatch
        self.paths = Paths(base)
        self.data = self.paths.processing_input("data")
        self.data.mkdir(parents=True)

    def run(self, *arguments: str) -> int:
        self._monkeypatch.setenv(BASE_VARIABLE, str(self.base))
        return preprocess.main([*arguments, "--image-size", "35"])

    @property
    def message(self) -> str:
        return self.paths.message.read_text(encoding="utf-8")

    def manifest(self) -> dict[str, Any]:
        path = self.paths.processing_output("manifest") / "manifest.json"
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return manifest

    def channel(self, split: str) -> Channel:
        return Channel(self.paths.processing_output(split))

    def names(self, split: str) -> list[str]:
        return [entry.name for entry in self.channel(split).entries]

    def on_host(self, current: str, hosts: list[str]) -> None:
        path = self.base / "config/resourceconfig.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"current_host": current, "hosts": hosts}))

    def failure(self, *arguments: str) -> str:
        """Run, expect exit code 1 and return the exit message."""
        assert self.run(*arguments) == 1
        return self.message
