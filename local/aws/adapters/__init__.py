"""What MiniStack lacks or leaves open, mended: each adapter is one function with its reason.

Most replace a private name of MiniStack's, whose version is therefore pinned exactly. For each there is a
test that leaves it out and sees what it mends; the test fails when MiniStack has mended that itself, and then
the adapter goes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from local.aws.adapters import access, cloudformation, functions, storage
from local.aws.host import ServerHost

ADAPTERS: dict[str, Callable[[ServerHost], None]] = {
    "no root user": access.no_root_user,
    "deny what has no name": access.deny_what_has_no_name,
    "batches of messages": access.batches_of_messages,
    "batches of deletions": access.batches_of_deletions,
    "loopback is private": access.loopback_is_private,
    "role of a session": access.role_of_a_session,
    "keys of objects": access.keys_of_objects,
    "streams of logs": access.streams_of_logs,
    "newlines in names": access.newlines_in_names,
    "services by name": access.services_by_name,
    "namespace of metrics": access.namespace_of_metrics,
    "resource of a denial": access.resource_of_a_denial,
    "statement of a denial": access.statement_of_a_denial,
    "secret keys of functions": functions.secret_keys,
    "role of a function": functions.role_of_a_function,
    "S3 asks the function": functions.s3_asks_the_function,
    "failures ask the role": functions.failures_ask_the_role,
    "type of an error": functions.type_of_an_error,
    "S3's own key": storage.own_key,
    "names that are taken": cloudformation.taken_names,
    "full buckets stay": cloudformation.full_buckets_stay,
    "roles in use stay": cloudformation.roles_in_use_stay,
    "dropped properties": cloudformation.dropped_properties,
    "boundaries of roles": cloudformation.boundaries_of_roles,
}
"""By the name that a test leaves one out with, in the order in which they are applied."""


def apply(host: ServerHost, without: Collection[str] = ()) -> None:
    """Mend MiniStack, but for the adapters named in `without`; raises ValueError for a name that is none."""
    if unknown := set(without) - set(ADAPTERS):
        raise ValueError(f"there is no adapter {', '.join(sorted(unknown))}")
    for name, mend in ADAPTERS.items():
        if name not in without:
            mend(host)
