"""What a deployment may choose: the flat context keys of `cdk.json`, checked and typed.

    python -m infra.config    # the table of them

`-c key=value` on the command line wins over `cdk.json`. Only `app.py` reads the context; everything
else is handed a frozen `Config`.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

LOG_RETENTION_DAYS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400),
    *(545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653),
)
"""The retentions that CloudWatch Logs accepts."""

APPROVAL_STATUSES = ("Approved", "PendingManualApproval", "Rejected")

_PROJECT = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
_INSTANCE_TYPE = r"ml\.[a-z0-9-]+\.[a-z0-9]+"
_ECR_IMAGE = (
    r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/"
    r"[a-z0-9][a-z0-9._/-]*(:[\w][\w.-]{0,127}|@sha256:[0-9a-f]{64})"
)
_TOPIC_ARN = r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]+"


class ConfigError(ValueError):
    """A context key or value that the stack does not accept; the message says what to write instead."""


def _fail(key: str, value: object, legal: str) -> ConfigError:
    return ConfigError(f"context {key}={value!r}: {legal}. Change it in cdk.json or pass -c {key}=...")


def _text(pattern: str, legal: str) -> Callable[[str, object], str]:
    def parse(key: str, value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise _fail(key, value, legal)
        return value

    return parse


def _project(key: str, value: object) -> str:
    legal = "a project is 3 to 30 lower-case letters, digits and single hyphens, beginning with a letter"
    name = _text(_PROJECT, legal)(key, value)
    if not 3 <= len(name) <= 30:
        raise _fail(key, value, legal)
    return name


def _choice(*choices: Any) -> Callable[[str, object], Any]:
    by_text = {str(choice): choice for choice in choices}

    def parse(key: str, value: object) -> Any:
        if isinstance(value, bool) or str(value) not in by_text:
            raise _fail(key, value, f"one of {', '.join(by_text)}{_did_you_mean(str(value), by_text)}")
        return by_text[str(value)]

    return parse


def _integer(low: int, high: int) -> Callable[[str, object], int]:
    def parse(key: str, value: object) -> int:
        # JSON numbers may arrive as floats through the CDK, and -c gives text.
        number = re.fullmatch(r"(-?\d+)(\.0)?", str(value))
        if isinstance(value, bool) or not number or not low <= int(number[1]) <= high:
            raise _fail(key, value, f"a whole number from {low} to {high}")
        return int(number[1])

    return parse


def _flag(key: str, value: object) -> bool:
    if str(value).lower() not in ("true", "false"):
        raise _fail(key, value, "true or false")
    return str(value).lower() == "true"


def _several(item: Callable[[str, object], str]) -> Callable[[str, object], tuple[str, ...]]:
    def parse(key: str, value: object) -> tuple[str, ...]:
        items = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        if not isinstance(items, list | tuple) or not items:
            raise _fail(key, value, "a list with at least one entry, or text separated by commas")
        return tuple(item(key, entry) for entry in items)

    return parse


def _optional(parse: Callable[[str, object], Any]) -> Callable[[str, object], Any]:
    return lambda key, value: None if value in (None, "", "none") else parse(key, value)


def _tags(key: str, value: object) -> tuple[tuple[str, str], ...]:
    tags = dict(part.partition("=")[::2] for part in value.split(",")) if isinstance(value, str) else value
    if not isinstance(tags, Mapping) or not all(isinstance(text, str) and text for text in tags.values()):
        raise _fail(key, value, "tags are an object of texts, or name=value pairs separated by commas")
    return tuple(sorted((str(name).strip(), text.strip()) for name, text in tags.items()))


def _did_you_mean(word: str, choices: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(choices), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _setting(default: Any, parse: Callable[[str, object], Any]) -> Any:
    return dataclasses.field(default=default, metadata={"parse": parse})


_INSTANCE_TYPES = _several(_text(_INSTANCE_TYPE, "an instance type looks like ml.m5.xlarge"))
_DAYS_OR_NEVER = _optional(_integer(1, 3650))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """One deployment's choices; every field is the context key of the same name."""

    project: str = _setting("cv-birds", _project)
    """Names the stack, the bucket, the pipeline, the model package group and every role."""
    training_image_uri: str | None = _setting(
        None,
        _optional(
            _text(_ECR_IMAGE, "<account>.dkr.ecr.<region>.amazonaws.com/<name>:<tag>, an image in ECR")
        ),
    )
    """An image that is already in ECR; without it the deployment builds training/Dockerfile."""
    torch_index_url: str | None = _setting(
        None, _optional(_text(r"https://[^\s@]+", "an https:// address without a login"))
    )
    """The index of CPU-only wheels that PyTorch's install page names, for an image of 0.7 GB instead of 5.5;
    without it the image gets pip's own wheels, which run on CPU and GPU instances."""
    image_user_id: int = _setting(1000, _integer(0, 60000))
    """The user of the image's containers; 0 (root) should SageMaker's folders not let others write."""
    processing_instance_types: tuple[str, ...] = _setting(
        ("ml.m5.large", "ml.m5.xlarge", "ml.m5.2xlarge", "ml.m5.4xlarge"), _INSTANCE_TYPES
    )
    """What Preprocess and the evaluations may run on; IAM refuses anything else."""
    training_instance_types: tuple[str, ...] = _setting(
        ("ml.c5.xlarge", "ml.c5.2xlarge", "ml.c5.4xlarge", "ml.m5.xlarge", "ml.m5.2xlarge", "ml.g4dn.xlarge"),
        _INSTANCE_TYPES,
    )
    """What the training jobs may run on; IAM refuses anything else."""
    max_runtime_seconds: int = _setting(86400, _integer(60, 2419200))
    """The longest MaxRuntimeInSeconds that IAM lets a job ask for: the ceiling of its bill."""
    model_approval_statuses: tuple[str, ...] = _setting(
        ("PendingManualApproval",), _several(_choice(*APPROVAL_STATUSES))
    )
    """The approval statuses the pipeline may register with; by default only a person approves."""
    reserved_concurrency: int | None = _setting(None, _optional(_integer(1, 1000)))
    """Concurrency reserved for the function: 1 takes uploads one by one; new accounts have none to spare."""
    executions_expire_days: int | None = _setting(None, _DAYS_OR_NEVER)
    """Days after which executions/ is deleted; by default never, because model packages point into it."""
    checkpoints_expire_days: int | None = _setting(30, _DAYS_OR_NEVER)
    """Days after which a checkpoint is too old to resume from."""
    noncurrent_versions_expire_days: int = _setting(90, _integer(1, 3650))
    """Days for which an overwritten or deleted object can be brought back."""
    log_retention_days: int = _setting(90, _choice(*LOG_RETENTION_DAYS))
    """How long the function's log is kept."""
    retain_data: bool = _setting(True, _flag)
    """Whether `cdk destroy` leaves the bucket and the model package group in place."""
    alarm_topic_arn: str | None = _setting(None, _optional(_text(_TOPIC_ARN, "the ARN of an SNS topic")))
    """Who is told when an upload fails; without it the alarms only show in CloudWatch."""
    tags: tuple[tuple[str, str], ...] = _setting((), _tags)
    """More tags for every resource, beside project."""

    @classmethod
    def from_context(cls, context: Mapping[str, object]) -> Self:
        """Read our keys out of the CDK's context; raise `ConfigError` on an unknown key or illegal value."""
        fields = {field.name: field for field in dataclasses.fields(cls)}
        # The CDK's own keys are namespaced (aws:cdk:..., @aws-cdk/...); ours are plain words.
        ours = {key: value for key, value in context.items() if not re.search(r"[:@/]", key)}
        for key in sorted(ours.keys() - fields.keys()):
            raise ConfigError(
                f"context {key!r} is not a setting{_did_you_mean(key, fields)}. Known: {', '.join(fields)}."
            )
        return cls(**{key: fields[key].metadata["parse"](key, value) for key, value in ours.items()})


def table() -> str:
    """Write every context key as a Markdown table; what it does is its field's docstring."""
    (body,) = (node for node in ast.parse(inspect.getsource(Config)).body if isinstance(node, ast.ClassDef))
    rows = ["| Key | Default | What it does |", "|---|---|---|"]
    for field, said in itertools.pairwise(body.body):
        match field, said:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                what = inspect.cleandoc(text).replace("\n", " ")
                rows.append(f"| `{name}` | {_shown(name)} | {what} |")
    return "\n".join(rows)


def _shown(name: str) -> str:
    default = getattr(Config(), name)
    if isinstance(default, tuple):
        default = ", ".join(map(str, default))
    return f"`{str(default).lower() if isinstance(default, bool) else default}`" if default else "none"


if __name__ == "__main__":
    print(table())
