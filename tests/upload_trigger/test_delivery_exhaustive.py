"""Every order of calls within a small scope, with one fault anywhere: no promise (G1 to G5) falls.

Two invocations of the handler are at work at once, and what they call is all that moves: S3's events may come
in any order and any number of invocations may follow each other. One thing may go wrong, at any call: it is
throttled, conflicts, is denied, times out after its effect, is sent twice by botocore, the process is killed,
an event is lost, or the list of executions lacks the latest. States that were met before are not gone on from
again, so that all schedules are covered, however many there are. `make test` looks at the smaller scopes;
what each has looked at stands at the end of pytest's output.
"""

import logging
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from tests.support.delivery.exploration import (
    FAULT_KINDS,
    KILLED,
    LATE_LIST,
    Exploration,
    ExploredScope,
)
from tests.support.delivery.moves import StoryMove
from tests.support.delivery.storm_uploads import NEEDY, UNSTARTABLE, UNSTORABLE
from tests.support.delivery.world import BrokenPromiseError, inhabited
from tests.support.soak import SOAKING

pytestmark = [pytest.mark.slow, pytest.mark.soak]

MINUTE = timedelta(minutes=1)
RECONCILE = StoryMove("reconcile")
# Where SageMaker refuses to start what it has stored, the pipeline holds what started last again before the
# verdict is written. Of an upload that another invocation has just started only SageMaker's list tells then.
LISTED_AT_ONCE = tuple(each for each in FAULT_KINDS if each != LATE_LIST)
NEITHER_LATE_NOR_DENIED = tuple(each for each in LISTED_AT_ONCE if each != "denied")

USUAL = [
    ExploredScope("an upload", ("first",)),
    ExploredScope("an upload whose event comes twice", ("first",), twice=True),
    ExploredScope("an upload, and one that the policy forbids", ("first", "forbidden")),
    ExploredScope("two uploads, no fault", ("first", "second"), faults=()),
    ExploredScope(
        "an upload, and one that SageMaker does not start, no fault", ("first", UNSTARTABLE), faults=()
    ),
]
SOAK = [
    ExploredScope("two uploads", ("first", "second")),
    ExploredScope("an upload that the policy forbids, and another one", ("forbidden", "second")),
    ExploredScope("an upload, and one that SageMaker does not store", ("first", UNSTORABLE)),
    ExploredScope(
        "an upload, and one that SageMaker does not start", ("first", UNSTARTABLE), faults=LISTED_AT_ONCE
    ),
    ExploredScope(
        "an upload that SageMaker does not start, and another one",
        (UNSTARTABLE, "first"),
        faults=NEITHER_LATE_NOR_DENIED,
    ),
    ExploredScope(
        "two uploads, of which the later one stops the other", ("first", "second"), on_running="stop"
    ),
    ExploredScope("an upload, and the schedule", ("first",), extras=(RECONCILE,)),
    ExploredScope(
        "two uploads and the schedule, no fault", ("first", "second"), faults=(), extras=(RECONCILE,)
    ),
    ExploredScope(
        "an upload whose values come late",
        (NEEDY,),
        twice=True,
        faults=(KILLED,),
        extras=(StoryMove("parameters", 0, "a note"),),
    ),
]


@pytest.fixture(autouse=True)
def _handler_in_worlds() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    with inhabited():
        yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("scope", [*USUAL, *(SOAK if SOAKING else [])], ids=lambda scope: scope.name)
def test_no_schedule_within_the_scope_breaks_a_promise(
    scope: ExploredScope, record_property: Callable[[str, object], None]
) -> None:
    began = time.perf_counter()
    found = Exploration(scope).everything()
    record_property(
        "explored",
        f"{scope.name}: {found.states:,} states, {found.moves:,} moves, {found.schedules:.2g} schedules, "
        f"{found.at_rest:,} times at rest, {time.perf_counter() - began:.0f} s",
    )
    assert found.at_rest > 0


def forgetful(listed_after: int, token_lifetime: int, invocation: int) -> Exploration:
    """Explore an upload whose event comes twice, where minutes may pass at any moment."""
    return Exploration(
        ExploredScope(
            f"lists lag {listed_after} min, tokens live {token_lifetime} min, invocations {invocation} min",
            ("first",),
            twice=True,
            faults=(),
            listed_after=listed_after * MINUTE,
            token_lifetime=token_lifetime * MINUTE,
            timeout=invocation * MINUTE,
            minutes=listed_after + invocation + 1,
        )
    )


@pytest.mark.parametrize(("lag", "invocation"), [(1, 1), *([(2, 1), (1, 2)] if SOAKING else [])])
def test_a_token_has_to_live_as_long_as_a_list_lags_and_an_invocation_runs(lag: int, invocation: int) -> None:
    with pytest.raises(BrokenPromiseError, match=r"G1: A \(first\) was started 2 times"):
        forgetful(lag, lag + invocation - 1, invocation).everything()
    assert forgetful(lag, lag + invocation, invocation).everything().at_rest > 0
