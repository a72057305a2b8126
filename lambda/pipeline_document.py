"""Read pipeline.json strictly, and say everything that is wrong with it at once.

What `json.loads` lets pass would mean one thing to whoever wrote the file and another to the service:
a key given twice, NaN, UTF-16. So `load` refuses those, and `check` looks at the structure: steps,
parameters, and whether every reference leads somewhere. Standard library only; time and memory are
bounded by the size limit, whatever the bytes are.
"""

import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pipeline_references
import pipeline_structure
from pipeline_problems import Path, Problem, problem, walk

__all__ = ["MAX_BYTES", "MAX_DEPTH", "InvalidDefinition", "Path", "Problem", "check", "load", "serialise"]

MAX_BYTES = 1_048_576
"""The service's own limit on PipelineDefinition."""
MAX_DEPTH = 64
MAX_PROBLEMS = 100
"""Nobody mends more than this at once, and a hostile file must not make us write a book."""

# Strings are matched whole so that a bracket inside one does not count. The possessive quantifiers and
# the optional closing quote keep the scan linear for any input.
_BRACKET = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{]|[\]}]', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")


class InvalidDefinition(ValueError):  # noqa: N818 - says what the definition is
    """The definition is refused; `problems` holds every reason found (at most `MAX_PROBLEMS`)."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        noun = "problem" if len(self.problems) == 1 else "problems"
        lines = "".join(f"\n  {each}" for each in self.problems)
        super().__init__(f"the pipeline definition has {len(self.problems)} {noun}:{lines}")


def load(body: bytes) -> dict[str, Any]:
    """Decode a definition (strict JSON, UTF-8, an object at the top) or raise `InvalidDefinition`."""
    if len(body) > MAX_BYTES:
        raise _refusal(f"{len(body):,} bytes; SageMaker takes at most {MAX_BYTES:,}")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _refusal(f"not UTF-8 (byte {error.start}: {error.reason}); save the file as UTF-8") from error
    if _depth(text) > MAX_DEPTH:
        raise _refusal(f"nested deeper than {MAX_DEPTH} levels")
    document = _decode(text)
    problems = list(itertools.islice(_unportable(document), MAX_PROBLEMS))
    if not isinstance(document, dict):
        problems = [Problem("", "a definition is a JSON object: {...}"), *problems][:MAX_PROBLEMS]
    if problems:
        raise InvalidDefinition(problems)
    return dict(document)


def check(definition: dict[str, Any]) -> list[Problem]:
    """List what is wrong with a loaded definition's structure (at most `MAX_PROBLEMS`, none = sound)."""
    found = itertools.chain(pipeline_structure.problems(definition), pipeline_references.problems(definition))
    return list(itertools.islice(found, MAX_PROBLEMS))


def serialise(definition: dict[str, Any]) -> str:
    """Write the definition as the service gets it: compact ASCII JSON that says what was checked."""
    text = json.dumps(definition, allow_nan=False, separators=(",", ":"))
    if len(text) > MAX_BYTES:
        raise _refusal(f"{len(text):,} characters as ASCII JSON; SageMaker takes at most {MAX_BYTES:,}")
    return text


def _refusal(message: str) -> InvalidDefinition:
    return InvalidDefinition([Problem("", message)])


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


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    given = Counter(key for key, _ in pairs)
    repeated = _Repeated(plain)
    repeated.keys_given_twice = [key for key, count in given.items() if count > 1]
    return repeated


def _integer(digits: str) -> int | float:
    # Python converts thousands of digits; the service's numbers have 64 bits.
    number = int(digits) if len(digits) <= 20 else math.inf
    return number if -(2**63) <= number < 2**63 else math.inf


def _decode(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_int=_integer)
    except json.JSONDecodeError as error:
        message = f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise _refusal(message) from error


def _unportable(document: Any) -> Iterable[Problem]:
    """Find what Python's decoder accepts and other readers of the same bytes do not, or read otherwise."""
    for path, value in walk(document):
        if isinstance(value, _Repeated):
            for key in value.keys_given_twice:
                yield problem((*path, key), "this key is given more than once; keep one")
        if isinstance(value, float) and not math.isfinite(value):
            yield problem(path, "not a finite number of 64 bits")
        strings = [value] if isinstance(value, str) else value if isinstance(value, dict) else ()
        if any(_SURROGATE.search(string) for string in strings):
            yield problem(path, "half of a surrogate pair (\\ud800 to \\udfff) is no character")
