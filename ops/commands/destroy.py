"""The command that removes a deployment: destroy."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator

import click
from rich.console import Console

from ops.aws import roles
from ops.aws.roles import SecondFactor
from ops.aws.session import ClientFactory, Session
from ops.commands.options import STACK
from ops.destroy import inventory
from ops.destroy.inventory import Inventory, PackageGroup, StoredBucket
from ops.destroy.removal import remove
from ops.errors import OpsError
from ops.output.terminal import say
from ops.uploads.outcome import counted

UNITS = ("bytes", "KB", "MB", "GB", "TB")


@click.command()
@click.option(
    "--delete-data",
    is_flag=True,
    help="Also delete what the deployment keeps: the bucket with all versions, the model packages and their "
    "group, the pipelines, the images that the stack built.",
)
@click.option(
    "--mfa-serial",
    metavar="ARN",
    help="Your MFA device, whose code a break-glass role asks for unless it was deployed without.",
)
@click.option("--yes", is_flag=True, envvar="YES", help="Do not ask; YES=1 in the environment says the same.")
@STACK
def destroy(*, delete_data: bool, mfa_serial: str | None, yes: bool, stack: str) -> None:
    """Remove a deployment.

    Lists what would stay and what would go, and asks. Executions that run are stopped, and their end is
    awaited, before the stack is deleted. Data stays unless the deployment was made with retain_data=false,
    or --delete-data is given; then every object version, model package and pipeline goes first, definitions
    and verdicts of a hardened deployment as its break-glass role.

    Works without a stack as well: for what an earlier destroy left in place, or one that was interrupted.

    Exits with 1 when something could not be removed: running it again goes on from there.
    """
    session, console = Session(), Console()
    held = inventory.read(session, stack)
    to_delete = held.to_delete(data=delete_data)
    if to_delete.nothing:
        _say_left(console, held)
        return
    if stays := _staying(held, to_delete):
        say(console, "What stays:")
        for line in _lines(stays):
            say(console, f"  {line}")
    say(console, f"What goes with {stack}:")
    for line in _lines(to_delete):
        say(console, f"  {line}")
    if not yes:
        _ask(stack)
    become = functools.cache(functools.partial(_become, session, mfa_serial))
    left = remove(session, held, data=delete_data, tell=lambda text: say(console, text), become=become)
    _say_left(console, left)


def _become(session: Session, mfa_serial: str | None, role_arn: str) -> ClientFactory:
    """Assume the break-glass role, with the code that the person's MFA device shows if they named one."""
    if mfa_serial is None:
        return roles.assume(session, role_arn)
    code = str(click.prompt(f"The code that {mfa_serial} shows", hide_input=True))
    return roles.assume(session, role_arn, SecondFactor(mfa_serial, code.strip()))


def _ask(stack: str) -> None:
    """Let the person type the stack's name; raise `OpsError`, with nothing changed, unless they do."""
    if not sys.stdin.isatty():
        raise OpsError("nothing was removed: there is no terminal to ask on. Say YES=1 (or --yes) to go on")
    if click.prompt(f"To remove what goes, type {stack}", default="", show_default=False) != stack:
        raise OpsError("nothing was removed: that is not its name")


def _staying(held: Inventory, to_delete: Inventory) -> Inventory | None:
    buckets = tuple(each for each in held.buckets if each not in to_delete.buckets)
    groups = tuple(each for each in held.groups if each not in to_delete.groups)
    pipelines = () if to_delete.pipelines else held.pipelines
    staying = Inventory(
        held.stack,
        None,
        buckets=buckets,
        groups=groups,
        pipelines=pipelines,
        keys=() if to_delete.keys else held.keys,
        repositories=tuple(each for each in held.repositories if each not in to_delete.repositories),
    )
    return None if staying.nothing else staying


def _say_left(console: Console, held: Inventory) -> None:
    if held.nothing:
        say(
            console,
            f"Nothing of {held.stack} is here: no stack, bucket, model package group, image or pipeline",
        )
        return
    arguments = "--import-existing-resources"
    # A stack makes a key of its own, which reads nothing of what is there.
    for key in [each.key for each in held.buckets if each.key][:1]:
        arguments = f"{arguments} -c encryption_key={key}"
    # Without the choices that named it, another deployment would be changed, and given this one's key.
    choices = "with every other -c that it had, project and environment among them"
    say(console, f'This stays of {held.stack}; `make deploy ARGS="{arguments}"` takes it over, {choices}:')
    for line in _lines(held):
        say(console, f"  {line}")
    say(console, f"To remove it as well: cv-pipeline destroy --stack {held.stack} --delete-data")


def _lines(held: Inventory) -> Iterator[str]:
    for arn in held.running:
        yield f"running execution {arn}, which is stopped first"
    for name in held.pipelines:
        yield f"pipeline {name} with the record of its executions"
    for bucket in held.buckets:
        yield from _bucket(bucket)
    for group in held.groups:
        yield _group(group)
    for each in held.repositories:
        yield f"image repository {each.name}: {counted(each.images, 'image') if each.images else 'empty'}"
    for arn in held.keys:
        yield f"key {arn}, without which nothing in the bucket can be read"
    if held.stack_id:
        kinds = (f"{count} {kind.removeprefix('AWS::')}" for kind, count in sorted(held.resources.items()))
        yield f"stack {held.stack}: {', '.join(kinds) or 'no resources'}"


def _bucket(bucket: StoredBucket) -> Iterator[str]:
    total = sum(each.versions for each in bucket.prefixes.values())
    key = f", encrypted with {bucket.key}" if bucket.key else ""
    yield f"bucket {bucket.name}: {counted(total, 'object version') if total else 'empty'}{key}"
    for prefix, amount in bucket.prefixes.items():
        yield f"  {prefix}  {counted(amount.versions, 'version')}, {_size(amount.size)}"


def _group(group: PackageGroup) -> str:
    if not group.packages:
        return f"model package group {group.name}: empty"
    counts = ", ".join(f"{len(arns)} {status}" for status, arns in sorted(group.packages.items()))
    return f"model package group {group.name}: {counted(len(group.arns), 'model package')} ({counts})"


def _size(size: float) -> str:
    power = 0
    while size >= 1000 and power < len(UNITS) - 1:
        size, power = size / 1000, power + 1
    return f"{size:.1f} {UNITS[power]}" if power else f"{size:.0f} {UNITS[0]}"
