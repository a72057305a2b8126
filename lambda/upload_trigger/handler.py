"""Start the pipeline that was uploaded: an S3 event becomes one execution of exactly those bytes.

Lambda calls `handler` for each upload below `pipeline/`, and the schedule calls it to find what got lost.
What becomes of an upload is left beside it (see verdicts.py). What may pass by itself is raised, so that
Lambda tries again and at last leaves the event in the failure queue; what was done is not done again.
"""

import functools
import json
import logging
import math
import os
from datetime import timedelta
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from upload_trigger.delivery import Clients, Delivery
from upload_trigger.reconciliation import Reconciliation, UnfinishedError
from upload_trigger.settings import Settings, SettingsError
from upload_trigger.uploads import UploadError, read_event, read_record
from upload_trigger.verdicts import Verdict

log = logging.getLogger("upload_trigger")
log.setLevel(logging.INFO)

# Three attempts of one call (connect + read, and the pauses) stay below the function's timeout.
CLIENT_CONFIG = Config(
    connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3}
)
LEAST_BOTOCORE = "1.40.0"
"""Runtimes have their SDK by region and month."""
ENOUGH_TIME = 30_000
"""Milliseconds that a reconciliation leaves for the uploads at hand."""
NAMED = ("verdict", "bucket", "key", "versionId")
MAX_ANSWER_BYTES = 1_048_576
"""Lambda gives back six times as much; who wants the rest reads it beside the upload."""


class StartError(RuntimeError):
    """Something was left undone; trying again later is safe and makes sense."""


@functools.cache
def clients() -> Clients:
    """Return the clients, made once for the life of the process.

    By botocore itself: boto3's are the same, and importing it takes a tenth of a cold start.
    """
    session = botocore.session.Session()
    s3, sagemaker = (session.create_client(service, config=CLIENT_CONFIG) for service in ("s3", "sagemaker"))
    start = sagemaker.meta.service_model.operation_model("StartPipelineExecution").input_shape
    if "PipelineVersionId" not in start.members:
        raise StartError(
            f"this runtime has botocore {botocore.__version__}, whose StartPipelineExecution has no "
            f"PipelineVersionId; botocore {LEAST_BOTOCORE} or later is needed"
        )
    return Clients(s3, sagemaker)


# Lambda sets its region before it imports this, and lends an import a whole processor: later it would take
# seconds. Elsewhere the first event makes them, and says what is missing.
if "AWS_REGION" in os.environ:
    clients()


def handler(event: Any, context: Any) -> list[Verdict]:
    """Return the verdicts on the uploads of an event; raise `StartError` at the end if any has none.

    An event is S3's own, or `{"reconcile": {"minimumAgeSeconds": 900, "failed": false}}`.
    """
    try:
        if isinstance(event, dict) and "reconcile" in event:
            return _answer(_reconcile(event["reconcile"], context))
        records = read_event(event)
        return _answer(_deliver(records)) if records else []
    except (BotoCoreError, ClientError, SettingsError, UnfinishedError, UploadError) as error:
        raise StartError(f"{type(error).__name__}: {error}") from error


def _deliver(records: list[Any]) -> list[Verdict]:
    delivery = Delivery(Settings.read(os.environ), clients())
    made, failures = [], []
    for record in records:
        name: object = f"record {record}"
        try:
            upload = read_record(record)
            if upload:
                name = upload
                made.append(delivery.deliver(upload))
        except (BotoCoreError, ClientError, UploadError) as error:
            log.exception("no verdict on %s", name, extra={"upload": str(name)})
            failures.append((name, error))
    if failures:
        reasons = "\n".join(f"{name}: {type(error).__name__}: {error}" for name, error in failures)
        count = f"{len(failures)} of {len(records)} records were left without a verdict"
        raise StartError(f"{count}:\n{reasons}") from failures[0][1]
    return made


def _reconcile(wanted: Any, context: Any) -> list[Verdict]:
    wanted = wanted if isinstance(wanted, dict) else {}
    age, failed = wanted.get("minimumAgeSeconds", 0), wanted.get("failed", False)
    if type(age) is not int or not 0 <= age <= 10**6 or type(failed) is not bool:
        raise UploadError(
            'it must be {"reconcile": {"minimumAgeSeconds": <0 to 1000000>, "failed": <true or false>}}'
        )
    settings, services = Settings.read(os.environ), clients()
    remaining = getattr(context, "get_remaining_time_in_millis", lambda: math.inf)
    return Reconciliation(
        settings=settings,
        services=services,
        minimum_age=timedelta(seconds=age),
        failed=failed,
        out_of_time=lambda: remaining() < ENOUGH_TIME,
    ).run()


def _answer(made: list[Verdict]) -> list[Verdict]:
    """Return verdicts whole as long as they fit into an answer, then what names them."""
    answer: list[Verdict] = []
    size = 0
    for verdict in made:
        size += len(json.dumps(verdict))
        short = size > MAX_ANSWER_BYTES
        answer.append({name: verdict[name] for name in NAMED if name in verdict} if short else verdict)
    return answer
