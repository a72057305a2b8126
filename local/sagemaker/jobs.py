"""Training and processing jobs as any client makes and sees them; each runs in a thread of the runtime."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from local.engine.jobs.records import JobRecord, ProcessingJob, TrainingJob
from local.sagemaker.errors import InUseError, ValidationError
from local.sagemaker.events import training_job_changed
from local.sagemaker.job_network import check_network, check_volume_key
from local.sagemaker.job_rules import check_processing, check_training
from local.sagemaker.listing import between, in_order, page
from local.sagemaker.requests import Call
from local.sagemaker.runtime import ServiceRuntime

Job = TypeVar("Job", bound=JobRecord)


class Jobs(Generic[Job]):
    """All jobs of one kind of one account and region; `noun` is TrainingJob or ProcessingJob."""

    def __init__(
        self,
        runtime: ServiceRuntime,
        make: Callable[[str, str, Any], Job],
        run: Callable[[Job], None],
        check: Callable[[Call], None],
        *,
        noun: str,
        resource: str,
        not_found: str,
    ) -> None:
        # Names are unique, and found, whatever their case: ARNs have them in lower case.
        self.by_name: dict[str, Job] = {}
        self._runtime = runtime
        self._make = make
        self._run = run
        self._check = check
        self._noun = noun
        self._resource = resource
        self._not_found = not_found
        self._lock = threading.Lock()

    def _find(self, call: Call) -> Job:
        name = call[f"{self._noun}Name"]
        job = self.by_name.get(name.lower())
        if job is None:
            raise ValidationError(self._not_found.format(name=name))
        return job

    def create(self, call: Call) -> dict[str, Any]:
        """Answer Create<noun> and start the job."""
        self._check(call)
        check_volume_key(call)
        check_network(call, self._runtime.host)
        name = call[f"{self._noun}Name"]
        arn = self._runtime.arn(f"{self._resource}/{name}")
        self._runtime.check_role(call["RoleArn"], arn)
        with self._lock:
            if name.lower() in self.by_name:
                raise InUseError(
                    f"Job name must be unique within an AWS account and region, and a {self._resource} with "
                    f"this name already exists ({arn})"
                )
            job = self._make(name, arn, call.parameters)
            self._runtime.spawn(f"{self._resource} {name}", self._run, job)
            self.by_name[name.lower()] = job
            self._runtime.job_ends[arn] = job.ended
        return {f"{self._noun}Arn": arn}

    def describe(self, call: Call) -> dict[str, Any]:
        """Answer Describe<noun>."""
        return self._find(call).describe()

    def stop(self, call: Call) -> None:
        """Answer Stop<noun>."""
        job = self._find(call)
        if not job.running:
            raise ValidationError(
                f"The request was rejected because the {self._resource} is in status {job.status}."
            )
        job.request_stop()

    def delete(self, call: Call) -> None:
        """Answer Delete<noun>."""
        job = self._find(call)
        if job.running:
            raise InUseError(f"The {self._resource} {job.name} is {job.status}: stop it first.")
        with self._lock:
            self.by_name.pop(job.name.lower(), None)
            self._runtime.job_ends.pop(job.arn, None)

    def list(self, call: Call) -> dict[str, Any]:
        """Answer List<noun>s."""
        found = [job for job in list(self.by_name.values()) if self._wanted(call, job)]
        keys: dict[str, Callable[[Job], Any]] = {"Name": lambda j: j.name, "Status": lambda j: j.status}
        ordered = in_order(call, found, keys.get(call.get("SortBy", ""), lambda j: j.creation_time))
        summaries = [job.summary() for job in ordered]
        return page(call, summaries, f"{self._noun}Summaries")

    def _wanted(self, call: Call, job: Job) -> bool:
        return (
            call.get("NameContains", "").lower() in job.name.lower()
            and call.get("StatusEquals", job.status) == job.status
            and between(call, job.creation_time, "CreationTimeAfter", "CreationTimeBefore")
            and between(call, job.last_modified_time, "LastModifiedTimeAfter", "LastModifiedTimeBefore")
        )


def training_jobs(runtime: ServiceRuntime) -> Jobs[TrainingJob]:
    """Make the collection of training jobs."""

    def run(job: TrainingJob) -> None:
        training_job_changed(runtime.host, job)
        runtime.jobs.run_training_job(job)
        training_job_changed(runtime.host, job)

    return Jobs(
        runtime,
        TrainingJob,
        run,
        check_training,
        noun="TrainingJob",
        resource="training-job",
        not_found="Requested resource not found.",
    )


def processing_jobs(runtime: ServiceRuntime) -> Jobs[ProcessingJob]:
    """Make the collection of processing jobs."""
    return Jobs(
        runtime,
        ProcessingJob,
        runtime.jobs.run_processing_job,
        check_processing,
        noun="ProcessingJob",
        resource="processing-job",
        not_found="Could not find requested job with name: {name}",
    )
