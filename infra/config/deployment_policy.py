"""What a definition may ask for: `deployment_policy.json` beside cdk.json, read and checked.

The document goes to the function as it is, in DEPLOYMENT_POLICY; the rules are in `lambda/`, whose `Policy`
has the same members with the same defaults. IAM gets the same instance types, run time and approvals.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from infra.config.parsers import ECR_DIGEST, INSTANCE_TYPE, TAG_KEY, ConfigError, did_you_mean

POLICY_FILE = "deployment_policy.json"

RULES = (
    *("step_types", "members", "roles", "images", "entry_points", "network", "vpc", "encryption"),
    *("environment", "texts", "tags"),
    *("locations", "instance_types", "instance_counts", "volume_sizes", "run_times", "retries", "cache"),
    *("approval_status", "model_package_group", "registration", "cost"),
)
"""The rules of `lambda/upload_trigger/settings.py`, which a deployment may switch off."""
APPROVAL_STATUSES = ("Approved", "PendingManualApproval", "Rejected")
ENTRY_POINTS = tuple(f"python -m training.{step}" for step in ("preprocess", "train", "evaluate"))
"""How the shipped definition's containers start."""

MAX_BYTES = 2700
"""Lambda takes 4 KB of environment; the other variables have up to 1.2 KB, long names and ARNs included."""
LONGEST_KEY_ARN = f"arn:aws-us-gov:kms:us-gov-west-1:{'0' * 12}:key/{'0' * 36}"
"""What counts for a key of the stack's, whose ARN nobody knows before CloudFormation made it."""

_COMMAND = r"[\w./-]+( [\w./:=-]+)*"
_GPU = re.compile(r"ml\.(g|gr|p)\d.*")
"""The families whose instances have NVIDIA's GPUs."""

Read = Callable[[str, Any], Any]
"""Takes the JSON pointer of a value and the value; returns it typed, or raises `ConfigError`."""


def _wrong(pointer: str, value: object, must: str) -> ConfigError:
    shown = json.dumps(value, ensure_ascii=False)
    shown = shown if len(shown) <= 80 else f"{shown[:80]}..."
    return ConfigError(f"{POLICY_FILE}: {pointer} is {shown}; it must be {must}")


def _number(low: int, high: int, *, whole: bool = True) -> Read:
    must = f"a {'whole ' if whole else ''}number from {low} to {high:,}"

    def read(pointer: str, value: Any) -> int | float:
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise _wrong(pointer, value, must)
        if not low <= value <= high:  # true of no NaN
            raise _wrong(pointer, value, must)
        return value if whole else float(value)

    return read


def _text(pattern: str, must: str) -> Read:
    def read(pointer: str, value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value, re.ASCII):
            raise _wrong(pointer, value, must)
        return value

    return read


def _choice(choices: tuple[str, ...]) -> Read:
    def read(pointer: str, value: Any) -> str:
        if value not in choices:
            raise _wrong(pointer, value, f"one of {', '.join(choices)}{did_you_mean(str(value), choices)}")
        return str(value)

    return read


def _list(item: Read, *, empty: bool = True) -> Read:
    def read(pointer: str, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _wrong(pointer, value, "a list")
        if not value and not empty:
            raise _wrong(pointer, value, "a list with at least one entry")
        return tuple(item(f"{pointer}/{index}", each) for index, each in enumerate(value))

    return read


def _object(name: Read, item: Read) -> Read:
    def read(pointer: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _wrong(pointer, value, "an object")
        return {name(pointer, key): item(f"{pointer}/{key}", each) for key, each in value.items()}

    return read


def _rule(pointer: str, name: str) -> str:
    if name not in RULES:
        raise ConfigError(
            f"{POLICY_FILE}: {pointer} names {name}, which is no rule{did_you_mean(name, RULES)}. "
            f"The rules: {', '.join(RULES)}"
        )
    return name


def _name(pattern: str, what: str) -> Read:
    def read(pointer: str, name: str) -> str:
        if not re.fullmatch(pattern, name, re.ASCII):
            raise ConfigError(f"{POLICY_FILE}: {pointer} names {name!r}, which is not {what}")
        return name

    return read


_INSTANCE_TYPES = _list(_text(INSTANCE_TYPE, "an instance type such as ml.m5.xlarge"), empty=False)
_REASON = _text(r"(?s).*\S.*", "the reason, in words")


def _member(default: Any, read: Read) -> Any:
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata={"read": read})
    return dataclasses.field(default=default, metadata={"read": read})


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeploymentPolicy:
    """What the definitions of a deployment may ask for; every field is the member of the same name."""

    policy_off: Mapping[str, str] = _member({}, _object(_rule, _REASON))
    """Rules that do not count, each with the reason, as in `{"cost": "the budget alarm watches it"}`:
    docs/policy.md lists them."""
    further_step_types: Mapping[str, str] = _member(
        {}, _object(_name(r"[A-Z][A-Za-z]{0,49}", "a step type such as Lambda"), _REASON)
    )
    """Step types that may run although the policy does not know their Arguments, each with the reason."""
    allowed_images: tuple[str, ...] = _member(
        (), _list(_text(ECR_DIGEST, "an image in ECR with its digest, <host>/<name>@sha256:<64 digits>"))
    )
    """More images for jobs, by digest; IAM lets jobs pull from the training image's repository only."""
    entry_points: tuple[str, ...] = _member(
        ENTRY_POINTS, _list(_text(_COMMAND, "a command: words between blanks"), empty=False)
    )
    """The commands that a job's container may start with."""
    environment_keys: tuple[str, ...] = _member(
        (), _list(_text(r"[A-Za-z_][A-Za-z0-9_]*", "the name of an environment variable"))
    )
    """What a definition may set in the Environment of a container."""
    tag_keys: tuple[str, ...] = _member(
        ("TrainingType", "project", "execution"), _list(_text(TAG_KEY, "the key of a tag"))
    )
    """The tags that a definition may give to jobs."""
    processing_instance_types: tuple[str, ...] = _member(
        ("ml.m5.large", "ml.m5.xlarge", "ml.m5.2xlarge", "ml.m5.4xlarge"), _INSTANCE_TYPES
    )
    """What Preprocess and the evaluations may run on; IAM refuses anything else. With a GPU type, ml.g or
    ml.p, here or in `training_instance_types`, the image has PyTorch's CUDA libraries, too."""
    training_instance_types: tuple[str, ...] = _member(
        ("ml.c5.xlarge", "ml.c5.2xlarge", "ml.c5.4xlarge", "ml.m5.xlarge", "ml.m5.2xlarge"), _INSTANCE_TYPES
    )
    """What the training jobs may run on; IAM refuses anything else."""
    max_instance_count: int = _member(4, _number(1, 100))
    """How many instances a job may have."""
    max_volume_gb: int = _member(100, _number(1, 16384))
    """The largest volume of an instance."""
    max_runtime_seconds: int = _member(86400, _number(60, 2419200))
    """The longest MaxRuntimeInSeconds that IAM lets a job ask for: the ceiling of its bill."""
    max_wait_seconds: int = _member(172800, _number(60, 2419200))
    """The longest MaxWaitTimeInSeconds of a Spot job; waiting costs time and no money."""
    max_retry_attempts: int = _member(5, _number(0, 20))
    """The most MaxAttempts of a retry policy; each may run, and bill, a job again."""
    max_cache_days: int = _member(30, _number(0, 3650))
    """The oldest result of a step that a CacheConfig may take instead of running the step."""
    model_approval_statuses: tuple[str, ...] = _member(
        ("PendingManualApproval",), _list(_choice(APPROVAL_STATUSES), empty=False)
    )
    """The approval statuses the pipeline may register with; by default only a person approves."""
    instance_prices: Mapping[str, float] = _member(
        {},
        _object(_name(INSTANCE_TYPE, "an instance type such as ml.m5.xlarge"), _number(0, 1000, whole=False)),
    )
    """USD an hour of instance types, instead of and beside us-east-1's in `policy/prices.py`."""
    max_execution_cost_usd: float = _member(150.0, _number(0, 1_000_000, whole=False))
    """The most that an execution may cost if every job runs its whole time and is retried to the end."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the document, where there is one; raise `ConfigError` with one sentence on what is wrong."""
        document = _document(path) if path.exists() else {}
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for name in document.keys() - fields.keys():
            raise ConfigError(
                f"{POLICY_FILE}: /{name} is not a member of the policy{did_you_mean(name, fields)}. "
                f"Its members: {', '.join(fields)}"
            )
        return cls(
            **{name: fields[name].metadata["read"](f"/{name}", value) for name, value in document.items()}
        )

    @property
    def gpus(self) -> bool:
        """Return whether a job may run on an instance with a GPU."""
        kinds = (*self.processing_instance_types, *self.training_instance_types)
        return any(_GPU.fullmatch(kind) for kind in kinds)

    def variable(self, job_parameters: Mapping[str, str]) -> str:
        """Write the function's DEPLOYMENT_POLICY, or raise `ConfigError` when Lambda would not take it.

        Every limit is written out: what the template shows is what counts. Beside it are the parameters of
        the jobs' network and volumes; a key of the stack's has its ARN only when CloudFormation made it.
        """
        members = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        text = json.dumps(members, separators=(",", ":"))
        beside = {name: LONGEST_KEY_ARN if "${" in value else value for name, value in job_parameters.items()}
        room = MAX_BYTES - (len(json.dumps(beside)) if beside else 0)
        if len(text.encode()) > room:
            lists = ", ".join(name for name, value in members.items() if isinstance(value, tuple))
            raise ConfigError(
                f"{POLICY_FILE}: it has {len(text.encode()):,} bytes without blanks, and the function's "
                f"environment has room for {room:,}: shorten the reasons in policy_off and "
                f"further_step_types, or the lists {lists}"
            )
        return text


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_no_member_twice)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{POLICY_FILE}, line {error.lineno}, column {error.colno}: it is not JSON: {error.msg}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{POLICY_FILE}: it cannot be read as a text in UTF-8: {error}") from error
    if not isinstance(document, dict):
        raise _wrong("the document", document, 'an object, such as {"max_instance_count": 4}')
    return document


def _no_member_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise ConfigError(f"{POLICY_FILE}: {twice[0]} is there more than once; leave one of them")
    return dict(pairs)
