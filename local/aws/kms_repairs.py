"""Let keys be switched off, on and away by their ARN, which moto takes for some operations only."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from moto.kms.models import KmsBackend

_MOTOS = {
    name: getattr(KmsBackend, name)
    for name in ("cancel_key_deletion", "disable_key", "enable_key", "schedule_key_deletion")
}


def install() -> None:
    """Put the repairs in."""
    for name, original in _MOTOS.items():
        setattr(KmsBackend, name, _by_any_name(original))


def _by_any_name(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def operation(backend: KmsBackend, key_id: str, *arguments: Any, **options: Any) -> Any:
        return original(backend, backend.get_key_id(key_id), *arguments, **options)

    return operation
