"""A training job from its channels to model.tar.gz, on one host or several, over all spot interruptions."""

from __future__ import annotations

import itertools
import logging
import random
import socket
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.engine.jobs.archive import write_archive
from local.engine.jobs.checkpoint_sync import DEFAULT_PATH, CheckpointSync
from local.engine.jobs.container import Container, ContainerRequest, is_own_image
from local.engine.jobs.folder import JobFolder, hosts, write_training_configuration
from local.engine.jobs.metrics import JobMetrics
from local.engine.jobs.records import REASON_LIMIT, JobFailedError, JobStoppedError, TrainingJob
from local.engine.jobs.session import Ending, JobSession
from local.engine.jobs.spot import SPOT_PRICE_SHARE, SpotCapacity
from local.engine.jobs.transfer import Download, S3Uri, regular_files

_LOG = logging.getLogger(__name__)
_DEFAULT_RUNTIME_SECONDS = 86_400
"""SageMaker's own limit for a request that names none: one day."""
_LOOPBACK = "127.0.0.1"
_MASTER_PORTS = range(15_000, 32_000)
"""Below the ports that systems give to outgoing connections: a free one is still free when it is used."""


def run_training(job: TrainingJob, session: JobSession) -> None:
    """Run the job to its end; raise JobFailedError or JobStoppedError where it does not complete."""
    session.authorize_pull(job.request["AlgorithmSpecification"]["TrainingImage"])
    names = hosts(job.request["ResourceConfig"]["InstanceCount"])
    _raise_if_apart(job, session, names)
    spot = bool(job.request.get("EnableManagedSpotTraining"))
    job.billable_share = SPOT_PRICE_SHARE if spot else 1.0
    training = _Training(job, session, SpotCapacity(session.settings.interruptions if spot else 0))
    retries = (job.request.get("RetryStrategy") or {}).get("MaximumRetryAttempts", 0)
    while True:
        try:
            training.run(names)
            return
        except (JobFailedError, JobStoppedError, ClientError, BotoCoreError, OSError):
            raise  # the job's own, its data's or its role's: SageMaker does not repeat those
        except Exception:
            if not retries or session.stopped():
                raise
            retries -= 1
            _LOG.exception("Training job %s met a fault of local AWS itself; it is started again", job.name)
        session.remove_folders()
        job.enter("Starting", "Starting the training job again after an internal error")


class _Clock:
    """The limits of one job: how long it may train, and for spot how long it may take in all."""

    def __init__(self, job: TrainingJob) -> None:
        condition = job.request.get("StoppingCondition") or {}
        self._job = job
        self._runtime: int = condition.get("MaxRuntimeInSeconds", _DEFAULT_RUNTIME_SECONDS)
        wait = condition.get("MaxWaitTimeInSeconds")
        self._end_of_wait: float = time.monotonic() + wait if wait else float("inf")

    def deadline(self) -> float:
        """Return the time.monotonic() at which the attempt that starts now is to end."""
        return min(time.monotonic() + self._runtime - self._job.training_seconds, self._end_of_wait)

    def no_more_waiting(self) -> bool:
        """Whether the job has taken MaxWaitTimeInSeconds."""
        return time.monotonic() >= self._end_of_wait


class _Training:
    """The attempts of one training job; metrics go on from one to the next."""

    def __init__(self, job: TrainingJob, session: JobSession, capacity: SpotCapacity) -> None:
        self._job = job
        self._session = session
        self._capacity = capacity
        self._clock = _Clock(job)
        self._numbers = itertools.count(1)
        wanted = job.request["AlgorithmSpecification"].get("MetricDefinitions")
        self._metrics = JobMetrics(job, session.client("cloudwatch")) if wanted else None

    def run(self, names: Sequence[str]) -> None:
        """Run the job on these hosts until it ends, over all spot interruptions."""
        job = self._job
        for number in self._numbers:
            folders = {name: self._session.folder(f"attempt-{number}", name) for name in names}
            ending, failed = self._attempt(folders)
            if ending is not Ending.INTERRUPTED:
                break
            self._capacity.take()
            for folder in folders.values():
                folder.remove()
            if self._clock.no_more_waiting():
                job.end(
                    "Stopped", "MaxWaitTimeExceeded", "Training job waited longer than MaxWaitTimeInSeconds"
                )
                return
            job.enter("Starting", "Starting the training job again on new spot capacity")
        if failed:
            reason = _reason(failed.folder, folders.values()) or "See job logs for more information"
            raise failed.failure(reason)
        _conclude(job, self._session, list(folders.values()), ending, self._clock)

    def _attempt(self, folders: Mapping[str, JobFolder]) -> tuple[Ending, Container | None]:
        """Run the hosts' containers once, from the channels to the end; return it, and which failed first."""
        job, session = self._job, self._session
        job.enter("Pending", "Preparing the instances for training")
        for host, folder in folders.items():
            write_training_configuration(folder, job.request, host)
        job.enter("Downloading", "Downloading input data")
        session.transfer.download_inputs(
            d for number, folder in enumerate(folders.values()) for d in _downloads(job, folder, number)
        )
        checkpoints = self._restore_checkpoints(folders.values())
        session.raise_if_stopped()
        watch = self._capacity.watch([sync.folder for sync in checkpoints])
        job.enter("Training", "Training image download completed. Training in progress.")
        started = time.monotonic()
        try:
            with session.start(self._containers(folders), self._metrics) as containers:
                ending, failed = containers.wait(
                    self._clock.deadline(),
                    [sync.tick for sync in checkpoints],
                    watch.has_new if watch else None,
                )
        finally:
            job.training_seconds += time.monotonic() - started
        if ending is Ending.INTERRUPTED:
            job.enter("Interrupted", "Spot capacity was reclaimed")
        for sync in checkpoints:
            sync.flush()
        return ending, failed

    def _restore_checkpoints(self, folders: Iterable[JobFolder]) -> list[CheckpointSync]:
        """Fetch the checkpoints to every host; each host's changes go to the one place in S3."""
        config = self._job.request.get("CheckpointConfig")
        if not config:
            return []
        syncs = [
            CheckpointSync(
                folder.path(config.get("LocalPath") or DEFAULT_PATH),
                S3Uri.parse(config["S3Uri"]),
                self._session.transfer,
                self._session.settings.checkpoint_interval,
            )
            for folder in folders
        ]
        for sync in syncs:
            sync.restore()
        return syncs

    def _containers(self, folders: Mapping[str, JobFolder]) -> list[ContainerRequest]:
        job = self._job
        algorithm = job.request["AlgorithmSpecification"]
        entrypoint = algorithm.get("ContainerEntrypoint") or ()
        network = not job.request.get("EnableNetworkIsolation", False)
        variables = {"TRAINING_JOB_NAME": job.name, "TRAINING_JOB_ARN": job.arn, **_meeting_place(folders)}
        return [
            ContainerRequest(
                name=f"{job.name}-{host}",
                image=algorithm["TrainingImage"],
                entrypoint=entrypoint,
                # Without an entry point SageMaker starts `image train`.
                arguments=algorithm.get("ContainerArguments") or (() if entrypoint else ("train",)),
                environment=self._session.environment(variables, network=network),
                folder=folder,
                network=network,
            )
            for host, folder in folders.items()
        ]


def _reason(ended_first: JobFolder, folders: Iterable[JobFolder]) -> str | None:
    """Return what the host that failed first left as its reason, None where it left none.

    A host that another's failure takes along may be the first to end, but then it wrote later.
    """
    if not _failure(ended_first):
        return None
    return min(filter(None, map(_failure, folders)))[1]


def _failure(folder: JobFolder) -> tuple[int, str] | None:
    """Return when a host wrote its reason, and the reason."""
    said = folder.read_message("/opt/ml/output/failure", REASON_LIMIT)
    return (folder.path("/opt/ml/output/failure").stat().st_mtime_ns, said) if said else None


def _raise_if_apart(job: TrainingJob, session: JobSession, names: Sequence[str]) -> None:
    """Raise JobFailedError where the hosts are containers of Docker that cannot reach each other."""
    image = job.request["AlgorithmSpecification"]["TrainingImage"]
    own = is_own_image(image, session.settings.own_images)
    if len(names) > 1 and job.request.get("EnableNetworkIsolation", False) and not own:
        raise JobFailedError(
            "ClientError: On local AWS an isolated training job with several instances runs with this "
            "repository's own image alone: Docker's isolation parts the instances, too. Take that image, "
            "or one instance."
        )


def _meeting_place(names: Collection[str]) -> dict[str, str]:
    """Return where several hosts find the first: their names mean nothing on this machine."""
    if len(names) == 1:
        return {}
    for port in random.sample(_MASTER_PORTS, len(_MASTER_PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_LOOPBACK, port))
            except OSError:
                continue  # in use
        return {"MASTER_ADDR": _LOOPBACK, "MASTER_PORT": str(port)}
    raise JobFailedError(f"ClientError: No port from {_MASTER_PORTS[0]} to {_MASTER_PORTS[-1]} is free here")


def _downloads(job: TrainingJob, folder: JobFolder, number: int) -> list[Download]:
    """Return what host `number` gets of each channel: all of it, or its share of the keys."""
    count = job.request["ResourceConfig"]["InstanceCount"]
    downloads = []
    for channel in job.request.get("InputDataConfig") or []:
        source: Mapping[str, Any] = channel["DataSource"]["S3DataSource"]
        sharded = source.get("S3DataDistributionType") == "ShardedByS3Key"
        target = folder.make(f"/opt/ml/input/data/{channel['ChannelName']}")
        shard = (number, count) if sharded else (0, 1)
        downloads.append(Download(S3Uri.parse(source["S3Uri"]), target, shard))
    return downloads


def _conclude(
    job: TrainingJob, session: JobSession, folders: Sequence[JobFolder], ending: Ending, clock: _Clock
) -> None:
    """Take the model to S3 and write the job's end; a stopped job's model is kept too."""
    if session.closing.is_set():
        raise JobStoppedError
    job.enter("Uploading", "Uploading generated training model")
    _upload(job, session, folders)
    if ending is Ending.EXITED:
        job.end("Completed", "Completed", "Training job completed")
    elif ending is Ending.STOPPED:
        job.end("Stopped", "Stopped", "Training job stopped")
    elif clock.no_more_waiting():
        job.end("Stopped", "MaxWaitTimeExceeded", "Training job waited longer than MaxWaitTimeInSeconds")
    else:
        job.end("Stopped", "MaxRuntimeExceeded", "Training job runtime exceeded MaxRuntimeInSeconds")


def _upload(job: TrainingJob, session: JobSession, folders: Sequence[JobFolder]) -> None:
    """Put model.tar.gz, and output.tar.gz when there is output data, under <S3OutputPath>/<job>/output/.

    Each is one archive of what all hosts wrote, which AWS asks to have different names:
    https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-output.html
    """
    config = job.request["OutputDataConfig"]
    output = S3Uri.parse(config["S3OutputPath"]).join(f"{job.name}/output")

    def upload(files: Mapping[str, Path], name: str) -> None:
        archive = folders[0].root / name
        write_archive(files, archive)
        session.transfer.upload_file(archive, output.join(name), config.get("KmsKeyId"))
        archive.unlink()

    upload(_written("/opt/ml/model", folders), "model.tar.gz")
    job.model_artifacts = str(output.join("model.tar.gz"))
    if data := _written("/opt/ml/output/data", folders):
        upload(data, "output.tar.gz")


def _written(place: str, folders: Sequence[JobFolder]) -> dict[str, Path]:
    """Return the files of all hosts by name; raise JobFailedError where two wrote the same name."""
    files: dict[str, Path] = {}
    for folder in folders:
        for name, path in regular_files(folder.path(place)):
            # Which of them SageMaker would keep, AWS does not say.
            if name in files:
                raise JobFailedError(
                    f"ClientError: Two instances wrote {place}/{name}, and one archive holds what all wrote: "
                    "let one instance write it, or have each write under another name"
                )
            files[name] = path
    return files
