"""Where SageMaker puts things: the whole /opt/ml contract of the containers in one place."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.job import JobError

BASE_VARIABLE = "SAGEMAKER_BASE_DIR"


@dataclass(frozen=True)
class Hosts:
    """The instances of this job: the name of this one and all names, in order."""

    current: str
    names: tuple[str, ...]
    interface: str = ""
    """The network interface that the instances reach each other by."""

    @property
    def rank(self) -> int:
        """Return this instance's position, from 0."""
        return self.names.index(self.current)


@dataclass(frozen=True)
class Paths:
    """The files and folders of a job below its base directory, /opt/ml in a container."""

    base: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Paths:
        """Take the base directory from SAGEMAKER_BASE_DIR, or /opt/ml."""
        return cls(Path((os.environ if environ is None else environ).get(BASE_VARIABLE) or "/opt/ml"))

    @property
    def hyper_parameters(self) -> Path:
        """Point to the training job's hyper-parameters, a JSON object of strings."""
        return self.base / "input/config/hyperparameters.json"

    @property
    def checkpoints(self) -> Path:
        """Point to the folder that SageMaker syncs with CheckpointConfig.S3Uri."""
        return self.base / "checkpoints"

    @property
    def model(self) -> Path:
        """Point to the folder that becomes model.tar.gz; a serving container finds it unpacked here."""
        return self.base / "model"

    @property
    def failure(self) -> Path:
        """Point to the file whose first 1,024 characters become a training job's FailureReason."""
        return self.base / "output/failure"

    @property
    def message(self) -> Path:
        """Point to the file whose first KB becomes a processing job's ExitMessage."""
        return self.base / "output/message"

    @property
    def processing_job(self) -> Path:
        """Point to what SageMaker tells a processing job about itself: its ARN, image, inputs and outputs."""
        return self.base / "config/processingjobconfig.json"

    def channel(self, name: str) -> Path:
        """Point to the data of a training channel."""
        return self.base / "input/data" / name

    def processing_input(self, name: str) -> Path:
        """Point to the data of a processing job's input."""
        return self.base / "processing/input" / name

    def processing_output(self, name: str) -> Path:
        """Point to the folder that a processing job's output is uploaded from."""
        return self.base / "processing/output" / name

    def training_hosts(self) -> Hosts:
        """Read a training job's resource configuration."""
        return _hosts(self.base / "input/config/resourceconfig.json")

    def processing_hosts(self) -> Hosts:
        """Read a processing job's resource configuration."""
        return _hosts(self.base / "config/resourceconfig.json")


def _hosts(path: Path) -> Hosts:
    if not path.exists():  # a run by hand: one instance
        return Hosts("algo-1", ("algo-1",))
    config = read_json(path, "the resource configuration")
    try:
        names = tuple(sorted(map(str, config["hosts"]), key=_host_order))
        hosts = Hosts(str(config["current_host"]), names, str(config.get("network_interface_name") or ""))
    except (KeyError, TypeError) as error:
        raise JobError(f"{path} has no current_host and hosts as SageMaker writes them: {error!r}") from error
    if hosts.current not in hosts.names:
        raise JobError(f"{path}: current_host {hosts.current!r} is not among hosts {list(hosts.names)}")
    return hosts


def _host_order(name: str) -> tuple[int, str]:
    number = name.rpartition("-")[2]  # algo-10 comes after algo-9
    return (int(number) if number.isdecimal() else 0, name)


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Read a JSON object, or raise a JobError that says what is missing or broken, and where."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise JobError(f"{what} is missing: {path} does not exist") from error
    except ValueError as error:
        raise JobError(f"{what} is not JSON: {path}: {error}") from error
    if not isinstance(document, dict):
        raise JobError(f"{what} is not a JSON object: {path} holds a {type(document).__name__}")
    return document


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON object with stable bytes; the folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_json_list(path: Path, document: Mapping[str, Any], name: str, items: Iterable[Any]) -> None:
    """Write a JSON object whose last member is a list, item by item, so that it need not fit into memory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = json.dumps({**document, name: []}, indent=1, ensure_ascii=False).removesuffix("]\n}")
    with path.open("w", encoding="utf-8") as file:
        file.write(head)
        for number, item in enumerate(items):
            file.write(("," if number else "") + "\n  " + json.dumps(item, ensure_ascii=False))
        file.write("\n ]\n}\n")
