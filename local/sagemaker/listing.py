"""What all of SageMaker's List operations do alike: filter by time, sort, cut into pages."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar


from local.sagemaker.requests import Call

_PAGE = 100
T = TypeVar("T")


def page(call: Call, items: Sequence[Any], member: str) -> dict[str, Any]:
    """Give the part of `items` that MaxResults and NextToken ask for, as the response's `member`."""
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
    """Tell whether `moment` lies between the times that two parameters of the request name."""
    time = _aware(moment)
    earliest, latest = call.get(after), call.get(before)
    return (earliest is None or time >= _aware(earliest)) and (latest is None or time <= _aware(latest))


def _aware(moment: datetime) -> datetime:
    # moto's times are UTC without saying so.
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _offset(token: str | None) -> int:
    if not token:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token))
    except (ValueError, binascii.Error) as error:
        raise ValidationError("Invalid pagination token: send the NextToken of the last page.") from error
