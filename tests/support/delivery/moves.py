"""Moves of a schedule as plain values, to be printed, compared, and made again in another world."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import NamedTuple

from tests.support.delivery.invocations import Invocation
from tests.support.delivery.storm_uploads import BUCKET, KEYS, PIPELINES
from tests.support.delivery.world import DeliveryWorld
from tests.support.delivery.world_clock import WorldClock

MINUTE = timedelta(minutes=1)
LISTED = "ListPipelineExecutions"


class StoryMove(NamedTuple):
    """One thing that happens; what `who` counts, from 1, are uploads or invocations."""

    kind: str
    who: int = 0
    what: str = ""
    nth: int = 1

    def __str__(self) -> str:
        upload = chr(ord("A") - 1 + self.who)
        again = f" ({self.nth} times)" if self.nth > 1 else ""
        return {
            "upload": f"upload {upload}: {self.what}",
            "upload twice": f"upload {upload}: {self.what}; S3 sends its event twice",
            "deliver": f"the event of {upload} comes",
            "lose": f"the event of {upload} is lost",
            "retry": "Lambda tries an event again",
            "reconcile": "the schedule reconciles",
            "call": f"invocation {self.who} makes a call",
            "until": f"invocation {self.who} runs until it has called {self.what}{again}",
            "end": f"invocation {self.who} runs to its end",
            "fault": f"invocation {self.who}: its next call is {self.what}",
            "lag": f"invocation {self.who} lists executions, and the latest is not among them yet",
            "kill": f"invocation {self.who} is killed",
            "parameters": f"upload parameters.json: {self.what}",
            "delete": f"somebody deletes version {upload}",
            "by hand": "somebody stores another definition by hand",
            "minutes": f"{self.nth} minutes pass",
        }[self.kind]


def make(world: DeliveryWorld, move: StoryMove) -> None:
    """Let a move happen; one that is not possible, such as of an invocation that has ended, is left out."""
    who = move.who
    if move.kind in ("call", "until", "end", "fault", "lag", "kill"):
        invocation = next((each for each in world.at_work if each.number == who), None)
        if invocation:
            _go_on(world, invocation, move)
    elif move.kind in ("deliver", "lose", "delete"):
        record = world.uploaded[who - 1]
        if move.kind == "delete":
            version = {"Key": KEYS[0], "VersionId": record["s3"]["object"]["versionId"]}
            world.s3.call("DeleteObject", {"Bucket": BUCKET, **version})
        elif record in world.events and move.kind == "deliver":
            world.deliver(record)
        elif record in world.events:
            world.drop(record)
    else:
        _happen(world, move)


def _go_on(world: DeliveryWorld, invocation: Invocation, move: StoryMove) -> None:
    match move.kind:
        case "kill":
            world.kill(invocation)
        case "end":
            world.run(invocation)
        case "until":
            while Counter(operations(invocation))[move.what] < move.nth and not invocation.ended:
                world.step(invocation, 0)
        case "lag":
            if world.sagemaker.executions:
                world.sagemaker.executions[-1].unlisted += 1
                world.watch.is_not_listed_for(invocation, world.sagemaker.executions[-1])
                one_call(world, invocation)
        case "fault":
            world.fault(invocation, move.what)
            one_call(world, invocation)
        case _:
            one_call(world, invocation)


def _happen(world: DeliveryWorld, move: StoryMove) -> None:
    match move.kind:
        case "upload":
            world.upload(move.what)
        case "upload twice":
            world.duplicate(world.upload(move.what))
        case "retry":
            if len(world.retries) >= move.who:
                world.retry(move.who - 1)
        case "reconcile":
            world.reconcile()
        case "parameters":
            world.upload_parameters(move.what)
        case "by hand":
            by_hand = {"PipelineName": PIPELINES[KEYS[0]], "PipelineDefinition": '{"Steps": []}'}
            if by_hand["PipelineName"] in world.sagemaker.pipelines:
                world.sagemaker.call("UpdatePipeline", by_hand)
        case "minutes":
            WorldClock.current += move.nth * MINUTE
        case _:
            raise ValueError(f"no move: {move}")


def one_call(world: DeliveryWorld, invocation: Invocation) -> None:
    """Let an invocation make its next call, or end."""
    before = len(invocation.calls)
    while len(invocation.calls) == before and not invocation.ended:
        world.step(invocation, 0)


def operations(invocation: Invocation) -> list[str]:
    """Return what an invocation has called so far."""
    return [call.operation for call in invocation.calls]


class MadeMove(NamedTuple):
    """A move that was made; of a call, which one it was and whether it was the last."""

    move: StoryMove
    operation: str = ""
    nth: int = 0
    was_last: bool = False


def as_story(made: Iterable[MadeMove]) -> list[StoryMove]:
    """Return the moves of a schedule: the calls that an invocation makes without a break are one."""
    story: list[StoryMove] = []
    for each in made:
        kind, who = each.move.kind, each.move.who
        goes_on = story and kind == "call" and story[-1].kind == "until" and story[-1].who == who
        waits_on = story and kind == "minutes" and story[-1].kind == "minutes"
        last = story.pop() if goes_on or waits_on else None
        if last and waits_on:
            story.append(last._replace(nth=last.nth + each.move.nth))
        elif kind == "call":
            run = StoryMove("until", who, each.operation, each.nth)
            story.append(StoryMove("end", who) if each.was_last else run)
        else:
            story.append(each.move)
    return story


def told(story: Sequence[StoryMove]) -> Iterator[str]:
    """Yield the moves of a story as lines, each with its number."""
    for number, move in enumerate(story, 1):
        yield f"{number:2}. {move}"
