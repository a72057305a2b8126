"""Execute a pipeline definition: every step as soon as what it refers to has succeeded.

The executor knows order, outcome and stop; what a step does is in `steps`, and every job is made through the
SageMaker client it is given.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from typing import Any

from local.engine.cache import StepCache
from local.engine.definition import StepDefinition, read, resolve_parameters
from local.engine.expressions import ExecutionVariables, ExpressionScope
from local.engine.records import Outcome, StepRecord, StepRecords
from local.engine.retry import StepFailedError, StepStoppedError
from local.engine.signals import Signal
from local.engine.steps import JobEnds, Runtime, run_step

__all__ = ["ExecutionVariables", "Executor", "Outcome", "StepRecord"]

STEP_FAILURE = "Step failure: One or multiple steps failed."


class Executor:
    """One execution of one definition; `run` blocks until it has ended, the rest may be called meanwhile.

    The waits between attempts are `retry_scale` times as long as the definition's RetryPolicies say.
    Raises DefinitionError or ParameterError when the definition or the parameters cannot run.
    """

    def __init__(
        self,
        *,
        definition: Mapping[str, Any],
        parameters: Mapping[str, str],
        variables: ExecutionVariables,
        role_arn: str,
        sagemaker: Any,
        jobs: JobEnds,
        s3: Any,
        cache: StepCache,
        note: Callable[[dict[str, Any]], None],
        retry_scale: float = 0.01,
        max_parallel_steps: int | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.definition = read(definition)
        self.role_arn = role_arn
        self._limit = max_parallel_steps or len(self.definition.steps)
        self._note_event = note
        self._now = now
        self._stopping = Signal()
        self._stop_requested = threading.Event()
        self._records = StepRecords(now)
        self._states: dict[str, str] = {}
        self._failed_by_step = False
        self._broken: BaseException | None = None
        values = resolve_parameters(self.definition, parameters)
        self._scope = ExpressionScope(self.definition, values, variables, s3, now)
        self._runtime = Runtime(
            variables=variables,
            scope=self._scope,
            sagemaker=sagemaker,
            jobs=jobs,
            cache=cache,
            records=self._records,
            note=self._note,
            stopping=self._stopping,
            retry_scale=retry_scale,
            now=now,
        )

    def run(self) -> Outcome:
        """Run the execution to its end and say how it ended.

        Whatever breaks the engine itself is raised, after every step has ended.
        """
        running: dict[Future[None], StepDefinition] = {}
        with ThreadPoolExecutor(self._limit, thread_name_prefix="step") as pool:
            while True:
                for step in self._startable(self._limit - len(running)):
                    self._records.start(step)
                    running[pool.submit(run_step, step, self._runtime)] = step
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    self._finish(running.pop(future), future.exception())
        if self._broken:
            raise self._broken
        return self._outcome()

    def stop(self) -> None:
        """Start no further step, stop the jobs that run; `run` returns once they have ended."""
        self._stop_requested.set()
        self._stopping.set()

    def steps(self) -> list[StepRecord]:
        """Return copies of the records of all steps that have started, in that order."""
        return self._records.snapshot()

    def _startable(self, room: int) -> Iterator[StepDefinition]:
        """Yield the steps that may start now, in the order of the definition, at most `room` of them."""
        self._skip()
        for step in self.definition.steps.values():
            if room <= 0 or self._stopping.is_set() or self._failed_by_step:
                return
            if step.name not in self._states and self._is_ready(step):
                self._states[step.name] = "Executing"
                room -= 1
                yield step

    def _is_ready(self, step: StepDefinition) -> bool:
        waits_for = [*step.needs, *([step.gate[0]] if step.gate else [])]
        return all(self._states.get(name) == "Succeeded" for name in waits_for)

    def _skip(self) -> None:
        """Drop every step that can no longer start, and those that wait for such a step."""
        moved = True
        while moved:
            moved = False
            for step in self.definition.steps.values():
                if step.name not in self._states and (reason := self._obstacle(step)):
                    self._states[step.name] = "Skipped"
                    self._note(step.name, "skip", {"reason": reason})
                    moved = True

    def _obstacle(self, step: StepDefinition) -> str | None:
        """Return what keeps `step` from ever starting, None if nothing does so far."""
        if step.gate and self._states.get(step.gate[0]) == "Succeeded":
            condition, due = step.gate
            outcome = self._scope.value({"Get": f"Steps.{condition}.Outcome"})
            if outcome is not due:
                return f"{condition} is {outcome}"
        for name in (*step.needs, *([step.gate[0]] if step.gate else [])):
            if (state := self._states.get(name)) in ("Failed", "Stopped", "Skipped"):
                return f"step {name} was {state.lower()}" if state != "Failed" else f"step {name} failed"
        return None

    def _finish(self, step: StepDefinition, error: BaseException | None) -> None:
        """Close a step's record; a Fail step ends the execution, a broken engine stops it."""
        if error is None:
            status, reason = "Succeeded", None
        elif isinstance(error, StepStoppedError):
            status, reason = "Stopped", error.reason
        elif isinstance(error, StepFailedError):
            status, reason = "Failed", error.reason
        else:
            status, reason = "Failed", f"InternalServerError: {type(error).__name__}: {error}"
            self._broken = error
            self._stopping.set()
        self._states[step.name] = status
        self._records.finish(step.name, status, reason)
        self._failed_by_step |= step.type == "Fail" and status == "Failed"

    def _outcome(self) -> Outcome:
        if self._stop_requested.is_set():
            return Outcome("Stopped")
        if {"Failed", "Stopped"} & set(self._states.values()):
            return Outcome("Failed", STEP_FAILURE)
        return Outcome("Succeeded")

    def _note(self, step: str, event: str, about: Mapping[str, Any]) -> None:
        self._note_event({"time": self._now().isoformat(), "step": step, "event": event, **about})
