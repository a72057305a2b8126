"""A training job from its channels to model.tar.gz, over as many spot interruptions as there are."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

from local.engine.jobs.archive import write_archive
from local.engine.jobs.checkpoint_sync import DEFAULT_PATH, CheckpointSync
from local.engine.jobs.container import ContainerRequest
from local.engine.jobs.folder import JobFolder, write_training_configuration
from local.engine.jobs.metrics import JobMetrics
from local.engine.jobs.records import REASON_LIMIT, JobFailedError, JobStoppedError, TrainingJob
from local.engine.jobs.session import Ending, JobSession
from local.engine.jobs.spot import SPOT_PRICE_SHARE, SpotCapacity
from local.engine.jobs.transfer import Download, S3Uri, regular_files

HOST = "algo-1"
_DEFAULT_RUNTIME_SECONDS = 86_400
"""SageMaker's own limit for a request that names none: one day."""


def run_training(job: TrainingJob, session: JobSession) -> None:
    """Run the job to its end; raise JobFailedError or JobStoppedError where it does not complete."""
    session.authorize_pull(job.request["AlgorithmSpecification"]["TrainingImage"])
    spot = bool(job.request.get("EnableManagedSpotTraining"))
    job.billable_share = SPOT_PRICE_SHARE if spot else 1.0
    capacity = SpotCapacity(session.settings.interruptions if spot else 0)
    clock = _Clock(job)
    training = _Training(job, session, capacity)
    for number in itertools.count(1):
        folder = session.folder(f"attempt-{number}", HOST)
        ending, code = training.attempt(folder, clock)
        if ending is not Ending.INTERRUPTED:
            break
        capacity.take()
        folder.remove()
        if clock.no_more_waiting():
            job.end("Stopped", "MaxWaitTimeExceeded", "Training job waited longer than MaxWaitTimeInSeconds")
            return
        job.enter("Starting", "Starting the training job again on new spot capacity")
    _raise_if_failed(folder, ending, code)
    _conclude(job, session, folder, ending, clock)


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
        wanted = job.request["AlgorithmSpecification"].get("MetricDefinitions")
        self._metrics = JobMetrics(job, session.client("cloudwatch")) if wanted else None

    def attempt(self, folder: JobFolder, clock: _Clock) -> tuple[Ending, int]:
        """Run the container once, from the channels to its end."""
        job, session = self._job, self._session
        write_training_configuration(folder, job.request, HOST)
        job.enter("Downloading", "Downloading input data")
        session.transfer.download_inputs(_downloads(job, folder))
        checkpoints = self._restore_checkpoints(folder)
        session.raise_if_stopped()
        watch = self._capacity.watch(checkpoints.folder if checkpoints else None)
        job.enter("Training", "Training image download completed. Training in progress.")
        started = time.monotonic()
        try:
            with session.start([self._container(folder)], self._metrics) as containers:
                ending, code = containers.wait(
                    clock.deadline(),
                    checkpoints.tick if checkpoints else None,
                    watch.has_new if watch else None,
                )
        finally:
            job.training_seconds += time.monotonic() - started
        if ending is Ending.INTERRUPTED:
            job.enter("Interrupted", "Spot capacity was reclaimed")
        if checkpoints:
            checkpoints.flush()
        return ending, code

    def _restore_checkpoints(self, folder: JobFolder) -> CheckpointSync | None:
        config = self._job.request.get("CheckpointConfig")
        if not config:
            return None
        sync = CheckpointSync(
            folder.path(config.get("LocalPath") or DEFAULT_PATH),
            S3Uri.parse(config["S3Uri"]),
            self._session.transfer,
            self._session.settings.checkpoint_interval,
        )
        sync.restore()
        return sync

    def _container(self, folder: JobFolder) -> ContainerRequest:
        job = self._job
        algorithm = job.request["AlgorithmSpecification"]
        entrypoint = algorithm.get("ContainerEntrypoint") or ()
        network = not job.request.get("EnableNetworkIsolation", False)
        variables = {"TRAINING_JOB_NAME": job.name, "TRAINING_JOB_ARN": job.arn}
        return ContainerRequest(
            name=f"{job.name}-{HOST}",
            image=algorithm["TrainingImage"],
            entrypoint=entrypoint,
            # Without an entry point SageMaker starts `image train`.
            arguments=algorithm.get("ContainerArguments") or (() if entrypoint else ("train",)),
            environment=self._session.environment(variables, network=network),
            folder=folder,
            network=network,
        )


def _downloads(job: TrainingJob, folder: JobFolder) -> list[Download]:
    return [
        Download(
            S3Uri.parse(channel["DataSource"]["S3DataSource"]["S3Uri"]),
            folder.make(f"/opt/ml/input/data/{channel['ChannelName']}"),
        )
        for channel in job.request.get("InputDataConfig") or []
    ]


def _raise_if_failed(folder: JobFolder, ending: Ending, code: int) -> None:
    if ending is Ending.EXITED and code:
        said = folder.read_message("/opt/ml/output/failure", REASON_LIMIT)
        raise JobFailedError(
            f"AlgorithmError: {said or 'See job logs for more information'}, exit code: {code}"
        )


def _conclude(
    job: TrainingJob, session: JobSession, folder: JobFolder, ending: Ending, clock: _Clock
) -> None:
    """Take the model to S3 and write the job's end; a stopped job's model is kept too."""
    if session.closing.is_set():
        raise JobStoppedError
    job.enter("Uploading", "Uploading generated training model")
    _upload(job, session, folder)
    if ending is Ending.EXITED:
        job.end("Completed", "Completed", "Training job completed")
    elif ending is Ending.STOPPED:
        job.end("Stopped", "Stopped", "Training job stopped")
    elif clock.no_more_waiting():
        job.end("Stopped", "MaxWaitTimeExceeded", "Training job waited longer than MaxWaitTimeInSeconds")
    else:
        job.end("Stopped", "MaxRuntimeExceeded", "Training job runtime exceeded MaxRuntimeInSeconds")


def _upload(job: TrainingJob, session: JobSession, folder: JobFolder) -> None:
    """Put model.tar.gz, and output.tar.gz when there is output data, under <S3OutputPath>/<job>/output/."""
    config = job.request["OutputDataConfig"]
    output = S3Uri.parse(config["S3OutputPath"]).join(f"{job.name}/output")

    def upload(source: Path, name: str) -> None:
        archive = folder.root / name
        write_archive(source, archive)
        session.transfer.upload_file(archive, output.join(name), config.get("KmsKeyId"))
        archive.unlink()

    upload(folder.path("/opt/ml/model"), "model.tar.gz")
    job.model_artifacts = str(output.join("model.tar.gz"))
    data = folder.path("/opt/ml/output/data")
    if any(regular_files(data)):
        upload(data, "output.tar.gz")
