"""What a deployment may choose, read from the flat context keys of `cdk.json` and checked.

    python tools/reference.py    # writes the tables of docs/configuration.md

`-c key=value` on the command line wins over `cdk.json`. What a definition may ask for is in a document of its
own, `deployment_policy.json`. Only `app.py` reads the two; everything else is handed a frozen `Config`.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import re
from collections.abc import Mapping

from infra.config.config import Config, context_keys
from infra.config.consistency import check
from infra.config.deployment_policy import POLICY_FILE, DeploymentPolicy
from infra.config.parsers import ConfigError, did_you_mean

__all__ = ["GONE", "DeploymentPolicy", "read_context", "table"]

GONE = {
    "access_logs_expire_days": "log_retention_days says how long these logs are kept, too",
    "create_vpc": "jobs run in subnets of yours, which subnet_ids and security_group_ids name: "
    "docs/configuration.md",
    "min_accuracy_threshold": "whoever writes data and definition could meet any threshold; what counts is "
    f"the person who approves, as model_approval_statuses in {POLICY_FILE} demands",
    "reconcile_minutes": "the function looks for lost uploads every hour",
    "torch_index_url": "the image has PyTorch for CPUs, and for GPUs as soon as "
    f"{POLICY_FILE} allows an instance type with one",
    "training_image_uri": "it is called image now: write -c image=<uri>@sha256:<digest>, or the same in "
    "cdk.json",
}
"""Context keys of earlier editions, and what became of them."""


def read_context(context: Mapping[str, object], policy: DeploymentPolicy | None = None) -> Config:
    """Read our keys out of the CDK's context; raise `ConfigError` on an unknown key or illegal value."""
    parsers = context_keys()
    # The CDK's own keys are namespaced (aws:cdk:..., @aws-cdk/...); ours are plain words.
    ours = {key: value for key, value in context.items() if not re.search(r"[:@/]", key)}
    _check_keys(ours)
    choices = {key: parsers[key](key, value) for key, value in ours.items()}
    config = Config(policy=policy or DeploymentPolicy(), **choices)
    if config.hardened and "encryption_key" not in ours:
        config = dataclasses.replace(config, encryption_key="own")
    check(config)
    return config


def _check_keys(given: Mapping[str, object]) -> None:
    """Raise `ConfigError` for keys that are none, or none any more; all that moved are named at once."""
    members = [field.name for field in dataclasses.fields(DeploymentPolicy) if field.name in given]
    said = [f"context {key!r} is gone: {GONE[key]}." for key in GONE if key in given]
    if members:
        listed = ", ".join(map(repr, members))
        said.insert(
            0,
            f"context {listed}: what a definition may ask for is in {POLICY_FILE} now, beside "
            f"cdk.json, under the same {'names' if members[1:] else 'name'}; write it there.",
        )
    if said:
        raise ConfigError(" ".join([*said, "Remove that from cdk.json, or leave out the -c."]))
    keys = context_keys()
    for key in sorted(given.keys() - keys.keys()):
        raise ConfigError(
            f"context {key!r} is not a setting{did_you_mean(key, keys)}. Known: {', '.join(keys)}."
        )


def table(of: type = Config, head: str = "Key") -> str:
    """Write every field of a class as a Markdown table; what it does is its docstring."""
    (body,) = (node for node in ast.parse(inspect.getsource(of)).body if isinstance(node, ast.ClassDef))
    rows = [f"| {head} | Default | What it does |", "|---|---|---|"]
    for field, said in itertools.pairwise(body.body):
        match field, said:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                what = inspect.cleandoc(text).replace("\n", " ")
                rows.append(f"| `{name}` | {_shown(getattr(of(), name))} | {what} |")
    return "\n".join(rows)


def _shown(default: object) -> str:
    if isinstance(default, tuple):
        default = ", ".join(map(str, default))
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`" if default or default == 0 else "none"
