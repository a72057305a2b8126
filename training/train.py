"""The steps TrainSpot and TrainOnDemand: the same code, data and hyper-parameters give the same bits.

    python -m training.train        (as a container: hyper-parameters from /opt/ml/input/config)
    python -m training.train --help shows them all

Reads the channels train and validation (and pretrained, for a backbone whose weights the image has not),
writes model.safetensors and model.json to /opt/ml/model and checkpoints to /opt/ml/checkpoints. SIGTERM: a
checkpoint, then exit 143. With several instances or GPUs, one process trains on each, all of them one model.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training import distributed, job
from training.hyper_parameters import as_help, parse_hyper_parameters
from training.job import StopRequest
from training.paths import Paths, read_json


def train(paths: Paths, stop: StopRequest) -> None:
    """Check the request, then train; torch is imported only for a request that can be trained."""
    strings = check_request(paths)
    # Without this cuBLAS is not deterministic; it is read when CUDA starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    from training import fit  # noqa: PLC0415 - two seconds that a wrong request does not take

    fit.run(paths, strings, stop)


def check_request(paths: Paths) -> Mapping[str, Any]:
    """Return the hyper-parameters as they were given, if they and the folders can be used."""
    checkpoints = [paths.checkpoints] if paths.checkpoints.exists() else []  # else the job keeps none
    job.check_writable(paths.failure.parent, paths.model, *checkpoints)
    if not paths.hyper_parameters.exists():  # a job without hyper-parameters: the defaults
        return {}
    strings = read_json(paths.hyper_parameters, "the hyper-parameters")
    parse_hyper_parameters(strings)
    return strings


def processes_here() -> int:
    """Count the processes that this instance runs: one for each GPU that PyTorch can use."""
    count = distributed.processes_of_an_instance()
    if count > 1 and "+cpu" in importlib.metadata.version("torch"):
        print(f"warning: {count} GPUs are not used: the image has PyTorch for CPUs only", file=sys.stderr)
        return 1
    return count


def main(argv: Sequence[str] = ()) -> int:
    """Run as a container does and return the exit code."""
    if {"-h", "--help"} & set(argv):
        print(f"{__doc__}\n{as_help()}")
        return job.SUCCEEDED
    paths = Paths.from_environment()
    reason_file = os.environ.get(distributed.REASON_FILE)
    if reason_file:  # one of the processes of an instance
        stop = StopRequest.on_sigterm(at_once=True)
        return job.run(lambda: train(paths, stop), Path(reason_file))
    return job.run(lambda: _start(paths), paths.failure)


def _start(paths: Paths) -> int:
    stop = StopRequest.on_sigterm(at_once=True)
    hosts, count = paths.training_hosts(), processes_here()
    if count * len(hosts.names) == 1:
        train(paths, stop)
        return job.SUCCEEDED
    check_request(paths)
    return distributed.run_processes(hosts, count, "training.train", paths.failure)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
