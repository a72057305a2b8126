"""How a value of the context is read: from cdk.json with its type, from -c as text."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

PROJECT = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
POLICY_RULES = (
    *("step_types", "members", "roles", "images", "entry_points", "network", "vpc", "encryption"),
    *("environment", "texts", "tags"),
    *("locations", "instance_types", "instance_counts", "volume_sizes", "run_times", "retries"),
    *("approval_status", "model_package_group", "registration_gate", "cost"),
)
"""The rules of `lambda/function_settings.py`, which a deployment may switch off."""
ECR_DIGEST = r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/[a-z0-9][a-z0-9._/-]*@sha256:[0-9a-f]{64}"
INSTANCE_TYPE = r"ml\.[a-z0-9-]+\.[a-z0-9]+"


_OWN_STORAGE = re.compile(
    r"ml\.(?:[a-z]+\d+[a-z]*d[a-z]*|d3|g5|g6e?|gr6|i\d+[a-z]*|p5e?n?|p6|trn\d+n?)[.-].*"
)
"""Families with NVMe storage: those with a d behind the number, and some without."""


class ConfigError(ValueError):
    """A context key or value that the stack does not accept; the message says what to write instead."""


def has_own_storage(instance_type: str) -> bool:
    """Tell whether instances of a type come with storage, which SageMaker encrypts with no key of yours."""
    return _OWN_STORAGE.fullmatch(instance_type) is not None


def fail(key: str, value: object, legal: str) -> ConfigError:
    """Say what a setting may be, and where to change it."""
    return ConfigError(f"context {key}={value!r}: {legal}. Change it in cdk.json or pass -c {key}=...")


def text(pattern: str, legal: str) -> Callable[[str, object], str]:
    """Take text of a form."""

    def parse(key: str, value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise fail(key, value, legal)
        return value

    return parse


def project(key: str, value: object) -> str:
    """Take the name of a project."""
    legal = "a project is 3 to 30 lower-case letters, digits and single hyphens, beginning with a letter"
    name = text(PROJECT, legal)(key, value)
    if not 3 <= len(name) <= 30:
        raise fail(key, value, legal)
    return name


def choice(*choices: Any) -> Callable[[str, object], Any]:
    """Take one of some values."""
    by_text = {str(choice): choice for choice in choices}

    def parse(key: str, value: object) -> Any:
        if isinstance(value, bool) or str(value) not in by_text:
            raise fail(key, value, f"one of {', '.join(by_text)}{did_you_mean(str(value), by_text)}")
        return by_text[str(value)]

    return parse


def integer(low: int, high: int) -> Callable[[str, object], int]:
    """Take a whole number."""

    def parse(key: str, value: object) -> int:
        # JSON numbers may arrive as floats through the CDK, and -c gives text.
        number = re.fullmatch(r"(-?\d+)(\.0)?", str(value))
        if isinstance(value, bool) or not number or not low <= int(number[1]) <= high:
            raise fail(key, value, f"a whole number from {low} to {high}")
        return int(number[1])

    return parse


def number(low: float, high: float) -> Callable[[str, object], float]:
    """Take a number, with a point or without."""

    def parse(key: str, value: object) -> float:
        digits = re.fullmatch(r"\d{1,12}(\.\d{1,12})?", str(value).strip())
        if isinstance(value, bool) or not digits or not low <= float(digits[0]) <= high:
            raise fail(key, value, f"a number from {low} to {high}")
        return float(digits[0])

    return parse


def flag(key: str, value: object) -> bool:
    """Take true or false."""
    if str(value).lower() not in ("true", "false"):
        raise fail(key, value, "true or false")
    return str(value).lower() == "true"


def several(item: Callable[[str, object], str]) -> Callable[[str, object], tuple[str, ...]]:
    """Take a list of at least one item."""

    def parse(key: str, value: object) -> tuple[str, ...]:
        items = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        if not isinstance(items, list | tuple) or not items:
            raise fail(key, value, "a list with at least one entry, or text separated by commas")
        return tuple(item(key, entry) for entry in items)

    return parse


def perhaps_several(item: Callable[[str, object], str]) -> Callable[[str, object], tuple[str, ...]]:
    """Take a list that may be empty."""
    return lambda key, value: () if value in (None, "", "none", [], ()) else several(item)(key, value)


def optional(parse: Callable[[str, object], Any]) -> Callable[[str, object], Any]:
    """Take nothing as None."""
    return lambda key, value: None if value in (None, "", "none") else parse(key, value)


def image(key: str, value: object) -> str:
    """Take where the training image comes from."""
    legal = (
        "asset, codebuild, or an image in ECR by its digest, "
        "<account>.dkr.ecr.<region>.amazonaws.com/<name>@sha256:<64 digits>"
    )
    given = re.match(r"\d{12}\.dkr\.ecr\.([a-z0-9-]+)\.[^/]+/([^:@]+):([\w.-]+)$", str(value))
    if given:
        region, name, tag = given.groups()
        legal += (
            f". A tag may be moved to another image: aws ecr describe-images --region {region} "
            f"--repository-name {name} --image-ids imageTag={tag} "
            "--query 'imageDetails[0].imageDigest' gives the digest"
        )
    return text(rf"asset|codebuild|{ECR_DIGEST}", legal)(key, value)


def tags(key: str, value: object) -> tuple[tuple[str, str], ...]:
    """Take names with texts."""
    given = _pairs(value)
    if given is None or not all(isinstance(said, str) and said.strip() for said in given.values()):
        raise fail(key, value, "an object of texts, or name=value pairs separated by commas")
    return tuple(sorted((name, said.strip()) for name, said in given.items()))


def rules_off(key: str, value: object) -> tuple[tuple[str, str], ...]:
    """Take rules of the deployment policy with the reason why each is off."""
    given = tags(key, value)
    for rule, _ in given:
        if rule not in POLICY_RULES:
            raise fail(
                key,
                value,
                f"{rule!r} is no rule{did_you_mean(rule, POLICY_RULES)}: {', '.join(POLICY_RULES)}",
            )
    return given


def prices(key: str, value: object) -> tuple[tuple[str, float], ...]:
    """Take instance types with USD an hour."""
    legal = "an object of USD an hour by instance type, or type=price pairs separated by commas"
    given = _pairs(value)
    if given is None or not all(re.fullmatch(INSTANCE_TYPE, name) for name in given):
        raise fail(key, value, legal)
    try:
        return tuple(sorted((name, number(0, 1000)(key, price)) for name, price in given.items()))
    except ConfigError:
        raise fail(key, value, legal) from None


def _pairs(value: object) -> dict[str, Any] | None:
    """Read an object, or the command line's form of one."""
    given = (
        dict(part.partition("=")[::2] for part in value.split(",") if part.strip())
        if isinstance(value, str)
        else value
    )
    return {str(name).strip(): each for name, each in given.items()} if isinstance(given, Mapping) else None


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """End a message with the nearest legal word."""
    close = difflib.get_close_matches(word, list(choices), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
