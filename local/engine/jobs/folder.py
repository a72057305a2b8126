"""The folder that a job's process takes for /opt/ml, with the configuration files SageMaker writes there."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from local.engine.jobs.records import JobFailedError

ML_ROOT = PurePosixPath("/opt/ml")
# Not /opt/ml within another path or a URI, such as s3://bucket/opt/ml.
_IN_A_WORD = re.compile(r"(?<![\w./-])/opt/ml(?![\w.-])")
LOOPBACK_INTERFACE = "lo0" if sys.platform == "darwin" else "lo"
"""What the hosts of a job, processes of this machine, talk on; SageMaker's is eth0."""


class JobFolder:
    """One container's place on disk: `ml` is its /opt/ml, beside it are its home, temporary files and log."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ml = root / "ml"
        self.home = root / "home"
        self.temporary = root / "tmp"
        self.log = root / "log.txt"
        self._in_container = {
            str(written): place
            for own, place in ((self.ml, "/opt/ml"), (self.home, "/root"), (self.temporary, "/tmp"))  # noqa: S108 - a name
            # A temporary folder may itself be reached through a link.
            for written in (own, own.resolve())
        }

    def create(self) -> None:
        """Make the folder, empty; raise FileExistsError when it is there already."""
        for folder in (self.ml, self.home, self.temporary):
            folder.mkdir(parents=True)

    def path(self, container_path: str) -> Path:
        """Return the place of a path of the container; raise JobFailedError outside /opt/ml."""
        path = PurePosixPath(container_path)
        if not path.is_relative_to(ML_ROOT) or ".." in path.parts:
            raise JobFailedError(
                f"ClientError: {container_path} is not under {ML_ROOT}: a job on local AWS has nothing else"
            )
        return self.ml / path.relative_to(ML_ROOT)

    def translate(self, word: str) -> str:
        """Return a word of a command with this folder for /opt/ml, which a process of this machine lacks."""
        return _IN_A_WORD.sub(lambda _: str(self.ml), word)

    def as_in_container(self, text: str) -> str:
        """Return a text with the paths that a container would have for those of this folder."""
        for own, place in self._in_container.items():
            text = text.replace(own, place)
        return text

    def make(self, container_path: str) -> Path:
        """Make a folder of the container and return its place."""
        folder = self.path(container_path)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def write_json(self, container_path: str, value: object) -> None:
        """Write one of SageMaker's configuration files."""
        path = self.path(container_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, indent=1), encoding="utf-8")

    def read_message(self, container_path: str, limit: int) -> str | None:
        """Return at most `limit` characters that the container left in a file, None without one."""
        path = self.path(container_path)
        if path.is_symlink() or not path.is_file():
            return None
        with path.open("rb") as stream:
            text = stream.read(4 * limit).decode("utf-8", errors="replace")
        return self.as_in_container(text.strip())[:limit] or None

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.root)


def hosts(count: int) -> list[str]:
    """Return the names of the hosts of a cluster as SageMaker does: algo-1, algo-2, ..."""
    return [f"algo-{number}" for number in range(1, count + 1)]


def write_processing_configuration(
    folder: JobFolder, request: Mapping[str, Any], arn: str, host: str
) -> None:
    """Write the files a processing container finds, and make the folders of its outputs."""
    cluster = request["ProcessingResources"]["ClusterConfig"]
    configuration = {"ProcessingJobArn": arn, **{k: v for k, v in request.items() if k != "Tags"}}
    folder.write_json("/opt/ml/config/processingjobconfig.json", configuration)
    folder.write_json("/opt/ml/config/resourceconfig.json", _resource_config(cluster, host))
    folder.make("/opt/ml/output")
    for output in (request.get("ProcessingOutputConfig") or {}).get("Outputs", []):
        folder.make(output["S3Output"]["LocalPath"])


def write_training_configuration(folder: JobFolder, request: Mapping[str, Any], host: str) -> None:
    """Write the files a training container finds, and make the folders it may write to."""
    config = "/opt/ml/input/config"
    channels: Sequence[Mapping[str, Any]] = request.get("InputDataConfig") or []
    folder.write_json(f"{config}/hyperparameters.json", request.get("HyperParameters") or {})
    folder.write_json(
        f"{config}/inputdataconfig.json", {c["ChannelName"]: _channel_config(c, request) for c in channels}
    )
    folder.write_json(f"{config}/resourceconfig.json", _resource_config(request["ResourceConfig"], host))
    for path in ("/opt/ml/model", "/opt/ml/output/data", "/opt/ml/input/data"):
        folder.make(path)


def _channel_config(channel: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    source = channel["DataSource"]["S3DataSource"]
    config = {
        "TrainingInputMode": channel.get("InputMode")
        or request["AlgorithmSpecification"]["TrainingInputMode"],
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": channel.get("RecordWrapperType", "None"),
    }
    if content_type := channel.get("ContentType"):
        config["ContentType"] = content_type
    return config


def _resource_config(cluster: Mapping[str, Any], host: str) -> dict[str, Any]:
    names = hosts(cluster["InstanceCount"])
    return {
        "current_host": host,
        "current_instance_type": cluster["InstanceType"],
        "current_group_name": "homogeneousCluster",
        "hosts": names,
        "instance_groups": [
            {
                "instance_group_name": "homogeneousCluster",
                "instance_type": cluster["InstanceType"],
                "hosts": names,
            }
        ],
        "network_interface_name": LOOPBACK_INTERFACE,
    }
