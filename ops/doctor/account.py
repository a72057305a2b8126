"""Who asks, where, and whether the CDK can deploy there."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoRegionError,
    ProfileNotFound,
)

from ops.aws.session import LOOPBACK, ClientFactory, on_this_machine
from ops.doctor.diagnosis import Looking, advice, not_asked, ok, problem
from ops.errors import EXPIRED, error_code, explain

BOOTSTRAP = "CDKToolkit"
"""The stack that `cdk bootstrap` makes."""


def account(make_session: Callable[[], ClientFactory]) -> Looking[ClientFactory | None]:
    """Yield what is known of credentials and region, and return who can ask more, None where nobody can."""
    try:
        clients = make_session()
        # STS has an endpoint for all regions, and without one no other service has.
        clients.client("cloudformation")
        sts = clients.client("sts")
        identity = sts.get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        check = "region" if isinstance(error, NoRegionError) else "credentials"
        yield problem(check, explain(error).message, _mend(error))
        return None
    where = f", local AWS at {sts.meta.endpoint_url}" if on_this_machine(sts) else ""
    yield ok("credentials", f"{identity['Arn']}, account {identity['Account']}")
    yield ok("region", f"{sts.meta.region_name}{where}")
    return clients


def _mend(error: BotoCoreError | ClientError) -> str:
    match error:
        case NoRegionError():
            return "export AWS_REGION=us-east-1"
        case ProfileNotFound():
            return "aws configure list-profiles"
        case EndpointConnectionError() if urlsplit(error.kwargs["endpoint_url"]).hostname in LOOPBACK:
            return "python -m local up --env-file local.env"
        case ClientError() if error_code(error) in EXPIRED:
            return "aws sso login"
    return "aws configure"


def bootstrap(clients: ClientFactory) -> Looking[None]:
    """Yield whether the account and region are prepared for the CDK, which a deployment needs."""
    cloudformation = clients.client("cloudformation")
    if on_this_machine(cloudformation):
        yield not_asked("bootstrap", "local AWS is deployed to without the CDK")
        return
    try:
        cloudformation.describe_stacks(StackName=BOOTSTRAP)
    except ClientError as error:
        if error_code(error) != "ValidationError":
            raise
        where = cloudformation.meta.region_name
        said = f"no stack {BOOTSTRAP} in {where}, which `make deploy` needs, unless yours has another name"
        yield advice("bootstrap", said, "make bootstrap")
        return
    yield ok("bootstrap", f"stack {BOOTSTRAP} is there")
