"""The patterns of SageMaker's service model, which are Java's, tried with Python's `re`.

Python tries every way in which a text could fit. A pattern that leaves it many ways could take years and is
not tried: whoever is wrong about it hears that from SageMaker. See `tests/benchmarks/bench_patterns.py`.
"""

import functools
import re

LONGEST = 4096
"""No pattern is tried on a longer text: the service's own limits are below it, where it has any."""

# A class of Unicode characters is its ASCII members and one character for all others, which `_plain` writes.
_CLASSES = {
    "L": ("a-zA-Z", "\ue000"),
    "M": ("", "\ue001"),
    "N": ("0-9", "\ue002"),
    "P": (r"!-#%-*,-/:;?@\[-\]_{}", "\ue003"),
    "S": (r"$+<->\^`|~", "\ue004"),
    "Z": (" ", "\ue005"),
    "Alnum": ("a-zA-Z0-9", ""),
}
_CLASS = re.compile(r"\\p\{([A-Za-z]{1,10})\}")
# The end of every pattern of a URI. A bucket's name ends at the first slash: giving some of it back, as with
# the left form, never helps.
_URI, _SAME_URI = "([^/]+)/?(.*)", "[^/]++/?+.*"

_ATOM = r"(?:\\.|\[(?:\\.|[^\]\\])*\]|[^\\\[\]()|*+?{}])"
_REPEAT = r"(?:[*+?]|\{[0-9,]+\})"
_TOKEN = re.compile(rf"{_ATOM}|{_REPEAT}|\|")
_GROUP = re.compile(rf"\((?:\?:)?(?P<body>(?:{_ATOM}|{_REPEAT}|\|)*)\)(?P<repeat>{_REPEAT}?)")
_PAIR = re.compile(rf"(?P<one>{_ATOM})(?P<ones>{_REPEAT}?)(?P<other>{_ATOM})(?P<others>{_REPEAT}?)")
_WIDE = re.compile(r"(?:(?<!\\)\.|\\S|\[\^(?:\\.|[^\]\\])*\])(?:[*+](?!\+)|\{)")


def matches(pattern: str, text: str) -> bool:
    """Return whether a text fits a pattern as a whole; what cannot be tried counts as fitting."""
    if len(text) > LONGEST:
        return True
    compiled = _compiled(pattern)
    if compiled is None:
        return True
    if r"\p{" in pattern and not text.isascii():
        text = _plain(text)
    return compiled.fullmatch(text) is not None


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        written = _CLASS.sub(lambda match: "".join(_CLASSES[match[1]]), pattern.replace(_URI, _SAME_URI))
        # "$" repeated, which one pattern has, says nothing.
        written = re.sub(r"\$\{\d+,\d+\}$", "", written)
        # Java's \d, \w and \s are ASCII.
        return None if _is_slow(written) else re.compile(written, re.ASCII)
    except (re.error, KeyError, RecursionError, OverflowError):
        return None


def _is_slow(pattern: str) -> bool:
    """Return whether there are too many ways to fit: repeats in repeats, or after one another."""
    if len(_WIDE.findall(pattern)) > 1:
        return True
    while group := _GROUP.search(pattern):
        inner = any(re.fullmatch(_REPEAT, token) for token in _TOKEN.findall(group["body"]))
        outer = group["repeat"] not in ("", "?")
        if inner and outer and not _tells_apart(group["body"]):
            return True
        # What is inside has been looked at; that it repeats still counts for what is around it.
        pattern = f"{pattern[: group.start()]}{'a*' if inner or outer else 'a'}{pattern[group.end() :]}"
    return "(" in re.findall(rf"{_ATOM}|\(", pattern)


def _tells_apart(body: str) -> bool:
    """Return whether one character is enough to know where each repetition begins, as in (-*[a-z])*."""
    pair = _PAIR.fullmatch(body)
    if not pair or (pair["ones"] and pair["others"]):
        return False
    one, other = (re.compile(pair[name], re.ASCII) for name in ("one", "other"))
    return not any(one.fullmatch(each) and other.fullmatch(each) for each in map(chr, range(128)))


def _plain(text: str) -> str:
    import unicodedata  # noqa: PLC0415 - most texts are ASCII

    return "".join(
        each if each.isascii() else _CLASSES.get(unicodedata.category(each)[0], ("", each))[1]
        for each in text
    )
