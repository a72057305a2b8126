"""Several processes that train one model: torch.distributed, started from SageMaker's resource configuration.

One process for each GPU of an instance, or one for an instance without any. The first host is where they
meet. Every process sees all data and takes its share of each batch; they agree on when to stop and on what
to keep, because one that went on alone would wait for the others for ever.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from training.job import FAILED, STOPPED, SUCCEEDED, JobError, write_reason
from training.paths import Hosts

if TYPE_CHECKING:
    from torch import Tensor, nn

PORT = 29500
"""PyTorch's own choice for where processes meet."""
WAIT = datetime.timedelta(minutes=30)
"""For the others: an instance may start, and get its data, long after the first."""
GRACE_SECONDS = 90.0
"""From SIGTERM to SIGKILL for a process that cannot stop; SageMaker's own limit is 120."""
FAILURE_GRACE_SECONDS = 5.0
"""The same where another process has failed, so that nothing can be kept."""
LOST_SECONDS = 2
"""Which a process that has lost another one waits, so that the other one's reason is there first."""
_LOST = (
    "closed by peer",
    "reset by peer",
    "Connection refused",
    "remote process",
    "NCCL",
    "timed out",
    "Broken pipe",
)
"""What gloo and NCCL write of a process that does not answer any more."""
REASON_FILE = "TRAINING_REASON_FILE"
"""The environment variable with the place of one process's reason; the instance's has its starter's name."""


@dataclass(frozen=True)
class World:
    """The processes of a job, and what they say to each other; a single one says nothing."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    joined: bool = False

    @classmethod
    def join(cls, environ: Mapping[str, str] | None = None) -> World:
        """Meet the other processes that torch's variables (RANK, WORLD_SIZE, ...) tell of, if they do."""
        environ = os.environ if environ is None else environ
        if "RANK" not in environ:
            return cls()
        import torch  # noqa: PLC0415 - the process that starts the others needs none
        from torch import distributed  # noqa: PLC0415

        # What is agreed on lies in the CPU's memory, gradients on the GPU.
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        local_rank = int(environ["LOCAL_RANK"])
        if torch.cuda.is_available():
            torch.cuda.set_device(local_rank)
        # While it waits no handler of Python's is run, and there is nothing to keep.
        handler = signal.signal(signal.SIGTERM, signal.SIG_DFL)
        distributed.init_process_group(backend, timeout=WAIT)
        signal.signal(signal.SIGTERM, handler)
        return cls(int(environ["RANK"]), int(environ["WORLD_SIZE"]), local_rank, joined=True)

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes the model, checkpoints and log lines."""
        return self.rank == 0

    def share(self, positions: Sequence[int]) -> Sequence[int]:
        """Return this process's part of what all do together."""
        return positions[self.rank :: self.size]

    def any(self, *flags: bool) -> list[bool]:
        """Return for each flag whether any process has it set."""
        if self.size == 1:
            return list(flags)
        import torch  # noqa: PLC0415
        from torch import distributed  # noqa: PLC0415

        votes = torch.tensor(flags, dtype=torch.int32)
        distributed.all_reduce(votes, op=distributed.ReduceOp.MAX)
        return [bool(vote) for vote in votes.tolist()]

    def sum(self, value: Tensor) -> Tensor:
        """Return the sum of all processes' tensors."""
        if self.size > 1:
            from torch import distributed  # noqa: PLC0415

            value = value.clone()
            distributed.all_reduce(value)
        return value

    def gather(self, rows: Tensor, count: int) -> Tensor:
        """Return all processes' rows in the order of the positions that `share` dealt out, `count` of them.

        A process that `share` left without any has a row all the same, which is not looked at.
        """
        if self.size == 1:
            return rows
        import torch  # noqa: PLC0415
        from torch import distributed  # noqa: PLC0415

        most, mine = -(-count // self.size), len(range(self.rank, count, self.size))
        padded = rows.new_zeros(most, *rows.shape[1:])
        padded[:mine] = rows[:mine]
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        distributed.all_gather(parts, padded)
        return torch.stack(parts, 1).flatten(0, 1)[:count]

    def from_first(self, data: bytes | None) -> bytes | None:
        """Return the first process's bytes everywhere."""
        if self.size == 1:
            return data
        import torch  # noqa: PLC0415
        from torch import distributed  # noqa: PLC0415

        length = torch.tensor([-1 if data is None or not self.is_first else len(data)])
        distributed.broadcast(length, 0)
        if length.item() < 0:
            return None
        content = torch.empty(int(length.item()), dtype=torch.uint8)
        if self.is_first and data:
            content = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        distributed.broadcast(content, 0)
        return content.numpy().tobytes()

    def take_statistics(self, network: nn.Module) -> None:
        """Give every process the first one's batch statistics, which are what is kept."""
        if self.size > 1:
            from torch import distributed  # noqa: PLC0415

            for buffer in network.buffers():
                distributed.broadcast(buffer, 0)

    def check_same(self, fingerprint: str) -> None:
        """Raise a JobError in all processes where one of them trains something else."""
        first = self.from_first(fingerprint.encode())
        if self.any(first != fingerprint.encode())[0]:
            raise JobError(
                "the processes do not have the same hyper-parameters, images, weights, code and kind of "
                "device: give every instance all of each channel (FullyReplicated) and the same image"
            )

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Say in words that another process has gone, which its libraries tell as an error of the network."""
        try:
            yield
        except RuntimeError as error:
            if self.size == 1 or not any(word in str(error) for word in _LOST):
                raise
            time.sleep(LOST_SECONDS)
            raise JobError(
                f"another process of this training has ended, and its own log says why: {error!s:.200}"
            ) from error

    def barrier(self) -> None:
        """Wait until every process is here."""
        self.any(False)

    def leave(self) -> None:
        """End the connection, when nobody needs it any more."""
        if self.joined:
            from torch import distributed  # noqa: PLC0415

            self.barrier()
            distributed.destroy_process_group()


def processes_of_an_instance(devices: Path = Path("/dev")) -> int:
    """Count the GPUs that this process may use, without importing PyTorch; at least one process runs."""
    count = len([path for path in devices.glob("nvidia*") if path.name[6:].isdecimal()])
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:  # it may name what the machine has not
        count = min(count, len([each for each in visible.split(",") if each.strip() not in ("", "-1")]))
    return max(1, count)


def run_processes(hosts: Hosts, count: int, module: str, reason_file: Path) -> int:
    """Run this instance's processes to their end and return the exit code of the job on it.

    SIGTERM goes on to all. When one fails the others are ended, and its reason becomes the instance's.
    """
    group = _Processes(hosts, count, module)
    signal.signal(signal.SIGTERM, group.stop)
    group.start()
    return group.wait(reason_file)


class _Processes:
    def __init__(self, hosts: Hosts, count: int, module: str) -> None:
        self._hosts, self._count, self._module = hosts, count, module
        self._size = count * len(hosts.names)
        self._folder = tempfile.TemporaryDirectory(prefix="training-")
        self._deadline = float("inf")
        self._stopped = False
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start all, unless SIGTERM comes first."""
        for local in range(self._count):
            if not self._stopped:
                environment = os.environ | self._environment(local)
                self._running[self._hosts.rank * self._count + local] = subprocess.Popen(
                    [sys.executable, "-m", self._module], env=environment
                )
        if self._stopped:  # it may have come while one was being started, before that was known here
            self.stop()

    def _environment(self, local: int) -> dict[str, str]:
        rank = self._hosts.rank * self._count + local
        variables = {
            "MASTER_ADDR": os.environ.get("MASTER_ADDR") or self._hosts.names[0],
            "MASTER_PORT": os.environ.get("MASTER_PORT") or str(PORT),
            "RANK": str(rank),
            "LOCAL_RANK": str(local),
            "WORLD_SIZE": str(self._size),
            REASON_FILE: str(self._reason(rank)),
        }
        interface = self._hosts.interface
        if interface and interface in (name for _, name in socket.if_nameindex()):
            variables |= {"GLOO_SOCKET_IFNAME": interface, "NCCL_SOCKET_IFNAME": interface}
        if self._count > 1:  # each would take every core
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            variables["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS") or str(
                max(1, cores // self._count)
            )
        return variables

    def _reason(self, rank: int) -> Path:
        return Path(self._folder.name) / f"reason-{rank}"

    def stop(self, _signal: int = 0, _frame: FrameType | None = None, grace: float = GRACE_SECONDS) -> None:
        """Ask every process to stop, and let none outlive its grace."""
        self._stopped = self._stopped or _signal != 0
        self._deadline = min(self._deadline, time.monotonic() + grace)
        for process in self._running.values():
            process.terminate()

    def wait(self, reason_file: Path) -> int:
        """Wait for all and return the worst of their exit codes, with the first one's reason written."""
        failed: tuple[int, int] | None = None
        stopped = self._stopped
        try:
            while self._running:
                for rank, process in list(self._running.items()):
                    code = process.poll()
                    if code is None:
                        if time.monotonic() > self._deadline:
                            process.kill()
                        continue
                    del self._running[rank]
                    code = STOPPED if self._stopped and code == -signal.SIGTERM else code
                    stopped |= code == STOPPED
                    if code not in (SUCCEEDED, STOPPED) and failed is None:
                        failed = rank, code
                        self.stop(grace=FAILURE_GRACE_SECONDS)
                time.sleep(0.05)
            if failed and not (self._stopped and failed[1] == -signal.SIGKILL):
                return self._fail(*failed, reason_file)
            return STOPPED if stopped or failed else SUCCEEDED
        finally:
            self._folder.cleanup()

    def _fail(self, rank: int, code: int, reason_file: Path) -> int:
        who = f"process {rank + 1} of {self._size}, on {self._hosts.current}"
        path = self._reason(rank)
        if path.is_file():
            reason = path.read_text(encoding="utf-8")
            # Said of all alike by whichever is first: which one it was does not matter to a wrong request.
            # Nor does how it ended: gloo may abort a process that leaves while another one is connected.
            reason = f"{who}: {reason}" if _is_unforeseen(reason) else reason
        elif code < 0:
            name = signal.Signals(-code).name
            memory = "; Linux does that to a process when memory runs out" if name == "SIGKILL" else ""
            reason = f"{who}, was ended by {name}{memory}"
        else:
            reason = f"{who}, ended with exit code {code}; its log says why"
        print(f"error: {' '.join(reason.split())}", file=sys.stderr, flush=True)
        write_reason(reason_file, reason)
        return FAILED


def _is_unforeseen(reason: str) -> bool:
    kind = reason.split(":", 1)[0]
    return kind.isidentifier() and kind.endswith("Error")
