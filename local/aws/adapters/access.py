"""Who may do what: root keys, actions without a name, condition keys, and what a denial says."""

from __future__ import annotations

import json
import re
from contextvars import ContextVar
from typing import Any

import cbor2
import ministack.app
from ministack.core import iam_actions, iam_evaluator, router
from ministack.services import iam, sts

from local.aws.host import ServerHost, role_arn_of

_SAGEMAKER = "sagemaker"
_EXEMPTING = ("ArnNotEquals", "ArnNotLike", "StringNotEquals", "StringNotLike")
"""The conditions of a Deny by which it is for everybody but some."""
_BODY = 4
"""Where a request's body stands among what MiniStack's functions take."""
_KEY_HEADERS = (
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-customer-algorithm",
)


def no_root_user(_: ServerHost) -> None:
    """Take the root user away: its keys would be "test", any 12 digits and none at all, with any secret."""
    iam_evaluator.is_root_access_key = sts.is_root_access_key = lambda _: False


def deny_what_has_no_name(_: ServerHost) -> None:
    """Ask for an action that no policy names where MiniStack cannot tell the action and would let it pass.

    SageMaker's requests are judged by our own door (local.aws.sagemaker_door).
    """
    extract = iam_actions.extract_iam_action

    def action(service: str, *request: Any) -> str | None:
        found: str | None = extract(service, *request)
        if found or service == _SAGEMAKER:
            return found
        return f"{iam_actions.SERVICE_TO_IAM_NAMESPACE.get(service, service)}:UnknownOperation"

    iam_actions.extract_iam_action = action


def batches_of_messages(_: ServerHost) -> None:
    """Ask for the right of one message where several go at once: IAM has no action for batches."""
    extract = iam_actions.extract_iam_action

    def action(service: str, *request: Any) -> str | None:
        found: str | None = extract(service, *request)
        return found.removesuffix("Batch") if service in {"sqs", "sns"} and found else found

    iam_actions.extract_iam_action = action


def batches_of_deletions(_: ServerHost) -> None:
    """Ask for s3:DeleteObjectVersion where the first object of a batch names a version, as for the others.

    A bucket's policy tells deletions that leave the versions from those that are for good.
    """
    extract, of_s3 = iam_actions.extract_iam_action, iam_actions._s3_action
    # The way of requests with the bucket in the host's name.
    of_a_bucket = ministack.app._handle_s3_vhost_request
    asked: ContextVar[bytes] = ContextVar("asked", default=b"")

    def action(*request: Any) -> str | None:
        asked.set(request[_BODY])
        found: str | None = extract(*request)
        return found

    async def answer(*request: Any) -> Any:
        asked.set(request[_BODY])
        return await of_a_bucket(*request)

    def action_of_s3(method: str, path: str, query: Any) -> str | None:
        found: str | None = of_s3(method, path, query)
        if (method, found) == ("POST", "DeleteObject"):
            deletions = iam_actions._s3_batch_delete_targets("", asked.get())
            return "DeleteObjectVersion" if deletions and deletions[0][1] else found
        return found

    iam_actions.extract_iam_action = action
    iam_actions._s3_action = action_of_s3
    ministack.app._handle_s3_vhost_request = answer


def loopback_is_private(_: ServerHost) -> None:
    """Let aws:SecureTransport be true: what a request over TLS promises, loopback keeps."""
    pin = ministack.app.pin_request_origin
    ministack.app.pin_request_origin = lambda address, _secure: pin(address, True)


def role_of_a_session(_: ServerHost) -> None:
    """Let aws:PrincipalArn of a role's session be the role's ARN, as on AWS, not the session's."""
    resolve = iam_evaluator._resolve_condition_key

    def resolved(key: str, context: Any) -> Any:
        if key.lower() == "aws:principalarn" and ":assumed-role/" in context.principal_arn:
            return role_arn_of(context.principal_arn)
        return resolve(key, context)

    iam_evaluator._resolve_condition_key = resolved


def keys_of_objects(_: ServerHost) -> None:
    """Tell policies which key a PutObject names, for SSE-KMS and SSE-C: the bucket's policy asks for that."""
    read = iam_actions._s3_object_context

    def context(action: str, query: Any, path: str, headers: dict[str, str]) -> dict[str, Any]:
        found: dict[str, Any] = read(action, query, path, headers)
        if action == "s3:PutObject":
            found |= {f"s3:{name}": headers[name] for name in _KEY_HEADERS if headers.get(name)}
        return found

    iam_actions._s3_object_context = context


def streams_of_logs(_: ServerHost) -> None:
    """Judge a request about a log stream by the stream's ARN; MiniStack takes the group's for it."""
    find = iam_actions.extract_resource_arn

    def resource(*request: Any) -> str:
        found: str = find(*request)
        stream = iam_actions._safe_json_field(request[_BODY], "logStreamName") if request[0] == "logs" else ""
        return f"{found}:log-stream:{stream}" if stream else found

    iam_actions.extract_resource_arn = resource


def newlines_in_names(_: ServerHost) -> None:
    """Let * stand for a newline, too: a Deny on a prefix would not hold for a key that has one."""
    compile_pattern = iam_evaluator._fnmatch_compile

    def compiled(pattern: str, ignore_case: bool) -> re.Pattern[str]:
        found: re.Pattern[str] = compile_pattern(pattern, ignore_case)
        whole = found.pattern.removeprefix("^").removesuffix("$")
        return re.compile(rf"{whole}\Z", found.flags | re.DOTALL)

    iam_evaluator._fnmatch_compile = compiled


def services_by_name(_: ServerHost) -> None:
    """Answer at once, and in AWS's shape, for a service that MiniStack lacks.

    It would read the model of every service first, for seconds in which nobody else is answered.
    """
    dispatch = ministack.app._dispatch_service_request

    async def answered(*request: Any) -> Any:
        status, headers, body = await dispatch(*request)
        if status == 400 and isinstance(body, bytes) and body.startswith(b'{"error": "Unsupported service'):
            name = json.loads(body)["error"].partition(": ")[2]
            message = f"Local AWS has no service {name}."
            answer = {"__type": "NotImplemented", "message": message}
            return status, {**headers, "x-amzn-errortype": "NotImplemented"}, json.dumps(answer).encode()
        return status, headers, body

    router._is_aws_service_name = lambda _: True
    ministack.app._dispatch_service_request = answered


def namespace_of_metrics(_: ServerHost) -> None:
    """Tell policies the namespace of a PutMetricData: SageMaker's roles may write into one alone."""
    read = iam_actions.request_tag_context

    def context(service: str, action: str, body: bytes, query: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = read(service, action, body, query)
        if action == "cloudwatch:PutMetricData" and (namespace := _namespace(body, query)):
            found = {**found, "cloudwatch:namespace": namespace}
        return found

    iam_actions.request_tag_context = context


def _namespace(body: bytes, query: dict[str, Any]) -> str | None:
    if named := query.get("Namespace"):
        return str(named[0])
    try:
        asked = json.loads(body) if body.startswith(b"{") else cbor2.loads(body)
    except (ValueError, cbor2.CBORError):
        return None  # CloudWatch refuses it
    return str(asked["Namespace"]) if isinstance(asked, dict) and "Namespace" in asked else None


def resource_of_a_denial(_: ServerHost) -> None:
    """Say in every denial which resource it was about; MiniStack says so for Logs and SSM alone."""
    respond = iam_actions.access_denied_response

    def denied(service: str, action: str, principal: str, request_id: str, **more: Any) -> Any:
        if not (more.get("message") or more.get("error_code") or more.get("resource_policy_arn")):
            resource = more.get("resource_arn", "*")
            more["message"] = iam_actions.identity_denial_message(
                action, principal, resource, more.get("explicit_deny", False)
            )
        return respond(service, action, principal, request_id, **more)

    iam_actions.access_denied_response = denied


def statement_of_a_denial(host: ServerHost) -> None:
    """Name the statement of a resource's policy that denies, and whom it exempts, which AWS does not."""
    combine, say = iam_evaluator.combine_resource_policy, iam_actions._resource_policy_denial
    denied: ContextVar[str] = ContextVar("denied", default="")

    def combined(identity: Any, context: Any, policy: Any, *request: Any, **more: Any) -> Any:
        result = combine(identity, context, policy, *request, **more)
        denied.set(_statement(host, policy, result.matched_sid) if result.resource_policy_arn else "")
        return result

    iam_evaluator.combine_resource_policy = combined
    iam_actions._resource_policy_denial = lambda *request: say(*request) + denied.get()


def _statement(host: ServerHost, policy: Any, sid: str) -> str:
    if not sid:
        return ""
    listed = (json.loads(policy) if isinstance(policy, str) else policy)["Statement"]
    statements = listed if isinstance(listed, list) else [listed]
    conditions = next(each for each in statements if each.get("Sid") == sid).get("Condition", {})
    found = (conditions.get(name, {}).get("aws:PrincipalArn", []) for name in _EXEMPTING)
    exempt = [arn for arns in found for arn in ([arns] if isinstance(arns, str) else arns)]
    if not exempt:
        return f": statement {sid}"
    said = f": statement {sid} lets only {', '.join(exempt)} do it"
    people = [arn for arn in exempt if _is_for_people(host, arn)]
    return f"{said}; use cv-pipeline or a profile with role_arn = {people[0]}" if people else said


def _is_for_people(host: ServerHost, arn: str) -> bool:
    """Return whether a role trusts an account, and not a service alone."""
    role = iam._roles.get_scoped(host.account, None, arn.rpartition("/")[2])
    return role is not None and '"AWS"' in json.dumps(role["AssumeRolePolicyDocument"]).replace("\\", "")


def allow_everything() -> None:
    """Let everybody do everything whose request is signed: `--no-iam`."""
    enforce = iam_evaluator.enforce

    def authenticated(*request: Any, **more: Any) -> Any:
        refused = enforce(*request, **more)
        return refused if isinstance(refused, iam_evaluator.AuthError) else None

    iam_evaluator.enforce = authenticated
    iam_evaluator.evaluate_trust_policy = lambda *_: True
