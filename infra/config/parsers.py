"""How a value of the context is read: from cdk.json with its type, from -c as text."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

PROJECT = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
TAG_KEY = r"(?u:(?!(?i:aws:))[\w .:/=+@-]{1,128})"
"""What every service that tags takes: letters of any script, digits, blanks and these signs, and not aws:."""
TAG_VALUE = r"(?u:[\w .:/=+@-]{0,256})"
ECR_DIGEST = (
    # As AWS's own credential helper reads hosts: also FIPS, dual stack, and every partition's own domain.
    r"(?P<account>\d{12})\.dkr[.-]ecr(-fips)?\.(?P<region>[a-z0-9-]+)\."
    r"(amazonaws\.(com|com\.cn|eu)|c2s\.ic\.gov|sc2s\.sgov\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov"
    r"|on\.(aws(\.ic\.gov|\.scloud|\.hci\.ic\.gov)?|cloud-aws\.adc-e\.uk|amazonwebservices\.(com\.cn|eu)))"
    r"/(?P<name>([a-z0-9]+([._-][a-z0-9]+)*/)*[a-z0-9]+([._-][a-z0-9]+)*)@sha256:[0-9a-f]{64}"
)
INSTANCE_TYPE = r"ml\.[a-z0-9-]+\.[a-z0-9]+"


_OWN_STORAGE = re.compile(
    r"ml\.(?:[a-z]+\d+[a-z]*d[a-z]*|d3|g5|g6e?|gr6|i\d+[a-z]*|p5e?n?|p6|trn\d+n?)[.-].*"
)
"""Families with NVMe storage: those with a d behind the number, and some without."""


class ConfigError(ValueError):
    """A context key or value that the stack does not accept; the message says what to write instead."""


def has_own_storage(instance_type: str) -> bool:
    """Return whether instances of a type come with storage, which SageMaker encrypts with no key of yours."""
    return _OWN_STORAGE.fullmatch(instance_type) is not None


def fail(key: str, value: object, legal: str) -> ConfigError:
    """Return the error that says what a setting may be, and where to change it."""
    return ConfigError(f"context {key}={value!r}: {legal}. Change it in cdk.json or pass -c {key}=...")


def text(pattern: str, legal: str) -> Callable[[str, object], str]:
    """Return a parser of text that a pattern matches as a whole."""

    def parse(key: str, value: object) -> str:
        # \w and \d are those of ASCII: AWS's names have no others.
        if not isinstance(value, str) or not re.fullmatch(pattern, value, re.ASCII):
            raise fail(key, value, legal)
        return value

    return parse


def project(key: str, value: object) -> str:
    """Return the name of a project."""
    legal = "a project is 3 to 30 lower-case letters, digits and single hyphens, beginning with a letter"
    name = text(PROJECT, legal)(key, value)
    # S3 makes no bucket of a shorter name; why not a longer one, MAX_NAME in checks.py says.
    if not 3 <= len(name) <= 30:
        raise fail(key, value, legal)
    return name


def choice(*choices: Any) -> Callable[[str, object], Any]:
    """Return a parser of one of some values, which text may name."""
    by_text = {str(choice): choice for choice in choices}

    def parse(key: str, value: object) -> Any:
        if isinstance(value, bool) or str(value) not in by_text:
            raise fail(key, value, f"one of {', '.join(by_text)}{did_you_mean(str(value), by_text)}")
        return by_text[str(value)]

    return parse


def integer(low: int, high: int) -> Callable[[str, object], int]:
    """Return a parser of whole numbers between two, both included."""

    def parse(key: str, value: object) -> int:
        # JSON numbers may arrive as floats through the CDK, and -c gives text.
        number = re.fullmatch(r"(-?[0-9]+)(\.0)?", str(value))
        if isinstance(value, bool) or not number or not low <= int(number[1]) <= high:
            raise fail(key, value, f"a whole number from {low} to {high}")
        return int(number[1])

    return parse


def flag(key: str, value: object) -> bool:
    """Return a truth value, which text may name."""
    if str(value).lower() not in ("true", "false"):
        raise fail(key, value, "true or false")
    return str(value).lower() == "true"


def several(item: Callable[[str, object], str]) -> Callable[[str, object], tuple[str, ...]]:
    """Return a parser of lists of at least one item."""

    def parse(key: str, value: object) -> tuple[str, ...]:
        items = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        if not isinstance(items, list | tuple) or not items:
            raise fail(key, value, "a list with at least one entry, or text separated by commas")
        return tuple(item(key, entry) for entry in items)

    return parse


def perhaps_several(item: Callable[[str, object], str]) -> Callable[[str, object], tuple[str, ...]]:
    """Return a parser of lists that may be empty."""
    return lambda key, value: () if value in (None, "", "none", [], ()) else several(item)(key, value)


def optional(parse: Callable[[str, object], Any]) -> Callable[[str, object], Any]:
    """Return a parser that reads nothing as None."""
    return lambda key, value: None if value in (None, "", "none") else parse(key, value)


def image(key: str, value: object) -> str:
    """Return where the training image comes from."""
    legal = (
        "asset, codebuild, or an image in ECR by its digest, "
        "<account>.dkr.ecr.<region>.amazonaws.com/<name>@sha256:<64 digits>"
    )
    given = re.match(r"\d{12}\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.[^/]+/([^:@]+):([\w.-]+)$", str(value))
    if given:
        region, name, tag = given.groups()
        legal += (
            f". A tag may be moved to another image: aws ecr describe-images --region {region} "
            f"--repository-name {name} --image-ids imageTag={tag} "
            "--query 'imageDetails[0].imageDigest' gives the digest"
        )
    return text(rf"asset|codebuild|{ECR_DIGEST}", legal)(key, value)


def tags(key: str, value: object) -> tuple[tuple[str, str], ...]:
    """Return tags, sorted by their keys, as every service of the stack takes them."""
    given = _pairs(value)
    if given is None or not all(isinstance(each, str) for each in given.values()):
        raise fail(key, value, "an object of texts, or name=value pairs separated by commas")
    for name, each in given.items():
        if name.casefold().startswith("aws:"):
            raise fail(key, value, f"{name!r} is AWS's own: no key of a tag may begin with aws:")
        if not re.fullmatch(TAG_KEY, name):
            raise fail(key, value, f"the key {name!r} is not 1 to 128 {_IN_A_TAG}")
        if not re.fullmatch(TAG_VALUE, each):
            raise fail(key, value, f"the value of {name} is not at most 256 {_IN_A_TAG}")
    return tuple(sorted(given.items()))


_IN_A_TAG = "letters, digits, blanks and the signs . _ : / = + - @"


def _pairs(value: object) -> dict[str, Any] | None:
    """Read an object, or the command line's form of one."""
    if isinstance(value, str):
        parts = [part for part in value.split(",") if part.strip()]
        if not all("=" in part for part in parts):
            return None
        value = dict(part.partition("=")[::2] for part in parts)
    if not isinstance(value, Mapping):
        return None
    return {str(name).strip(): _stripped(each) for name, each in value.items()}


def _stripped(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return the end of a message that names the nearest legal word, or nothing."""
    close = difflib.get_close_matches(word, list(choices), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
