"""Everything that can happen within a scope, tried out: every order of the calls, with one fault anywhere.

The function's own code runs, on the fakes. A move is one call of an invocation, or what happens outside of
them. From each state all moves are made that are possible, and a state that was met before is not gone on
from again: the same bucket, SageMaker, events on their way, and invocations that have had the same answers.
Whenever no invocation is at work, a copy of the world is brought to rest, and every promise is asked for.
"""

import copy
import hashlib
import marshal
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from tests.support.delivery.moves import LISTED, MadeMove, StoryMove, as_story, make, operations, told
from tests.support.delivery.replays import OWN_TOKEN, HandlerReplays, ReplayedInvocation
from tests.support.delivery.world import BrokenPromiseError, DeliveryWorld
from tests.support.delivery.world_clock import START, WorldClock

GOES_ON = ("call", "minutes")
"""Of these, one after the other is one move of a story."""
KILLED, LOST, LATE_LIST = "killed", "lost", "listed late"
FAULT_KINDS = (
    "throttled",
    "conflict",
    "timed out late",
    "retried by botocore",
    "denied",
    KILLED,
    LOST,
    LATE_LIST,
)


@dataclass(frozen=True)
class ExploredScope:
    """What may happen in the worlds of a search."""

    name: str
    uploads: tuple[str, ...]
    """Their kinds, in their order; each may come at any moment."""
    twice: bool = False
    """Whether S3 sends each event twice."""
    faults: tuple[str, ...] = FAULT_KINDS
    """One of these, once, anywhere."""
    extras: tuple[StoryMove, ...] = ()
    """What may happen besides, each at most once, at any moment."""
    before: tuple[StoryMove, ...] = ()
    """What has happened before."""
    on_running: str = "parallel"
    at_once: int = 2
    """How many invocations are at work at most."""
    listed_after: timedelta = timedelta(0)
    token_lifetime: timedelta = timedelta.max
    timeout: timedelta = timedelta.max
    """How old an invocation may become."""
    minutes: int = 0
    """How many minutes may pass."""


class BreakingStoryError(BrokenPromiseError):
    """A promise falls; the message has the moves that it came from."""

    def __init__(self, broken: str, story: list[StoryMove]) -> None:
        super().__init__("\n".join([broken, *told(story)]))
        self.story = story


@dataclass
class ForkingWorld(DeliveryWorld):
    """A world that can be copied; its clock stands still unless minutes pass."""

    scope: ExploredScope = field(default_factory=lambda: ExploredScope("", ()))
    replays: HandlerReplays = field(default_factory=HandlerReplays)
    now: datetime = START
    made: list[MadeMove] = field(default_factory=list)
    to_upload: tuple[str, ...] = ()
    extras: tuple[StoryMove, ...] = ()
    faults_left: int = 1
    minutes_left: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sagemaker.listed_after = self.scope.listed_after
        self.sagemaker.token_lifetime = self.scope.token_lifetime
        self.to_upload, self.extras = self.scope.uploads, self.scope.extras
        self.minutes_left = self.scope.minutes

    def fork(self) -> "ForkingWorld":
        """Return another world in which everything is as in this one."""
        other = copy.copy(self)
        other.s3, other.sagemaker = self.s3.fork(), self.sagemaker.fork()
        other.at_work = []
        other.watch = self.watch.fork(other.s3, other.sagemaker, self.at_work)
        for each in self.at_work:
            assert isinstance(each, ReplayedInvocation)
            other.at_work.append(each.fork(other.s3, other.sagemaker, other.watch.call))
        other.watch.at_work = other.at_work
        other.events, other.retries = list(self.events), list(self.retries)
        other.given_up, other.uploaded = list(self.given_up), list(self.uploaded)
        other.made = list(self.made)
        return other

    def after(self, move: StoryMove) -> "ForkingWorld":
        """Return the world that a move makes of this one; raise `BrokenPromiseError` if a promise falls."""
        other = self.fork()
        with WorldClock.at(self.now):
            other._make(move)
            other.now = WorldClock.current
        return other

    def _make(self, move: StoryMove) -> None:
        invocation = self.invocation(move.who) if move.kind == "call" else None
        operation = invocation.next_operation if invocation else ""
        nth = operations(invocation).count(operation) + 1 if invocation else 0
        self.made.append(MadeMove(move, operation, nth))
        make(self, move)
        if invocation and invocation.ended:
            self.made[-1] = self.made[-1]._replace(was_last=True)
        if move.kind.startswith("upload"):
            self.to_upload = self.to_upload[1:]
        if move in self.extras:
            self.extras = tuple(each for each in self.extras if each != move)
        if move.kind in ("fault", "lag", "kill", "lose"):
            self.faults_left -= 1
        if move.kind == "minutes":
            self.minutes_left -= move.nth
            for each in [each for each in self.at_work if self._is_out_of_time(each)]:
                self.kill(each)

    def invocation(self, number: int) -> ReplayedInvocation | None:
        """Return one that is at work, by its number."""
        found = next((each for each in self.at_work if each.number == number), None)
        assert found is None or isinstance(found, ReplayedInvocation)
        return found

    def possible(self) -> Iterator[StoryMove]:
        """Yield every move that can be made now, those first that take the world on its way."""
        yield from (StoryMove("call", each.number) for each in self.at_work)
        has_room = len(self.at_work) < self.scope.at_once
        if has_room:
            for number, record in enumerate(self.uploaded, 1):
                if record in self.events:
                    yield StoryMove("deliver", number)
            yield from (StoryMove("retry", number) for number in range(1, len(self.retries) + 1))
        if self.to_upload:
            kind = "upload twice" if self.scope.twice else "upload"
            yield StoryMove(kind, len(self.uploaded) + 1, self.to_upload[0])
        yield from (each for each in self.extras if self._may(each))
        if self.minutes_left and (self.at_work or self.events or self.retries):
            yield StoryMove("minutes")
        if self.faults_left:
            yield from self._faults()

    def _may(self, extra: StoryMove) -> bool:
        if extra.kind == "reconcile":
            return len(self.at_work) < self.scope.at_once and bool(self.uploaded)
        if extra.kind == "delete":  # what is deleted before it has started FAILED, and rightly so
            uploads = list(self.watch.uploads.values())
            return extra.who <= len(uploads) and bool(self.watch.executions(uploads[extra.who - 1]))
        return bool(self.uploaded)

    def _faults(self) -> Iterator[StoryMove]:
        for each in self.at_work:
            for name in self.scope.faults:
                if name == KILLED:
                    yield StoryMove("kill", each.number)
                elif name == LATE_LIST:
                    found = self.invocation(each.number)
                    if self.sagemaker.executions and found and found.next_operation == LISTED:
                        yield StoryMove("lag", each.number)
                elif name != LOST:
                    yield StoryMove("fault", each.number, name)
        if LOST in self.scope.faults:
            for number, record in enumerate(self.uploaded, 1):
                if record in self.events:
                    yield StoryMove("lose", number)

    def state(self) -> bytes:
        """Return a digest of all that what happens from here depends on."""
        service = self.sagemaker
        own = f"start {OWN_TOKEN}"
        state: Any = (
            tuple(
                (key, *((each.version_id, each.body, each.is_delete_marker) for each in versions))
                for key, versions in sorted(self.s3.objects.items())
            ),
            tuple((name, *each.versions) for name, each in sorted(service.pipelines.items())),
            tuple(
                (e.arn, e.version, tuple(e.parameters.items()), e.description, e.status, e.unlisted)
                for e in service.executions
            ),
            tuple(str(each.started_at - self.now) for each in service.executions)
            if self.minutes_left
            else (),
            # With the request: the same token with another one is refused. What comes once tells nothing.
            tuple(
                (token, arn, repr(service.request_of(token)))
                for token, arn in sorted(service.start_tokens.items())
                if not token.startswith(own)
            ),
            self.watch.knows(),
            tuple((each.standing.number, each.attempt, str(self.now - each.now)) for each in self._at_work()),
            tuple(sorted(map(_named, self.events))),
            tuple(sorted((_named(event), attempt) for event, attempt in self.retries)),
            tuple(map(_named, self.given_up)),
            (len(self.to_upload), self.faults_left, self.minutes_left, *map(str, self.extras)),
        )
        return hashlib.blake2b(marshal.dumps(state, 2), digest_size=16).digest()

    def _at_work(self) -> list[ReplayedInvocation]:
        return [each for each in self.at_work if isinstance(each, ReplayedInvocation)]

    def hold_to_promises(self) -> None:
        """Bring a copy to rest, and raise `BrokenPromiseError` if a promise does not hold there."""
        with WorldClock.at(self.now):
            self.fork().check()

    def broken(self, *promises: str) -> BreakingStoryError:
        """Make the error that tells what is broken, and the moves that it came from."""
        text = "\n".join(promises)
        for number, version_id in enumerate(self.watch.uploads):
            text = text.replace(version_id, chr(ord("A") + number))
        return BreakingStoryError(text, as_story(self.made))

    def _invocation(self, event: dict[str, Any], attempt: int) -> ReplayedInvocation:
        return ReplayedInvocation(
            event,
            self.s3,
            self.sagemaker,
            self.watch.call,
            attempt,
            self.watch.moment,
            self.begun,
            replays=self.replays,
            now=WorldClock.current,
        )

    def _is_out_of_time(self, invocation: Any) -> bool:
        return bool(WorldClock.current - invocation.now > self.scope.timeout)

    def _tell(self, line: str) -> None:
        self.watch.moment += 1


def _named(event: dict[str, Any]) -> str:
    records = event.get("Records", [event])
    return " ".join(each["s3"]["object"]["versionId"] for each in records if "s3" in each) or "reconcile"


class Explored(NamedTuple):
    """How much a search has looked at."""

    states: int
    moves: int
    schedules: int
    """How many ways there are through these states."""
    at_rest: int
    """How often a world was brought to rest and held to every promise."""
    runs: int
    """How often the handler was run."""


class Exploration:
    """A search through all that a scope allows."""

    def __init__(self, scope: ExploredScope) -> None:
        self._replays = HandlerReplays(ON_RUNNING=scope.on_running)
        self._scope = scope
        self._ways: dict[bytes, int] = {}
        self._moves = self._at_rest = 0

    def begin(self) -> ForkingWorld:
        """Return the world in which everything begins."""
        with WorldClock.at(START):
            world = ForkingWorld(scope=self._scope, replays=self._replays)
            for move in self._scope.before:
                world.made.append(MadeMove(move))
                make(world, move)
        return world

    def everything(self) -> Explored:
        """Look at every state; raise `BrokenPromiseError` with the shortest schedule if a promise falls."""
        try:
            schedules = self._ways_from(self.begin())
        except BrokenPromiseError as error:
            raise BrokenPromiseError(f"{self._scope.name}: {self.shortest() or error}") from error
        return Explored(len(self._ways), self._moves, schedules, self._at_rest, self._replays.runs)

    def _ways_from(self, world: ForkingWorld) -> int:
        state = world.state()
        if state not in self._ways:
            if not world.at_work:
                self._at_rest += 1
                world.hold_to_promises()
            moves = list(world.possible())
            self._moves += len(moves)
            self._ways[state] = sum(self._ways_from(world.after(each)) for each in moves) or 1
        return self._ways[state]

    def shortest(self, at_most: int = 10) -> BreakingStoryError | None:
        """Return what the fewest moves break, where calls that nothing comes between are one move.

        None if so few break nothing.
        """
        begin = self.begin()
        frontier: deque[tuple[int, ForkingWorld | BreakingStoryError]]
        frontier = deque([(len(as_story(begin.made)), begin)])
        seen = set()
        while frontier:
            moves, world = frontier.popleft()
            if isinstance(world, BreakingStoryError):
                return world
            last = world.made[-1].move if world.made else None
            state = (world.state(), last if last and last.kind in GOES_ON else None)
            if state in seen:
                continue
            seen.add(state)
            for counts, found in _next(world, last):
                if moves + counts <= at_most:
                    (frontier.append if counts else frontier.appendleft)((moves + counts, found))
        return None


def _next(
    world: ForkingWorld, last: StoryMove | None
) -> Iterator[tuple[int, ForkingWorld | BreakingStoryError]]:
    """Yield what may follow, with whether that is another move; what is broken is found as late as that."""
    try:
        if not world.at_work:
            world.hold_to_promises()
    except BreakingStoryError as error:
        yield 0, error
        return
    for move in world.possible():
        counts = int(move != last or move.kind not in GOES_ON)
        try:
            yield counts, world.after(move)
        except BreakingStoryError as error:
            yield counts, error
