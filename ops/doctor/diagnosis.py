"""What one look at AWS tells, with the command that mends it; a look that AWS refuses is told as well."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from ops.errors import DENIED, AbsentError, error_code, explain

REVERT_DRIFT = "make deploy ARGS=--revert-drift"
"""Makes again what was removed or changed beside CloudFormation; an ordinary deployment leaves it alone."""


class Level(StrEnum):
    """How much a diagnosis matters."""

    OK = "ok"
    ADVICE = "advice"
    """It stops no upload."""
    NOT_ASKED = "not asked"
    PROBLEM = "problem"
    """It stops an upload, or the execution that the upload starts."""


@dataclass(frozen=True)
class Diagnosis:
    """One thing that was looked at."""

    check: str
    outcome: Level
    message: str
    mend: str = ""
    """The command that puts it right; empty where there is nothing to do."""

    @property
    def stops(self) -> bool:
        """Return whether it stops an upload."""
        return self.outcome is Level.PROBLEM


T = TypeVar("T")
Looking: TypeAlias = Generator[Diagnosis, None, T]
"""Yields what it finds, and returns what later looks need."""


def ok(check: str, message: str) -> Diagnosis:
    """Return that all is well."""
    return Diagnosis(check, Level.OK, message)


def problem(check: str, message: str, mend: str) -> Diagnosis:
    """Return what stops an upload, and the command that mends it."""
    return Diagnosis(check, Level.PROBLEM, message, mend)


def advice(check: str, message: str, mend: str) -> Diagnosis:
    """Return what stops no upload and is likely not meant."""
    return Diagnosis(check, Level.ADVICE, message, mend)


def not_asked(check: str, message: str) -> Diagnosis:
    """Return why nobody knows."""
    return Diagnosis(check, Level.NOT_ASKED, message)


def asking(check: str, diagnoses: Looking[T]) -> Looking[T | None]:
    """Yield `diagnoses` and return what they return; where AWS does not answer, yield why and return None."""
    try:
        return (yield from diagnoses)
    except ClientError as error:
        if error_code(error) in DENIED:
            yield not_asked(check, f"AWS refuses {error.operation_name} to you")
        else:
            yield not_asked(check, explain(error).message)
    except BotoCoreError as error:
        yield not_asked(check, explain(error).message)
    except AbsentError as error:
        yield problem(check, error.message, "make deploy")
    return None
