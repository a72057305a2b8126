"""Read pipeline.json strictly, and write it as SageMaker gets it.

`load` refuses what means one thing to whoever wrote the file and another to a reader: a key given twice, NaN,
UTF-16. Whether what it says is a valid definition is not asked here. Time and memory are bounded by the size
limit, whatever the bytes are.
"""

import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from upload_trigger.definition.problems import Problem, problem, walk

__all__ = ["InvalidDefinitionError", "Problem", "load", "serialise"]
MAX_BYTES = 1_048_576
"""The service's own limit on PipelineDefinition."""
MAX_DEPTH = 400
"""A guard of the stack alone: Python 3.11 bears 1,000 calls inside one another, its JSON reader's among
them, and a copy of a definition takes two for a level. How deep one may be is SageMaker's and the policy's to
say; Airflow's test of a pipeline, which runs on AWS, nests 31 conditions in 96 levels."""
MAX_PROBLEMS = 100
"""Nobody mends more at once, and a hostile file must not make us write a book."""

_PACKED = {
    b"\x1f\x8b": "gzip",
    b"PK\3\4": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
"""What a compressed file begins with."""
_UNPACKED = {"gzip": "gunzip", "zip": "unzip", "bzip2": "bunzip2", "xz": "unxz", "zstd": "unzstd"}
_SPACE_LOOKED_AT = 1024
_LINES = dict.fromkeys(map(ord, "\t\r\n\xa0"), " ")

# Strings are matched whole: a bracket inside one does not count. The possessive quantifiers and the optional
# closing quote keep the scan linear.
_BRACKET = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{]|[\]}]', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
# Without any of these, every character and every number is what it seems.
_SUSPICIOUS = re.compile(r"\\u[dD][89a-fA-F]|NaN|Infinity|[0-9][eE]\+?[0-9]{3}|[0-9]{18}")


class InvalidDefinitionError(ValueError):
    """The definition is refused; `problems` holds every reason found (at most `MAX_PROBLEMS`)."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        noun = "problem" if len(self.problems) == 1 else "problems"
        lines = "".join(f"\n  {each}" for each in self.problems)
        super().__init__(f"the pipeline definition has {len(self.problems)} {noun}:{lines}")


def load(body: bytes) -> dict[str, Any]:
    """Decode a definition (strict JSON, UTF-8, an object at the top) or raise `InvalidDefinitionError`."""
    if len(body) > MAX_BYTES:
        raise _refusal(f"{len(body):,} bytes; SageMaker takes at most {MAX_BYTES:,}")
    text = _text(body)
    if _depth(text) > MAX_DEPTH:
        raise _refusal(f"nested deeper than {MAX_DEPTH} levels")
    document, suspicious = _decode(text)
    problems = list(itertools.islice(_unportable(document), MAX_PROBLEMS)) if suspicious else []
    if not isinstance(document, dict):
        problems = [Problem("", "it must be a JSON object: {...}"), *problems][:MAX_PROBLEMS]
    if problems:
        raise InvalidDefinitionError(problems)
    return dict(document)


def serialise(definition: dict[str, Any]) -> str:
    """Write the definition as the service gets it: compact ASCII JSON that says what was checked."""
    text = json.dumps(definition, allow_nan=False, separators=(",", ":"))
    if len(text) > MAX_BYTES:
        raise _refusal(f"{len(text):,} characters as ASCII JSON; SageMaker takes at most {MAX_BYTES:,}")
    return text


def _refusal(message: str) -> InvalidDefinitionError:
    return InvalidDefinitionError([Problem("", message)])


def _text(body: bytes) -> str:
    """Decode UTF-8, with a byte order mark or without; name what other programs make instead."""
    for begin, program in _PACKED.items():
        if body.startswith(begin):
            raise _refusal(f"compressed by {program}; write it uncompressed ({_UNPACKED[program]} does)")
    if encoding := _wide(body):
        raise _refusal(
            f"{encoding}, as > and Out-File write it in Windows PowerShell; save the file as UTF-8"
        )
    if b"\0" in body:
        raise _refusal(
            f"no text: byte {body.index(0)} is zero; the file is damaged, or something other than JSON"
        )
    try:
        text = body.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as error:
        ansi = " (Windows-1252, also called ANSI, perhaps)" if _is_ansi(body) else ""
        raise _refusal(
            f"not UTF-8{ansi}: byte {error.start}, {error.reason}; save the file as UTF-8"
        ) from error
    if not text or text.isspace():
        raise _refusal("empty; it must be a JSON object: {...}")
    if text[:_SPACE_LOOKED_AT].lstrip().startswith("<"):
        raise _refusal("a page of HTML or XML, not JSON; download the file itself")
    return text


def _wide(body: bytes) -> str | None:
    """Return the encoding of a text that has two or four bytes a character, None for any other."""
    if body.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "UTF-32"
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    # JSON begins with two ASCII characters, of which UTF-16 makes four bytes, two of them zero.
    zeros = tuple(index for index, byte in enumerate(body[:4]) if not byte)
    if zeros in ((0, 2), (1, 3)):
        return "UTF-16"
    return "UTF-32" if zeros in ((0, 1, 2), (1, 2, 3)) else None


def _is_ansi(body: bytes) -> bool:
    """Return whether every byte is a printable character of Windows-1252, a tab or the end of a line."""
    try:
        text = body.decode("cp1252")
    except UnicodeDecodeError:
        return False
    return text.translate(_LINES).isprintable()


def _depth(text: str) -> int:
    depth = deepest = 0
    for match in _BRACKET.finditer(text):
        if match[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif match[0] in "]}":
            depth -= 1
    return deepest


class _Repeated(dict[str, Any]):
    """An object with a key given twice, kept until its place in the document is known."""

    keys_given_twice: list[str]


def _integer(digits: str) -> int | float:
    # Python converts thousands of digits; the service's numbers have 64 bits.
    number = int(digits) if len(digits) <= 20 else math.inf
    return number if -(2**63) <= number < 2**63 else math.inf


def _decode(text: str) -> tuple[Any, bool]:
    """Return the document, and whether there may be something in it that is not portable."""
    repeated: list[_Repeated] = []

    def from_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        plain = dict(pairs)
        if len(plain) == len(pairs):
            return plain
        given = Counter(key for key, _ in pairs)
        repeated.append(_Repeated(plain))
        repeated[-1].keys_given_twice = [key for key, count in given.items() if count > 1]
        return repeated[-1]

    try:
        document = json.loads(text, object_pairs_hook=from_pairs, parse_int=_integer)
    except json.JSONDecodeError as error:
        message = f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise _refusal(message) from error
    return document, bool(repeated) or _SUSPICIOUS.search(text) is not None


def _unportable(document: Any) -> Iterable[Problem]:
    """Find what Python's decoder accepts and other readers do not, or read otherwise."""
    for path, value in walk(document):
        if isinstance(value, _Repeated):
            for key in value.keys_given_twice:
                yield problem((*path, key), "this key is given more than once; keep one")
        if isinstance(value, float) and not math.isfinite(value):
            yield problem(path, "not a finite number of 64 bits")
        strings = [value] if isinstance(value, str) else value if isinstance(value, dict) else ()
        if any(_SURROGATE.search(string) for string in strings):
            yield problem(path, "half of a surrogate pair (\\ud800 to \\udfff) is no character")
