"""The order in which things are looked at: all of them, or what is soon asked before an upload."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ops.aws.session import ClientFactory, on_this_machine
from ops.aws.stack import StackOutputs
from ops.doctor import account, deployment
from ops.doctor.deployment import DeployedFunction
from ops.doctor.diagnosis import Diagnosis, Looking, asking, not_asked
from ops.doctor.image import image
from ops.doctor.quotas import quotas
from ops.uploads import validation
from ops.uploads.upload import values_beside

IMAGE = "TrainingImageUri"


START_AGAIN = "end local AWS with Ctrl-C and start it again: python -m local up --env-file local.env"


def examine(
    make_session: Callable[[], ClientFactory],
    stack: str,
    definition: dict[str, Any],
    *,
    given: Mapping[str, str],
    values: bytes | None,
    key: str,
) -> Iterator[Diagnosis]:
    """Yield everything that can be told about an upload of `definition` to `key` of a stack.

    `values` are those of a parameters.json, None for that in the bucket. Where nothing more can be asked, the
    last is a problem.
    """
    clients = yield from account.account(make_session)
    if clients is None:
        return
    deployed = yield from asking("stack", deployment.find_stack(clients, stack))
    yield from asking("bootstrap", account.bootstrap(clients))
    if deployed is None:
        return
    for each in _examine_deployment(clients, deployed, definition, given=given, values=values, key=key):
        # What `make deploy` mends on AWS, local AWS has again when it starts.
        here = each.mend.startswith("make ") and on_this_machine(clients.client("sts"))
        yield replace(each, mend=START_AGAIN) if here else each


def _examine_deployment(
    clients: ClientFactory,
    deployed: StackOutputs,
    definition: dict[str, Any],
    *,
    given: Mapping[str, str],
    values: bytes | None,
    key: str,
) -> Iterator[Diagnosis]:
    function = yield from asking("function", deployment.find_function(clients, deployed.stack))
    if function is not None:
        yield from deployment.all_of(clients, deployed, function)
    if values is None:
        values = yield from asking("parameters.json", _values(clients, deployed, key, given))
    yield from _image_and_quotas(clients, function, definition, values or b"{}")


def examine_upload(
    clients: ClientFactory,
    person: ClientFactory,
    deployed: StackOutputs,
    definition: dict[str, Any],
    values: bytes,
) -> Iterator[Diagnosis]:
    """Yield what is soon asked and would let an upload start nothing, or its jobs be refused.

    `clients` are those of whoever uploads. The uploader role sees neither images nor quotas, so the `person`
    asks for these.
    """
    function = yield from asking("function", deployment.find_function(clients, deployed.stack))
    if function is not None:
        told = deployment.notification(clients, deployed.bucket, function)
        yield from asking("notification", told)
    if not on_this_machine(clients.client("s3")):  # which has neither images nor quotas
        yield from _image_and_quotas(person, function, definition, values)


def _values(
    clients: ClientFactory, deployed: StackOutputs, key: str, given: Mapping[str, str]
) -> Looking[bytes]:
    """Read the parameters.json in the bucket; nothing is yielded of it."""
    yield from ()
    return values_beside(clients.client("s3"), deployed.bucket, key, given)


def _image_and_quotas(
    clients: ClientFactory, function: DeployedFunction | None, definition: dict[str, Any], values: bytes
) -> Iterator[Diagnosis]:
    settings = function.settings if function else None
    if settings is None:
        yield not_asked("image", "the function's configuration, which could not be read, tells which it is")
    else:
        yield from asking("image", image(clients, settings.parameters.get(IMAGE, "")))
    known = validation.values_at_start(definition, values, settings)
    yield from asking("quota", quotas(clients, definition, known))
