"""When a step is tried again: which kind of error it was, and what its RetryPolicies say about that kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

SERVICE_FAULT = "Step.SERVICE_FAULT"
THROTTLING = "Step.THROTTLING"
JOB_INTERNAL_ERROR = "SageMaker.JOB_INTERNAL_ERROR"
CAPACITY_ERROR = "SageMaker.CAPACITY_ERROR"
RESOURCE_LIMIT = "SageMaker.RESOURCE_LIMIT"

# The service retries these two of its own accord; a policy of the step comes first.
_DEFAULT_POLICY = {"ExceptionType": [SERVICE_FAULT, THROTTLING], "IntervalSeconds": 1, "MaxAttempts": 5}


class StepFailedError(Exception):
    """A step that ended Failed: its FailureReason, and the exception type that a retry policy may name."""

    def __init__(self, reason: str, exception_type: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.exception_type = exception_type


class StepStoppedError(Exception):
    """A step that ended Stopped, with the reason where nobody asked the execution to stop."""

    def __init__(self, reason: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason


def refused_call(operation: str, error: ClientError | BotoCoreError) -> StepFailedError:
    """Make a step's failure of a call to SageMaker that was refused or did not get through."""
    said: object = error
    if isinstance(error, ClientError):
        refusal = error.response.get("Error", {})
        said = f"{refusal.get('Code')}: {refusal.get('Message', error)}"
    reason = f"ClientError: Failed to invoke sagemaker:{operation}. Error Details: {said}"
    return StepFailedError(reason, _call_exception_type(error))


def failed_job(reason: str) -> StepFailedError:
    """Make a step's failure of the FailureReason of its job."""
    kind = reason.partition(":")[0]
    kinds = {
        "InternalServerError": JOB_INTERNAL_ERROR,
        "CapacityError": CAPACITY_ERROR,
        "ResourceLimitExceeded": RESOURCE_LIMIT,
    }
    return StepFailedError(reason, kinds.get(kind))


def _call_exception_type(error: ClientError | BotoCoreError) -> str | None:
    if isinstance(error, HTTPClientError):
        return SERVICE_FAULT
    if not isinstance(error, ClientError):
        return None
    code = str(error.response.get("Error", {}).get("Code", ""))
    if code == "ResourceLimitExceeded":
        return RESOURCE_LIMIT
    if "Throttl" in code or code == "TooManyRequestsException":
        return THROTTLING
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
    return SERVICE_FAULT if status >= 500 else None


class Retries:
    """The retries of one step: `policies` as in the definition, every duration times `scale`."""

    def __init__(self, policies: Sequence[Mapping[str, Any]], scale: float) -> None:
        self._policies = [*policies, _DEFAULT_POLICY]
        self._scale = scale
        self._used: dict[int, int] = {}

    def delay(self, exception_type: str | None, elapsed: float) -> float | None:
        """Return the seconds to wait before the next attempt, None for no further one.

        `elapsed` is the seconds since the step's start, for ExpireAfterMin.
        """
        for index, policy in enumerate(self._policies):
            if exception_type in policy["ExceptionType"]:
                return self._next(index, policy, elapsed)
        return None

    def _next(self, index: int, policy: Mapping[str, Any], elapsed: float) -> float | None:
        used = self._used.get(index, 0)
        expire = policy.get("ExpireAfterMin")
        limit = policy.get("MaxAttempts", 5 if expire is None else None)
        interval = float(policy.get("IntervalSeconds", 1)) * float(policy.get("BackoffRate", 2.0)) ** used
        delay = interval * self._scale
        if limit is not None and used >= limit:
            return None
        if expire is not None and elapsed + delay > expire * 60 * self._scale:
            return None
        self._used[index] = used + 1
        return delay
