"""What can go wrong on the person's side, as sentences: what, where, and the next command.

OpsError                 exit code 2: something given is wrong, or cannot be reached
├── CannotUploadError    the data or the definition was refused before anything was uploaded
├── AbsentError          no such stack, pipeline or execution
├── RoleRefusedError     the role that may do this may not be assumed
├── ReportError          the report, or the page of a data set, cannot be written there
├── FetchError           a published archive did not arrive, or is not what was published
├── StartFailedError     exit code 1: the upload arrived and its execution did not start
│   └── StartTimeoutError nobody said anything in time
├── FunctionFailedError  exit code 1: the deployed function did not do what it was asked to
└── DestroyError         exit code 1: something of the deployment could not be removed

They are click exceptions, so a command line shows them as one sentence and ends with their exit code.
"""

from __future__ import annotations

import click
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)

LOG_IN = "set AWS_PROFILE or run `aws configure`; for local AWS: set -a; . local.env; set +a"
START_LOCAL = "start local AWS with `python -m local up --env-file local.env`"
EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
UNKNOWN_KEYS = frozenset(
    {"InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
)
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
DENIED_BY_RESOURCE = "explicit deny in a resource-based policy"


class OpsError(click.ClickException):
    """Something the person can put right; its message says how."""

    exit_code = 2


class CannotUploadError(OpsError):
    """The data or the definition cannot be uploaded as it is."""


class AbsentError(OpsError):
    """The stack, pipeline or execution does not exist where we looked."""


class RoleRefusedError(OpsError):
    """AWS does not let the person work as the role that they need."""


class ReportError(OpsError):
    """The report, or the page of a data set, cannot be written to the place asked for."""


class FetchError(OpsError):
    """A published archive did not arrive whole, or what is there is something else."""


class StartFailedError(OpsError):
    """The upload arrived, but its execution did not start."""

    exit_code = 1


class StartTimeoutError(StartFailedError):
    """Neither a verdict nor an error appeared in time."""


class FunctionFailedError(OpsError):
    """The deployed function ended with an error; trying again is safe."""

    exit_code = 1


class DestroyError(OpsError):
    """Not all went that was to go; running it again goes on from there."""

    exit_code = 1


def error_code(error: ClientError) -> str:
    """Return AWS's code of a refused call, such as `AccessDenied`."""
    return str(error.response.get("Error", {}).get("Code", ""))


def error_message(error: ClientError) -> str:
    """Return AWS's own sentence of a refused call."""
    return str(error.response.get("Error", {}).get("Message", "")) or str(error)


def explain(error: BotoCoreError | ClientError) -> OpsError:
    """Turn what boto3 raised into one sentence with the next command."""
    if isinstance(error, ClientError):
        return OpsError(_explain_refusal(error))
    match error:
        case NoCredentialsError() | PartialCredentialsError():
            return OpsError(f"no AWS credentials found: {LOG_IN}")
        case ProfileNotFound():
            return OpsError(f"{error}: `aws configure list-profiles` names the ones there are")
        case NoRegionError():
            return OpsError("no AWS region is set: export AWS_REGION=us-east-1 (or the region of your stack)")
        case EndpointConnectionError():
            return OpsError(f"{error} Is it running? For AWS_ENDPOINT_URL on this machine, {START_LOCAL}")
    return OpsError(str(error))


def _explain_refusal(error: ClientError) -> str:
    code, message = error_code(error), error_message(error)
    if code in EXPIRED:
        return f"the AWS credentials have expired: log in again ({LOG_IN})"
    if code in UNKNOWN_KEYS:
        return f"AWS does not accept these credentials ({code}): {LOG_IN}"
    if code in DENIED and DENIED_BY_RESOURCE in message:
        return (
            f"AWS refused {error.operation_name}: {message} (no right of yours changes that. Below pipeline/ "
            "the uploader role of a hardened stack alone writes: leave --as-role out, so that upload and "
            "rollback work as it, or use a profile with its role_arn; docs/operations.md, Roles)"
        )
    if code in DENIED:
        return f"AWS refused {error.operation_name}: {message} (ask for the right to, or set AWS_PROFILE)"
    return f"{error.operation_name} failed with {code}: {message}"
