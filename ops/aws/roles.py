"""Work as a role of the deployment: the uploader role to upload, the break-glass role to delete for good.

The bucket of a hardened deployment lets nobody else do either, an administrator among them; in the default
profile there is no such role, and people work as themselves. Whoever is the role already, by a profile with
its `role_arn`, goes on as they are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import boto3
import botocore.session
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.exceptions import ClientError

from ops.aws.session import ClientFactory, on_this_machine, settings
from ops.aws.stack import StackOutputs
from ops.errors import DENIED, OpsError, RoleRefusedError, error_code, error_message

NONE = "none"
"""Said of a role, it means the person's own identity."""
_ROLE = re.compile(r"arn:[a-z-]+:iam::\d{12}:role/\S+")


class SecondFactor(NamedTuple):
    """The serial number or ARN of a person's MFA device, and the code that it shows."""

    serial: str
    code: str


class _RoleClients:
    """ClientFactory with the credentials of a role, for the region and endpoint that another client has."""

    def __init__(self, sts: Any, credentials: Any) -> None:
        here = on_this_machine(sts)
        # Local AWS is no business of the profiles and files of this machine's user.
        nothing = dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None))
        unset = {**nothing, "profile": (None, None, None, None)} if here else None
        session = botocore.session.Session(unset)
        session._credentials = credentials  # botocore has no other way to hand over refreshable ones
        self._session = boto3.Session(botocore_session=session, region_name=sts.meta.region_name)
        self._endpoint = sts.meta.endpoint_url if here else None

    def client(self, service: str, /) -> Any:
        """Make a boto3 client of `service` with the role's credentials."""
        return self._session.client(
            service, endpoint_url=self._endpoint, config=settings(service, direct=self._endpoint is not None)
        )


def uploader(clients: ClientFactory, deployed: StackOutputs, wanted: str | None = None) -> ClientFactory:
    """Return clients of the role that may upload: `wanted`, else the stack's, if it is hardened and has one.

    Raises:
        OpsError: `wanted` is neither the ARN of a role nor `none`.
        RoleRefusedError: The person may not assume it.
    """
    if wanted and wanted != NONE and not _ROLE.fullmatch(wanted):
        legal = "the ARN of a role, arn:aws:iam::<account>:role/<name>, or none to stay who you are"
        raise OpsError(f"--as-role {wanted!r}: write {legal}")
    role_arn = wanted or deployed.outputs.get("UploaderRoleArn", NONE)
    return clients if role_arn == NONE else assume(clients, role_arn)


def assume(clients: ClientFactory, role_arn: str, factor: SecondFactor | None = None) -> ClientFactory:
    """Return clients of a role, which renew its credentials unless a second factor was needed for them.

    Raises:
        RoleRefusedError: AWS refuses it, with what to allow to whom.
    """
    sts = clients.client("sts")
    person = str(sts.get_caller_identity()["Arn"])
    if _is_session(person, role_arn):
        return clients
    request = {"RoleArn": role_arn, "RoleSessionName": _session_name(person)}
    if factor:
        request |= {"SerialNumber": factor.serial, "TokenCode": factor.code}

    def fetch() -> dict[str, Any]:
        given = sts.assume_role(**request)["Credentials"]
        return {
            "access_key": given["AccessKeyId"],
            "secret_key": given["SecretAccessKey"],
            "token": given["SessionToken"],
            "expiry_time": given["Expiration"].isoformat(),
        }

    try:
        first = fetch()
    except ClientError as error:
        if error_code(error) not in DENIED:
            raise
        raise RoleRefusedError(_refused(person, role_arn, error_message(error), factor)) from error
    return _RoleClients(sts, _credentials(first, None if factor else fetch))


def _credentials(first: Mapping[str, Any], fetch: Any) -> Any:
    if fetch is None:
        return Credentials(first["access_key"], first["secret_key"], first["token"])
    return RefreshableCredentials.create_from_metadata(first, refresh_using=fetch, method="sts-assume-role")


def _is_session(person: str, role_arn: str) -> bool:
    """Return whether `person` is a session of the role; STS leaves the role's path out of a session's ARN."""
    of, _, rest = person.partition(":assumed-role/")
    account, name = role_arn.split(":")[4], role_arn.rpartition("/")[2]
    return bool(rest) and of.endswith(f":{account}") and rest.partition("/")[0] == name


def _session_name(person: str) -> str:
    """Name the session after the person, as CloudTrail shows it."""
    name = re.sub(r"[^\w+=,.@-]", "-", person.rpartition("/")[2].rpartition(":")[2], flags=re.ASCII)
    return name[:64] if len(name) > 1 else f"{name}-ops"


def _refused(person: str, role_arn: str, message: str, factor: SecondFactor | None) -> str:
    lines = [
        f"{person} may not work as {role_arn}, and nobody else may do this here: {message}",
        f"Allow it sts:AssumeRole on {role_arn} in an IAM policy of its own. A deployment with uploader_arns "
        "or break_glass_arns has to name it, too (-c, then `make deploy`)",
    ]
    if factor:
        lines.append(
            f"A code counts once, and from a device of this user alone: try the next of {factor.serial}"
        )
    elif "-break-glass-" in role_arn:
        lines.append(
            "The break-glass role takes a second factor unless it was deployed without: as an IAM user give "
            "--mfa-serial with the ARN of your device. A session of a role has none, so a deployment for it "
            "needs break_glass_requires_mfa=false"
        )
    return "\n  ".join(lines)
