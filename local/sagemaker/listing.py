"""What all of SageMaker's List operations do alike: filter by time, sort, cut into pages."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from botocore.utils import parse_timestamp

from local.sagemaker.errors import ValidationError
from local.sagemaker.requests import Call

_PAGE = 100
"""The most that MaxResults may ask for: whoever asks for no size has everything in few pages."""
T = TypeVar("T")


def page(call: Call, items: Sequence[Any], member: str) -> dict[str, Any]:
    """Return the part of `items` that MaxResults and NextToken ask for, as the response's `member`."""
    start = _offset(call.get("NextToken"))
    end = start + call.get("MaxResults", _PAGE)
    answer: dict[str, Any] = {member: list(items[start:end])}
    if end < len(items):
        answer["NextToken"] = base64.urlsafe_b64encode(str(end).encode()).decode()
    return answer


def in_order(call: Call, items: Iterable[T], key: Callable[[T], Any], default: str = "Descending") -> list[T]:
    """Sort as the request's SortOrder says."""
    return sorted(items, key=key, reverse=call.get("SortOrder", default) == "Descending")


def between(call: Call, moment: datetime, after: str, before: str) -> bool:
    """Return whether `moment` lies between the times that two parameters of the request name."""
    earliest, latest = _time(call.get(after)), _time(call.get(before))
    return (earliest is None or moment >= earliest) and (latest is None or moment <= latest)


def _time(value: Any) -> datetime | None:
    """Return a time of a request: in JSON a number of seconds or a text."""
    if value is None:
        return None
    try:
        moment: datetime = value if isinstance(value, datetime) else parse_timestamp(value)
    except ValueError as error:
        raise ValidationError(f"{value!r} is not a time.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _offset(token: str | None) -> int:
    if not token:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token))
    except (ValueError, binascii.Error) as error:
        raise ValidationError("Invalid pagination token: send the NextToken of the last page.") from error
