"""The steps TrainSpot and TrainOnDemand: the same code, data and hyper-parameters give the same bits.

    python -m training.train        (as a container: hyper-parameters from /opt/ml/input/config)

Reads the channels train and validation (and pretrained, for a torchvision backbone), writes model.safetensors
and model.json to /opt/ml/model and checkpoints to /opt/ml/checkpoints. SIGTERM: a checkpoint, then exit 143.
"""

from __future__ import annotations

import os
import sys

from training import job
from training.hyper_parameters import HyperParameters, parse_hyper_parameters
from training.job import JobError, StopRequest
from training.paths import Paths, read_json


def train(paths: Paths, stop: StopRequest) -> None:
    """Check the request, then train; torch is imported only for a request that can be trained."""
    checkpoints = [paths.checkpoints] if paths.checkpoints.exists() else []  # else the job keeps none
    job.check_writable(paths.failure.parent, paths.model, *checkpoints)
    hyper_parameters = read_request(paths)
    # Without this cuBLAS is not deterministic; it is read when CUDA starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    from training import training_job  # noqa: PLC0415 - two seconds in which SIGTERM must not be lost

    training_job.run(paths, hyper_parameters, stop)


def read_request(paths: Paths) -> HyperParameters:
    """Read the hyper-parameters and refuse a job of several instances."""
    hosts = paths.training_hosts()
    if len(hosts.names) > 1:
        raise JobError(
            f"training uses one instance, but the job has {len(hosts.names)} ({', '.join(hosts.names)}): "
            "set the training job's InstanceCount to 1 and take a bigger instance type"
        )
    if not paths.hyper_parameters.exists():  # a job without hyper-parameters: the defaults
        return HyperParameters()
    return parse_hyper_parameters(read_json(paths.hyper_parameters, "the hyper-parameters"))


def main() -> int:
    """Run as a container does and return the exit code."""
    stop = StopRequest.on_sigterm()
    paths = Paths.from_environment()
    return job.run(lambda: train(paths, stop), paths.failure)


if __name__ == "__main__":
    sys.exit(main())
