"""What a deployment would take away, said before CloudFormation does it.

    cv-pipeline preflight cdk.out    # make diff and make deploy run it

Reads two templates, the one that the CDK synthesised and the one that is deployed, and changes nothing. Looks
for what no later deployment brings back: the key that the bucket is encrypted with, and a bucket, a model
package group, a queue or a topic that would be removed or made anew.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import click
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from ops.aws import roles
from ops.aws.session import ClientFactory
from ops.errors import DENIED, EXPIRED, UNKNOWN_KEYS, OpsError, RoleRefusedError, error_code, explain

BUCKET, KEY, QUEUE, TOPIC = "AWS::S3::Bucket", "AWS::KMS::Key", "AWS::SQS::Queue", "AWS::SNS::Topic"
GROUP, ROLE = "AWS::SageMaker::ModelPackageGroup", "AWS::IAM::Role"
NOUNS = {BUCKET: "bucket", GROUP: "model package group", QUEUE: "queue", TOPIC: "topic"}
"""The kinds that hold something."""
CREATE_ONLY = {
    BUCKET: ("BucketName", "BucketNamePrefix", "BucketNamespace"),
    GROUP: ("ModelPackageGroupDescription", "ModelPackageGroupName"),
    QUEUE: ("FifoQueue", "QueueName"),
    TOPIC: ("FifoTopic", "TopicName"),
}
"""What of them CloudFormation changes by making another resource."""
COPIES = "StudioTemplates"
"""Where logical ids begin so, there are copies of what the next deployment brings: infra/studio/offer.py."""
CDKS_REGION = "us-east-1"
"""Where the CDK deploys to when nothing says where."""

Template = Mapping[str, Any]


@dataclass(frozen=True)
class Wanted:
    """A stack of the CDK's assembly."""

    stack: str
    template: Template
    lookup_role: str | None
    """The role that the CDK's bootstrap has for reading, with CloudFormation's ${...} in its ARN."""


@dataclass(frozen=True)
class Deployed:
    """A stack as it is on AWS."""

    template: Template
    ids: Mapping[str, str]
    """Its resources' physical ids by their logical ones."""
    stack_id: str

    def key_arn(self, logical_id: str) -> str:
        """Return the ARN of a key of the stack's."""
        partition, _, region, account = self.stack_id.split(":")[1:5]
        return f"arn:{partition}:kms:{region}:{account}:key/{self.ids[logical_id]}"


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("assembly", type=click.Path(path_type=Path), metavar="CDK_OUT")
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[CDK_OPTIONS]...")
def preflight(assembly: Path, options: tuple[str, ...]) -> None:
    """Refuse a deployment of the assembly CDK_OUT that would take data away.

    Compares its template with the deployed one: the key of the bucket must stay readable, and nothing that
    holds data may be removed or replaced. Changes nothing. Of CDK_OPTIONS, those of `cdk deploy`, it reads
    --profile alone. Where AWS cannot be asked it says so and lets the CDK go on.

    Exits with 2 when the deployment would take data away, with the switch to add.
    """
    for wanted in read_assembly(assembly):
        try:
            deployed = read_deployed(_Clients(_profile(options)), wanted)
        except (BotoCoreError, ClientError) as error:
            if isinstance(error, ClientError) and error_code(error) not in EXPIRED | UNKNOWN_KEYS:
                raise
            click.echo(f"Not compared with what is deployed: {explain(error).message}", err=True)
            continue
        if deployed is None:
            continue
        if problems := list(losses(wanted, deployed)):
            raise OpsError("\n  ".join([f"nothing was deployed to {wanted.stack}:", *problems]))
        for note in notes(wanted, deployed):
            click.echo(note, err=True)


def _profile(options: Sequence[str]) -> str | None:
    """Return the AWS profile that the CDK is to take, as `--profile NAME` or `--profile=NAME`."""
    found = None
    for option, following in itertools.zip_longest(options, options[1:]):
        name, equals, value = option.partition("=")
        if name == "--profile":
            found = value if equals else following
    return found


class _Clients:
    """ClientFactory for the account and region that the CDK deploys to."""

    def __init__(self, profile: str | None) -> None:
        self._session = boto3.Session(profile_name=profile)
        named = os.environ.get("AWS_REGION") or self._session.region_name
        self._region = named or CDKS_REGION

    def client(self, service: str, /) -> Any:
        """Make a boto3 client that soon says when there is no network."""
        few = Config(retries={"mode": "standard", "max_attempts": 2}, connect_timeout=10)
        return self._session.client(service, region_name=self._region, config=few)


def read_assembly(folder: Path) -> Iterator[Wanted]:
    """Yield every stack of a CDK assembly; `OpsError` when there is none in `folder`."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise OpsError(f"{folder} is no assembly of the CDK ({error}): `cdk synth` writes one") from error
    for name, artifact in manifest["artifacts"].items():
        if artifact["type"] == "aws:cloudformation:stack":
            given = artifact["properties"]
            text = (folder / given["templateFile"]).read_text(encoding="utf-8")
            role = given.get("lookupRole", {}).get("arn")
            yield Wanted(given.get("stackName", name), json.loads(text), role)


def read_deployed(clients: ClientFactory, wanted: Wanted) -> Deployed | None:
    """Read the deployed stack, with the CDK's role for reading where one's own rights are too few.

    None when there is no such stack. Raises `OpsError` when nobody may read it.
    """
    try:
        return _read(clients, wanted.stack)
    except ClientError as error:
        if error_code(error) not in DENIED:
            raise
        refused = f"{wanted.stack} cannot be compared with what is deployed: {explain(error).message}"
        if wanted.lookup_role is None:
            raise OpsError(refused) from error
    sts = clients.client("sts")
    role = _filled(wanted.lookup_role, sts.get_caller_identity(), sts.meta.region_name)
    try:
        return _read(roles.assume(clients, role), wanted.stack)
    except (RoleRefusedError, ClientError) as error:
        raise OpsError(f"{refused}; nor may it be read as {role}: allow one of the two") from error


def _filled(arn: str, identity: Mapping[str, str], region: str) -> str:
    """Fill in what CloudFormation would."""
    known = {"Partition": identity["Arn"].split(":")[1], "AccountId": identity["Account"], "Region": region}
    for name, value in known.items():
        arn = arn.replace(f"${{AWS::{name}}}", value)
    return arn


def _read(clients: ClientFactory, stack: str) -> Deployed | None:
    cloudformation = clients.client("cloudformation")
    try:
        described = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if error_code(error) == "ValidationError":
            return None
        raise
    stack_id = described["StackId"]
    body = cloudformation.get_template(StackName=stack_id)["TemplateBody"]
    if isinstance(body, str):
        # A stack whose first change set was never executed has an empty one.
        body = json.loads(body) if body.strip() else {}
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack_id)
    ids = {
        each["LogicalResourceId"]: each.get("PhysicalResourceId", "")
        for page in pages
        for each in page["StackResourceSummaries"]
    }
    return Deployed(body, ids, stack_id)


def losses(wanted: Wanted, deployed: Deployed) -> Iterator[str]:
    """Yield each thing that the deployment would take away, with what to write instead."""
    yield from _keys(wanted, deployed)
    yield from _holders(wanted, deployed)


def notes(wanted: Wanted, deployed: Deployed) -> Iterator[str]:
    """Yield what a deployment would give up that no data hangs on."""
    if _hardened(deployed.template) and not _hardened(wanted.template):
        yield (
            f"{wanted.stack} is hardened and would not be any more: whoever may write its bucket may start "
            'executions then, and delete versions. "security": "hardened" in cdk.json\'s context keeps it.'
        )


def _hardened(template: Template) -> bool:
    return "UploaderRoleArn" in template.get("Outputs", {})


def _resources(template: Template, kind: str) -> dict[str, Any]:
    found = template.get("Resources", {}).items()
    return {name: each for name, each in found if each["Type"] == kind}


def _keys(wanted: Wanted, deployed: Deployed) -> Iterator[str]:
    """Yield the keys of buckets that nobody could read with any more."""
    for logical_id, bucket in _resources(deployed.template, BUCKET).items():
        key = _key_of(bucket)
        own = _logical_id(key)
        if key is None or own in _resources(wanted.template, KEY):
            continue
        arn = deployed.key_arn(own) if own else str(key)
        keep = _keep(wanted, deployed, None if own else arn)
        said = f"bucket {deployed.ids[logical_id]} is encrypted with {arn}, which"
        if own and not _stays(deployed.template["Resources"][own]):
            yield (
                f"{said} goes for good when it leaves the stack, because that was deployed with "
                f"retain_data=false. Deploy it as it is with retain_data=true first, {keep} and "
                '"retain_data": true in cdk.json\'s context'
            )
        elif _unable(wanted.template, arn, _readers(deployed.template, key)):
            after = _resources(wanted.template, BUCKET).get(logical_id, {})
            to = "another key" if _key_of(after) else "S3's own encryption"
            yield (
                f"{said} the roles could not read with any more. Write {keep} into cdk.json's context to "
                f"keep it as it is, or pass -c former_encryption_keys={arn} to move to {to} and keep reading"
            )


def _key_of(bucket: Mapping[str, Any]) -> Any:
    """Return the KMS key of a bucket's default encryption, as the template names it."""
    encryption = bucket.get("Properties", {}).get("BucketEncryption", {})
    for rule in encryption.get("ServerSideEncryptionConfiguration", []):
        return rule.get("ServerSideEncryptionByDefault", {}).get("KMSMasterKeyID")
    return None


def _logical_id(reference: Any) -> str | None:
    """Return the logical id in a reference to a resource's ARN; None for an ARN."""
    match reference:
        case {"Fn::GetAtt": [str(name), "Arn"]}:
            return name
    return None


def _keep(wanted: Wanted, deployed: Deployed, arn: str | None) -> str:
    """Return the context that keeps the key; `arn` is None where the stack makes it."""
    if arn:
        return f'"encryption_key": "{arn}"'
    if _hardened(deployed.template) and not _hardened(wanted.template):
        return '"security": "hardened"'
    return '"encryption_key": "own"'


def _stays(resource: Mapping[str, Any]) -> bool:
    """Return whether CloudFormation leaves it in place when it leaves the stack."""
    return resource.get("DeletionPolicy") in ("Retain", "RetainExceptOnCreate")


def _readers(template: Template, key: Any) -> set[str]:
    """Return the logical ids of the roles that may decrypt with a key."""
    return {
        name
        for name, role in _resources(template, ROLE).items()
        for policy in role["Properties"].get("Policies", [])
        for each in policy["PolicyDocument"]["Statement"]
        if each["Effect"] == "Allow"
        and "kms:Decrypt" in _list(each["Action"])
        and key in _list(each.get("Resource", []))
    }


def _unable(template: Template, key: Any, roles: set[str]) -> set[str]:
    """Return which of some roles are there still and may not decrypt with a key."""
    return (roles & _resources(template, ROLE).keys()) - _readers(template, key)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _holders(wanted: Wanted, deployed: Deployed) -> Iterator[str]:
    """Yield what holds something and would be removed, or replaced by an empty one."""
    for kind, noun in NOUNS.items():
        after = _resources(wanted.template, kind)
        for logical_id, resource in _resources(deployed.template, kind).items():
            # Without any topic there is another's, which was chosen by its ARN.
            if logical_id.startswith(COPIES) or (kind == TOPIC and not after):
                continue
            what = f"{noun} {deployed.ids[logical_id]}"
            if logical_id not in after:
                end = "be left behind" if _stays(resource) else "be deleted with all that is in it"
                yield f"{what} would {end}: the template has no {logical_id} any more"
            for name in CREATE_ONLY[kind]:
                then = after.get(logical_id, resource)["Properties"].get(name)
                if then != (now := resource["Properties"].get(name)):
                    yield f"{what} would be replaced by an empty one: its {name} changes from {now} to {then}"
