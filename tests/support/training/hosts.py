"""A training job of several instances: so many processes of the entry point that meet on loopback."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.training.trained_model import training_folder
from training.paths import BASE_VARIABLE, Paths

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class TrainingHosts:
    """The hosts of one job; on leaving, none of their processes goes on."""

    folders: Sequence[Paths]
    processes: list["subprocess.Popen[str]"] = field(default_factory=list)

    @classmethod
    def laid_out(cls, base: Path, outputs: Path, count: int, **given: str) -> "TrainingHosts":
        names = [f"algo-{number + 1}" for number in range(count)]
        folders = [training_folder(base / name, outputs, **given) for name in names]
        for paths, name in zip(folders, names, strict=True):
            config = {"current_host": name, "hosts": names, "network_interface_name": "lo"}
            (paths.hyper_parameters.parent / "resourceconfig.json").write_text(json.dumps(config))
        return cls(folders)

    def start(self) -> "TrainingHosts":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        for paths in self.folders:
            variables = {
                BASE_VARIABLE: str(paths.base),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "OMP_NUM_THREADS": "1",
            }
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "training.train"],
                    cwd=ROOT,
                    env=os.environ | variables,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    start_new_session=True,
                )
            )
        return self

    def __enter__(self) -> "TrainingHosts":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            process.communicate(timeout=60)
        self.processes.clear()

    def kill(self, host: int) -> None:
        """End all processes of a host at once, as the end of its container does."""
        os.killpg(self.processes[host].pid, signal.SIGKILL)

    def wait_for(self, text: str) -> None:
        """Read the first host's log up to a text."""
        stdout = self.processes[0].stdout
        assert stdout
        for line in stdout:
            self._keep(0, line)
            if text in line:
                return
        raise AssertionError(f"the log ended without {text!r}: {self.log()}")

    def _keep(self, host: int, said: str) -> None:
        with (self.folders[host].base / "log.txt").open("a") as log:
            log.write(said)

    def wait(self) -> list[int]:
        """Wait for all of them and return their exit codes; their logs lie beside their folders."""
        for number, process in enumerate(self.processes):
            said, _ = process.communicate(timeout=120)
            self._keep(number, said)
        codes = [process.returncode for process in self.processes]
        self.processes.clear()
        return codes

    def run(self) -> list[int]:
        return self.start().wait()

    def log(self, host: int = 0) -> str:
        return (self.folders[host].base / "log.txt").read_text()

    def failure(self, host: int = 0) -> str:
        return self.folders[host].failure.read_text()
