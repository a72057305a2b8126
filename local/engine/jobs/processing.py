"""A processing job from its inputs to its outputs, on one host or several."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from local.engine.jobs.container import Container, ContainerRequest
from local.engine.jobs.folder import JobFolder, hosts, write_processing_configuration
from local.engine.jobs.records import REASON_LIMIT, JobStoppedError, ProcessingJob
from local.engine.jobs.session import Ending, JobSession
from local.engine.jobs.transfer import Download, S3Uri

_DEFAULT_RUNTIME_SECONDS = 86_400
"""SageMaker's own limit for a request that names none: one day."""


def run_processing(job: ProcessingJob, session: JobSession) -> None:
    """Run the job to its end; raise JobFailedError or JobStoppedError where it does not complete."""
    app = job.request["AppSpecification"]
    session.authorize_pull(app["ImageUri"])
    names = hosts(job.request["ProcessingResources"]["ClusterConfig"]["InstanceCount"])
    folders = {name: session.folder(name) for name in names}
    for name, folder in folders.items():
        write_processing_configuration(folder, job.request, job.arn, name)
    session.transfer.download_inputs(
        d for number, folder in enumerate(folders.values()) for d in _downloads(job, folder, number)
    )
    session.raise_if_stopped()
    limit = (job.request.get("StoppingCondition") or {}).get("MaxRuntimeInSeconds", _DEFAULT_RUNTIME_SECONDS)
    job.begin()
    with session.start([_container(job, session, folder) for folder in folders.values()]) as containers:
        ending, failed = containers.wait(time.monotonic() + limit, (), None)
    _conclude(job, session, list(folders.values()), ending, failed)


def _conclude(
    job: ProcessingJob,
    session: JobSession,
    folders: list[JobFolder],
    ending: Ending,
    failed: Container | None,
) -> None:
    message = (folder.read_message("/opt/ml/output/message", REASON_LIMIT) for folder in folders)
    job.exit_message = next((text for text in message if text), None)
    completed = ending is Ending.EXITED and not failed
    if not session.closing.is_set():
        _upload(job, session, folders, completed=completed)
    if completed:
        job.finish("Completed")
    elif failed:
        raise failed.failure("See job logs for more information")
    elif ending is Ending.OUT_OF_TIME:
        job.exit_message = job.exit_message or "The job ran longer than MaxRuntimeInSeconds and was stopped."
        job.finish("Stopped")
    else:
        raise JobStoppedError


def _container(job: ProcessingJob, session: JobSession, folder: JobFolder) -> ContainerRequest:
    app = job.request["AppSpecification"]
    isolated = bool((job.request.get("NetworkConfig") or {}).get("EnableNetworkIsolation"))
    return ContainerRequest(
        name=f"{job.name}-{folder.root.name}",
        image=app["ImageUri"],
        entrypoint=app.get("ContainerEntrypoint") or (),
        arguments=app.get("ContainerArguments") or (),
        environment=session.environment({}, network=not isolated),
        folder=folder,
        network=not isolated,
    )


def _downloads(job: ProcessingJob, folder: JobFolder, number: int) -> list[Download]:
    """Return what host `number` gets of each input: all of it, or its share of the keys."""
    count = job.request["ProcessingResources"]["ClusterConfig"]["InstanceCount"]
    downloads = []
    for item in job.request.get("ProcessingInputs") or []:
        if item.get("AppManaged"):
            continue  # the container fetches it itself
        source = item["S3Input"]
        sharded = source.get("S3DataDistributionType") == "ShardedByS3Key"
        shard = (number, count) if sharded else (0, 1)
        downloads.append(Download(S3Uri.parse(source["S3Uri"]), folder.make(source["LocalPath"]), shard))
    return downloads


def _upload(job: ProcessingJob, session: JobSession, folders: list[JobFolder], *, completed: bool) -> None:
    """Take the outputs of every host to S3; those of a job that did not complete only when Continuous."""
    config: Mapping[str, Any] = job.request.get("ProcessingOutputConfig") or {}
    for output in config.get("Outputs", []):
        target = output["S3Output"]
        if output.get("AppManaged") or not (completed or target["S3UploadMode"] == "Continuous"):
            continue
        for folder in folders:
            place = folder.path(target["LocalPath"])
            session.transfer.upload_folder(place, S3Uri.parse(target["S3Uri"]), config.get("KmsKeyId"))
