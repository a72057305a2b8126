"""A search for a schedule of uploads, events, invocations and faults that breaks a promise (G1 to G5).

Hundreds of schedules in every run, ten thousand in `make soak`.
A schedule that breaks a promise is shrunk by hypothesis and printed as a story.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from tests.support.delivery import schedules as delivery_schedules
from tests.support.delivery.schedules import Choose
from tests.support.delivery.world import DeliveryWorld, inhabited
from tests.support.soak import sized

pytestmark = pytest.mark.slow

SCHEDULES = sized(300, 10_000)
MOVES_OF_A_SCHEDULE = 25
NUMBERS = st.integers(0, 2**24 - 1)  # of more bits, hypothesis prefers the small ones


class Deliveries(RuleBasedStateMachine):
    """A world in which anything of `delivery_schedules.MOVES` may happen."""

    checked = 0
    """How many schedules were brought to rest, and every promise held."""

    def __init__(self) -> None:
        super().__init__()
        self.world: DeliveryWorld | None = None

    @initialize(number=NUMBERS)
    def begin(self, number: int) -> None:
        """Draw what is so throughout a schedule."""
        self.world = delivery_schedules.draw_world(_choice(number))

    # One rule for all moves: hypothesis would give each rule the same weight and leave out many of them at
    # a time, and then most schedules are over before two invocations meet.
    @rule(number=NUMBERS)
    def happen(self, number: int) -> None:
        """Let one of the moves happen that are possible now."""
        assert self.world
        choose = _choice(number)
        move = choose(delivery_schedules.possible(self.world))
        move(self.world, choose)

    def teardown(self) -> None:
        """Bring the world to rest and look at it."""
        if self.world:
            try:
                self.world.check()
                Deliveries.checked += 1
            finally:
                self.world.close()


def _choice(number: int) -> Choose:
    """Make all choices of a move of one number: to draw each by itself takes longer than all the rest."""
    left = number

    def choose(options: Sequence[Any]) -> Any:
        nonlocal left
        left, index = divmod(left, len(options))
        return options[index]

    return choose


@pytest.fixture(autouse=True)
def _world() -> Iterator[None]:
    """The handler in a world; without its log, which would take as long as all the rest."""
    logging.disable(logging.CRITICAL)
    with inhabited():
        yield
    logging.disable(logging.NOTSET)


def search(schedules: int) -> int:
    """Let hypothesis make schedules; give how many were checked to their end."""
    Deliveries.checked = 0
    run_state_machine_as_test(
        Deliveries,
        settings=settings(
            max_examples=schedules,
            stateful_step_count=MOVES_OF_A_SCHEDULE,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            deadline=None,
            derandomize=True,
            database=None,
        ),
    )
    return Deliveries.checked


@pytest.mark.soak
def test_no_schedule_breaks_a_promise() -> None:
    assert search(SCHEDULES) >= SCHEDULES


@pytest.mark.soak
def test_no_schedule_of_the_dice_breaks_a_promise() -> None:
    # Another way to choose, with weights that hypothesis does not have: longer, and oftener at work.
    for seed in range(sized(100, 2_000)):
        delivery_schedules.roll(seed, 40)
