"""Run the jobs of SageMaker on this machine: inputs from S3, a process with its own /opt/ml, outputs to S3.

The methods of `JobRunner` block until the job has ended; the service gives each job a thread.
Everything is done with the rights of the job's role.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from botocore.exceptions import BotoCoreError, ClientError

from local.engine.host import Host
from local.engine.jobs.processing import run_processing
from local.engine.jobs.protection import check_protection
from local.engine.jobs.records import JobFailedError, JobRecord, JobStoppedError, ProcessingJob, TrainingJob
from local.engine.jobs.session import JobSession, JobSettings
from local.engine.jobs.training import run_training

PROCESSING_LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
TRAINING_LOG_GROUP = "/aws/sagemaker/TrainingJobs"
_OWN_FAULT = "InternalServerError: A fault of local AWS itself ended the job; its console shows it."


class JobRunner:
    """Runs jobs for one host."""

    def __init__(self, host: Host, settings: JobSettings) -> None:
        self._host = host
        self._settings = settings
        self._closing = threading.Event()

    def close(self) -> None:
        """Make every job stop; each ends within the close grace, and so do its processes."""
        self._closing.set()

    def run_processing_job(self, job: ProcessingJob) -> None:
        """Run a processing job to its end, whatever that is."""
        self._run(job, PROCESSING_LOG_GROUP, lambda session: run_processing(job, session), job.finish)

    def run_training_job(self, job: TrainingJob) -> None:
        """Run a training job to its end, whatever that is."""

        def end(status: str, reason: str | None = None) -> None:
            job.end(status, status, f"Training job {status.lower()}", reason)

        self._run(job, TRAINING_LOG_GROUP, lambda session: run_training(job, session), end)

    def _run(
        self,
        job: JobRecord,
        log_group: str,
        work: Callable[[JobSession], None],
        end: Callable[[str, str | None], None],
    ) -> None:
        session = None
        try:
            session = JobSession(self._host, self._settings, job, log_group, self._closing)
            check_protection(self._host, session.role_arn, job.request)
            work(session)
        except JobStoppedError:
            end("Stopped", None)
        except JobFailedError as failed:
            end("Failed", session.as_in_container(str(failed)) if session else str(failed))
        except (ClientError, BotoCoreError, OSError) as error:
            # A full disk comes here as "No space left on device" with the path.
            said = f"ClientError: {error}"
            end("Failed", session.as_in_container(said) if session else said)
        finally:
            if job.running:
                end("Failed", _OWN_FAULT)
            if session:
                session.close()
