"""What our SageMaker may ask of the AWS around it, answered by the MiniStack in this process."""

from __future__ import annotations

import asyncio
import contextvars
import json
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import boto3
import botocore.serialize
import botocore.session
import ministack.app
from ministack.core import iam_evaluator
from ministack.services import eventbridge, iam, sts

from local.aws.local_aws import client_environment, make_client
from local.engine.host import AccessDeniedError

ADMINISTRATOR = "administrator"
_EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


class ServerHost:
    """The `Host` of SageMaker (local.engine.host)."""

    def __init__(
        self, *, endpoint_url: str, region: str, account: str, work_dir: Path, iam_is_on: bool
    ) -> None:
        self.endpoint_url = endpoint_url
        self.region = region
        self.account = account
        self.work_dir = work_dir
        self.keys = ("", "")
        """The administrator's, once `make_administrator` has made them."""
        self._iam_is_on = iam_is_on
        self._botocore = botocore.session.Session()
        self._session = boto3.session.Session(botocore_session=self._botocore)
        self._lock = threading.Lock()

    def make_administrator(self) -> None:
        """Make a user that may do everything, with keys that no other run has."""
        user = {"UserName": ADMINISTRATOR}
        self.call("iam", "CreateUser", **user)
        policy = {"PolicyName": "everything", "PolicyDocument": json.dumps(_EVERYTHING)}
        self.call("iam", "PutUserPolicy", **user, **policy)
        self.call("iam", "CreateAccessKey", **user)
        (key,) = (
            (name, record["SecretAccessKey"])
            for name, record in iam._access_keys.items()
            if record["UserName"] == ADMINISTRATOR
        )
        self.keys = key

    def client(self, service: str, role_arn: str | None = None) -> Any:
        """Return a boto3 client that calls as the role, or as the administrator."""
        variables = client_environment(self.endpoint_url, self.region, *self.keys)
        if role_arn is not None:
            variables = self.role_environment(role_arn, "local")
        with self._lock:  # sessions are not made for several threads
            return make_client(self._session, service, variables)

    def role_environment(self, role_arn: str, session_name: str) -> dict[str, str]:
        """Return the AWS_* variables of a process that works with temporary keys of the role."""
        role = role_arn.rpartition("/")[2]
        key, secret, token = (
            f"ASIA{secrets.token_hex(8).upper()}",
            secrets.token_hex(20),
            secrets.token_hex(32),
        )
        arn = f"arn:aws:sts::{self.account}:assumed-role/{role}/{session_name[:64]}"
        sts.register_session(
            key,
            {
                "Arn": arn,
                "UserId": f"{role}:{session_name}",
                "SecretAccessKey": secret,
                "SessionToken": token,
            },
        )
        return client_environment(self.endpoint_url, self.region, key, secret, token)

    def role_of(self, access_key_id: str) -> str | None:
        """Return the ARN of the role whose session has this key, None for a user's."""
        arn = str((sts._sessions.get(access_key_id) or {}).get("Arn", ""))
        return role_arn_of(arn) if ":assumed-role/" in arn else None

    def authorize(
        self,
        role_arn: str,
        action: str,
        resource: str,
        context: Mapping[str, str | list[str]] | None = None,
    ) -> None:
        """Raise AccessDenied unless the role's policies and its boundary allow the action."""
        name = role_arn.rpartition("/")[2]
        self.authorize_principal(
            iam_evaluator.PrincipalInfo(
                arn=role_arn,
                type="AssumedRole",
                account=self.account,
                policies=iam_evaluator._gather_role_policies(name, self.account),
                limits=iam_evaluator._permissions_boundary(iam._roles, name, self.account),
            ),
            action,
            resource,
            context,
        )

    def authorize_principal(
        self,
        principal: iam_evaluator.PrincipalInfo,
        action: str,
        resource: str,
        context: Mapping[str, str | list[str]] | None = None,
    ) -> None:
        """Raise AccessDenied unless the principal may do this; nothing when IAM is off."""
        if not self._iam_is_on or principal.policies is None:
            return
        asked = iam_evaluator.EvalContext(
            principal_arn=principal.arn,
            principal_type=principal.type,
            principal_account=self.account,
            action=action,
            resource_arn=resource,
            region=self.region,
            service_context={key.lower(): value for key, value in (context or {}).items()},
            principal_keys=principal.keys,
        )
        found = iam_evaluator.evaluate(asked, principal.policies, *principal.limits).decision
        if found == "Allow":
            return
        if found == "Deny":
            reason = "with an explicit deny in an identity-based policy"
        else:
            allowed = iam_evaluator.evaluate(asked, principal.policies).decision == "Allow"
            lacking = self._limit_of(principal.arn) if allowed else "identity-based policy"
            reason = f"because no {lacking} allows the {action} action"
        raise AccessDeniedError(
            f"User: {principal.arn} is not authorized to perform: {action} on resource: {resource} {reason}"
        )

    def _limit_of(self, arn: str) -> str:
        """Say what keeps somebody from what their own policies allow: a boundary, if there is one."""
        held = iam._users if ":user/" in arn else iam._roles
        name = (role_arn_of(arn) if ":assumed-role/" in arn else arn).rpartition("/")[2]
        found = held.get_scoped(self.account, None, name) or {}
        return "permissions boundary" if found.get("PermissionsBoundary") else "session policy"

    def check_trust(self, role_arn: str, service: str, source_arn: str | None) -> None:
        """Raise AccessDenied unless the role is there and trusts the service, acting for `source_arn`."""
        role = iam._roles.get_scoped(self.account, None, role_arn.rpartition("/")[2])
        principal = f"{service}.amazonaws.com"
        # The ARN is compared whole: what may be passed was judged by it.
        if (role is None or role["Arn"] != role_arn) or not self.resource_policy_allows(
            role["AssumeRolePolicyDocument"], principal, "sts:AssumeRole", role_arn, source_arn
        ):
            raise AccessDeniedError(
                f"User: {principal} is not authorized to perform: sts:AssumeRole on resource: {role_arn}"
            )

    def resource_policy_allows(
        self, policy: Any, principal: str, action: str, resource: str, source_arn: str | None
    ) -> bool:
        """Return whether a resource's policy lets a service do something for `source_arn`."""
        document = json.loads(policy) if isinstance(policy, str) else policy
        listed = document.get("Statement", [])
        # A trust policy has no Resource, which MiniStack would take for one that matches nothing.
        statements = [
            {"Resource": "*", **each} for each in (listed if isinstance(listed, list) else [listed])
        ]
        source = {"aws:sourcearn": source_arn, "aws:sourceaccount": self.account} if source_arn else {}
        asked = iam_evaluator.EvalContext(
            principal_arn=principal,
            principal_type="Service",
            principal_account="",
            action=action,
            resource_arn=resource,
            region=self.region,
            service_context=source,
        )
        found = iam_evaluator.evaluate_resource_policy({"Statement": statements}, asked, service=principal)
        return not self._iam_is_on or found.decision == "Allow"

    def put_event(
        self, source: str, detail_type: str, resources: Sequence[str], detail: Mapping[str, Any]
    ) -> None:
        """Put an event of a service on the default bus.

        EventBridge refuses PutEvents for a source that begins with aws., so the event goes in behind it.
        """
        eventbridge._dispatch_event(
            {
                "EventId": secrets.token_hex(16),
                "Source": source,
                "DetailType": detail_type,
                "Detail": json.dumps(detail),
                "Resources": list(resources),
                "EventBusName": "default",
                "Time": time.time(),
                "Account": self.account,
                "Region": self.region,
            }
        )

    def call(self, service: str, operation: str, **parameters: Any) -> None:
        """Call a service of MiniStack behind the front door: nobody signs, and nobody is asked.

        For what happens on MiniStack's own loop, where a client would wait for itself.
        """
        model = self._botocore.get_service_model(service)
        serializer = botocore.serialize.create_serializer(model.metadata["protocol"], False)
        request = serializer.serialize_to_request(parameters, model.operation_model(operation))
        path, _, query = request["url_path"].partition("?")
        body = request["body"]
        if isinstance(body, dict):
            body = urlencode(body).encode()
        # MiniStack's handlers look whose key it is; the signature was the front door's matter.
        headers = {name.lower(): value for name, value in request["headers"].items()}
        headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={self.keys[0]}/20260101/-/-/aws4_request"

        async def ask() -> Any:
            handle = ministack.app.SERVICE_HANDLERS[service]
            return await handle(
                request["method"], path, headers, body, parse_qs(query, keep_blank_values=True)
            )

        # In a thread, because the one that asks may have a loop that runs.
        with ThreadPoolExecutor(1) as pool:
            context = contextvars.copy_context()
            status, _, answer = pool.submit(context.run, lambda: asyncio.run(ask())).result()
        if status >= 300:
            raise RuntimeError(f"MiniStack refused {service} {operation}: {answer!r}")


def role_arn_of(session_arn: str) -> str:
    """Return a role's ARN for that of one of its sessions, arn:aws:sts::ACCOUNT:assumed-role/ROLE/NAME."""
    account = session_arn.split(":")[4]
    return f"arn:aws:iam::{account}:role/{session_arn.split('/')[1]}"
