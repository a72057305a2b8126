"""What EventBridge does for a rule: it calls functions and publishes on topics, where their policies let it.

AWS says that EventBridge knows no conditions when it publishes, neither in a topic's policy nor in its key's:
so it is here, and a policy with an `aws:SourceArn` lets nothing through.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from moto.awslambda.exceptions import UnknownFunctionException
from moto.awslambda.models import lambda_backends
from moto.sns.models import sns_backends

from local.aws.function_policy import may_invoke
from local.aws.function_service import FunctionService
from local.aws.host import Host
from local.aws.iam import Access, PolicyError, Principal, decide, parse_policy
from local.aws.key_use import UnusableKeyError, check_service

logger = logging.getLogger(__name__)

PRINCIPAL = "events.amazonaws.com"
SERVICES = ("lambda", "sns")
"""The services whose resources a rule may have as targets."""
_SECURE = {"aws:SecureTransport": "true"}


def _as_it_is(given: Any) -> Any:
    return given


class UndeliverableError(ValueError):
    """A target that cannot be given what it should be; the message says why."""


class EventTargets:
    """The targets of one host's rules."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._refused: set[tuple[str, str]] = set()

    def send(
        self,
        rule: Any,
        target: Mapping[str, Any],
        event: Mapping[str, Any],
        prepare: Callable[[Any], Any] = _as_it_is,
    ) -> None:
        """Give a target its own input, or else the event; what hinders it is logged once.

        `prepare` has the last word on what is given.
        """
        arn = target["Arn"]
        try:
            text = json.dumps(prepare(_given(target, event)))
            match arn.split(":")[2:3]:
                case ["lambda"]:
                    self._call(rule, arn, text)
                case ["sns"]:
                    self._publish(arn, text)
                case _:
                    raise UndeliverableError("on the laptop the target of a rule is a function or a topic")
        except (UnknownFunctionException, PolicyError, ValueError) as error:
            self.refuse(f"{arn} for {rule.arn}", str(error))

    def refuse(self, what: str, why: str) -> None:
        """Say once why something is not called."""
        if (what, why) not in self._refused:
            self._refused.add((what, why))
            logger.error("EventBridge does not call %s: %s", what, why)

    def _call(self, rule: Any, arn: str, event: str) -> None:
        _, _, _, region, account, *_ = arn.split(":")
        function = lambda_backends[account][region].get_function(arn)
        service = FunctionService.current
        if not may_invoke(function, PRINCIPAL, rule.arn, self._host.account):
            raise UndeliverableError(
                "its policy does not let it: give it an AWS::Lambda::Permission with the principal "
                f"{PRINCIPAL} and this source"
            )
        if service is not None:
            service.deliveries.accept(function, event.encode(), str(uuid.uuid4()))

    def _publish(self, arn: str, event: str) -> None:
        topic = sns_backends[self._host.account][self._host.region].topics.get(arn)
        if topic is None:
            raise UndeliverableError("there is no such topic")
        _check(topic.policy, ["sns:Publish"], arn, f"the policy of {topic.name}")
        if topic.kms_master_key_id:
            self._check_key(topic.kms_master_key_id)
        topic.publish(event)

    def _check_key(self, key_id: str) -> None:
        actions = ("kms:GenerateDataKey", "kms:Decrypt")
        account, region = self._host.account, self._host.region
        try:
            check_service(key_id, PRINCIPAL, actions, account=account, region=region)
        except UnusableKeyError as error:
            raise UndeliverableError(f"{error}, without any condition; SNS's own key lets nobody") from error


def _given(target: Mapping[str, Any], event: Mapping[str, Any]) -> Any:
    if strange := set(target) - {"Arn", "Id", "Input"}:
        raise UndeliverableError(f"the laptop does not implement {', '.join(sorted(strange))} of a target")
    return json.loads(target["Input"]) if "Input" in target else event


def _check(policy: str, actions: list[str], resource: str, whose: str) -> None:
    parsed = [parse_policy(policy, kind="resource", name=whose)]
    for action in actions:
        access = Access(Principal.of_service(PRINCIPAL), action, resource, _SECURE)
        if not decide(access, resource=parsed, resource_must_allow=True).allowed:
            raise UndeliverableError(f"{whose} does not let {PRINCIPAL} do {action}, without any condition")
