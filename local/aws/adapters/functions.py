"""Lambda: keys that nobody can guess, who may call what, and what an error is called."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import ministack.app
from ministack.core import iam_actions, iam_evaluator, lambda_runtime, responses
from ministack.core.router import extract_access_key_id
from ministack.services import lambda_svc, s3

from local.aws.host import ServerHost
from local.engine.host import AccessDeniedError

_LOG = logging.getLogger(__name__)
_WITH_A_ROLE = re.compile(r"/2015-03-31/functions(/[^/]+/configuration)?/?")
_LAST_LINE = re.compile(r"^([A-Za-z_][\w.]*)(?:: |$)")


def secret_keys(host: ServerHost) -> None:
    """Make a function's keys at random; MiniStack derives its secret from ARNs that everybody knows."""

    def credentials(config: dict[str, Any]) -> dict[str, str]:
        variables = host.role_environment(config["Role"], config["FunctionName"])
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        return {name: variables[name] for name in names}

    lambda_runtime.execution_credentials = lambda_svc.execution_credentials = credentials


def role_of_a_function(host: ServerHost) -> None:
    """Ask whoever makes or changes a function for iam:PassRole on its role, and the role for its trust."""
    handle = ministack.app.SERVICE_HANDLERS["lambda"]

    async def passing(method: str, path: str, headers: dict[str, str], body: bytes, query: Any) -> Any:
        role = _role(method, path, body)
        if role is None:
            return await handle(method, path, headers, body, query)
        caller = iam_evaluator.resolve_principal(extract_access_key_id(headers, query), host.account)
        context: dict[str, str | list[str]] = {"iam:PassedToService": "lambda.amazonaws.com"}
        try:
            host.authorize_principal(caller, "iam:PassRole", role, context)
            host.check_trust(role, "lambda", None)
        except AccessDeniedError as denied:
            if "sts:AssumeRole" not in str(denied):
                return iam_actions.access_denied_response(
                    "lambda",
                    "iam:PassRole",
                    caller.arn,
                    responses.new_uuid(),
                    headers=headers,
                    message=str(denied),
                )
            message = "The role defined for the function cannot be assumed by Lambda."
            answer = {"__type": "InvalidParameterValueException", "Type": "User", "message": message}
            return 400, {"x-amzn-errortype": "InvalidParameterValueException"}, json.dumps(answer).encode()
        return await handle(method, path, headers, body, query)

    ministack.app.SERVICE_HANDLERS["lambda"] = passing


def _role(method: str, path: str, body: bytes) -> str | None:
    if method not in ("POST", "PUT") or not _WITH_A_ROLE.fullmatch(path):
        return None
    try:
        asked = json.loads(body or b"{}")
    except ValueError:
        return None  # MiniStack refuses it
    role = asked.get("Role") if isinstance(asked, dict) else None
    return role if isinstance(role, str) else None


def s3_asks_the_function(host: ServerHost) -> None:
    """Let S3's events reach only a function whose policy lets S3 invoke it for that bucket."""
    deliver = s3._deliver_event_to_lambda

    def delivered(arn: str, event: dict[str, Any], region: str) -> None:
        function = lambda_svc._get_func_record_for_ref(arn)[0] or {}
        bucket = event["Records"][0]["s3"]["bucket"]["arn"]
        if host.resource_policy_allows(
            function.get("policy") or {}, "s3.amazonaws.com", "lambda:InvokeFunction", arn, bucket
        ):
            deliver(arn, event, region)
        else:
            _LOG.error(
                "S3 may not invoke %s for %s, the event is lost: give it an AWS::Lambda::Permission with the "
                "principal s3.amazonaws.com and this source",
                arn,
                bucket,
            )

    s3._deliver_event_to_lambda = delivered


def failures_ask_the_role(host: ServerHost) -> None:
    """Let a failed event go to its queue or topic only with the rights of the function's role."""
    route = lambda_svc._route_async_failure
    actions = {"sqs": "sqs:SendMessage", "sns": "sns:Publish", "lambda": "lambda:InvokeFunction"}

    def routed(target: str, name: str, event: dict[str, Any], result: dict[str, Any]) -> None:
        service = target.split(":")[2]
        role = lambda_svc._functions[name]["config"]["Role"]
        try:
            host.authorize(role, actions.get(service, f"{service}:Unknown"), target)
        except AccessDeniedError as denied:
            _LOG.error("an event that %s failed on is lost: %s", name, denied)
            return
        route(target, name, event, result)

    lambda_svc._route_async_failure = routed


def type_of_an_error(_: ServerHost) -> None:
    """Name a function's error as Python does; MiniStack calls every one Runtime.HandlerError."""
    execute = lambda_svc._execute_function

    def executed(function: dict[str, Any], event: Any) -> dict[str, Any]:
        result: dict[str, Any] = execute(function, event)
        body = result.get("body")
        if result.get("error") and isinstance(body, dict) and body.get("errorType") == "Runtime.HandlerError":
            lines = str(result.get("log", "")).rstrip().split("\n")
            if named := _LAST_LINE.match(lines[-1]):
                body["errorType"] = named[1].rpartition(".")[2]
        return result

    lambda_svc._execute_function = executed
