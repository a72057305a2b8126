"""Everything that may happen in a world, as moves: what hypothesis combines, and a seeded dice, too."""

import random
from collections.abc import Callable, Sequence
from typing import Any

from tests.support.delivery.invocations import FAULTS
from tests.support.delivery.storm_uploads import BODIES, KEYS, PARAMETERS, PLAIN
from tests.support.delivery.world import DeliveryWorld

Choose = Callable[[Sequence[Any]], Any]
"""Chooses one of several."""
Move = Callable[[DeliveryWorld, Choose], None]

KINDS = (*PLAIN, *PLAIN, *PLAIN, *BODIES)
FAULT_NAMES = tuple(FAULTS)
AT_ONCE = 3
"""More invocations than this add time and nothing else."""


def upload(world: DeliveryWorld, choose: Choose) -> None:
    world.upload(choose(KINDS), choose((KEYS[0], *KEYS)))


def upload_parameters(world: DeliveryWorld, choose: Choose) -> None:
    world.upload_parameters(choose(tuple(PARAMETERS)), choose((KEYS[0], *KEYS)))


def delete(world: DeliveryWorld, choose: Choose) -> None:
    world.delete(choose(KEYS))


def deliver(world: DeliveryWorld, choose: Choose) -> None:
    """Start an invocation on one to three records, in any order, which may repeat one."""
    records = [choose(world.events) for _ in range(choose((1, 1, 1, 2, 3)))]
    world.deliver(*records)


def duplicate(world: DeliveryWorld, choose: Choose) -> None:
    world.duplicate(choose(world.events))


def repeat(world: DeliveryWorld, choose: Choose) -> None:
    """Send an event once more that may have been delivered long ago."""
    uploads = [record for record in world.s3.records if is_definition(record)]
    world.duplicate(choose(uploads))


def drop(world: DeliveryWorld, choose: Choose) -> None:
    world.drop(choose(world.events))


def step(world: DeliveryWorld, choose: Choose) -> None:
    world.step(choose(world.at_work), choose((1, 2, 3, 5, 8, 13)))


def run(world: DeliveryWorld, choose: Choose) -> None:
    world.run(choose(world.at_work))


def kill(world: DeliveryWorld, choose: Choose) -> None:
    world.kill(choose(world.at_work))


def fault(world: DeliveryWorld, choose: Choose) -> None:
    """Let the next call of an invocation go wrong, and what follows from it happen."""
    invocation = choose(world.at_work)
    world.fault(invocation, choose(FAULT_NAMES))
    world.step(invocation, 2)


def retry(world: DeliveryWorld, choose: Choose) -> None:
    world.retry(choose(range(len(world.retries))))


def redrive(world: DeliveryWorld, choose: Choose) -> None:
    world.redrive()


def reconcile(world: DeliveryWorld, choose: Choose) -> None:
    world.reconcile(choose((0, 900)), failed=choose((False, True)))


def wait(world: DeliveryWorld, choose: Choose) -> None:
    world.wait(days=choose((0, 0, 2)))


def is_definition(record: dict[str, Any]) -> bool:
    """Return whether a record is one that the bucket notifies the function of."""
    is_upload = record["eventName"].startswith("ObjectCreated:")
    return is_upload and record["s3"]["object"]["key"] in KEYS


def _always(world: DeliveryWorld) -> bool:
    return True


def _has_events(world: DeliveryWorld) -> bool:
    return bool(world.events)


def _has_room(world: DeliveryWorld) -> bool:
    return len(world.at_work) < AT_ONCE


def _has_uploads(world: DeliveryWorld) -> bool:
    return bool(world.watch.uploads)


def _is_busy(world: DeliveryWorld) -> bool:
    return bool(world.at_work)


MOVES: dict[Move, tuple[int, tuple[Callable[[DeliveryWorld], bool], ...]]] = {
    run: (3, (_is_busy,)),
    deliver: (6, (_has_events, _has_room)),
    upload: (3, (_always,)),
    kill: (2, (_is_busy,)),
    fault: (3, (_is_busy,)),
    retry: (3, (lambda world: bool(world.retries), _has_room)),
    duplicate: (2, (_has_events,)),
    repeat: (1, (_has_uploads,)),
    drop: (1, (_has_events,)),
    redrive: (1, (lambda world: bool(world.given_up), _has_room)),
    reconcile: (1, (_has_uploads, _has_room)),
    upload_parameters: (1, (_has_uploads,)),
    delete: (1, (_has_uploads,)),
    wait: (1, (_has_uploads,)),
    # Hypothesis likes both ends of a range: most common moves are there.
    step: (8, (_is_busy,)),
}
"""Each move with its weight, and when it is possible."""


def possible(world: DeliveryWorld) -> list[Move]:
    """Return the moves that can be made, each as often as it is to be chosen."""
    found = []
    for move, (weight, conditions) in MOVES.items():
        if all(condition(world) for condition in conditions):
            found.extend([move] * weight)
    return found


def draw_world(choose: Choose) -> DeliveryWorld:
    """Make a world: how lists lag behind, clocks differ and tokens count in it, and what an upload stops."""
    on_running = choose(("parallel", "parallel", "stop"))
    world = DeliveryWorld(lag=choose((0, 0, 1, 3)), skew=choose((0, -120, 120)))
    world.redeploy(ON_RUNNING=on_running)
    world.sagemaker.strict_tokens = choose((True, False))
    return world


def roll(seed: int, moves: int) -> DeliveryWorld:
    """Run one schedule of the dice to its end and check every promise."""
    dice = random.Random(seed)
    world = draw_world(dice.choice)
    try:
        world.upload(dice.choice(KINDS))
        for _ in range(moves):
            dice.choice(possible(world))(world, dice.choice)
        world.check()
    finally:
        world.close()
    return world
