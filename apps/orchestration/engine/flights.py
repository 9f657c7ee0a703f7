"""Steps of one run that call out at the same time: each in a thread, its result noted by the run's own."""

from __future__ import annotations

import contextvars
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from functools import partial

from django.db import connections

from apps.orchestration.definitions.contracts import Effect, StepDefinition, StepType
from apps.orchestration.engine.choosing import MAX_TOGETHER
from apps.orchestration.engine.commands import Execute
from apps.orchestration.steps.context import Action, Output, StepContext, StepFailed
from apps.orchestration.steps.registry import find_action


@dataclass(frozen=True)
class Landing:
    """What became of a step that called out: its output, or what it raised."""

    command: Execute
    seconds: float
    output: Output | None = None
    error: BaseException | None = None

    def result(self) -> Output:
        """Return the output, or raise what the step raised."""
        if self.error is not None:
            raise self.error
        return self.output or {}


@dataclass
class Flights:
    """What is under way for one execution of a run; the thread that owns it begins and lands all of it."""

    _under_way: dict[Future[Landing], str] = field(default_factory=dict)
    _pool: ThreadPoolExecutor | None = None

    @property
    def paths(self) -> frozenset[str]:
        """Return the paths of the steps that are under way."""
        return frozenset(self._under_way.values())

    def begin(self, command: Execute, action: Callable[[], Output], *, after_s: float = 0.0) -> None:
        """Let a step call out in a thread of its own, after a pause."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(MAX_TOGETHER, thread_name_prefix="step")
        context = contextvars.copy_context()
        future = self._pool.submit(context.run, _fly, command, action, after_s)
        self._under_way[future] = command.path

    def land(self, timeout_s: float) -> Iterator[Landing]:
        """Yield the results that are there, after waiting for the first of them for at most so long."""
        landed, _ = wait(self._under_way, timeout_s, FIRST_COMPLETED)
        for future in [future for future in self._under_way if future in landed]:
            del self._under_way[future]
            yield future.result()

    def leave(self) -> None:
        """Let go of the threads; what is still under way in them is nobody's any more."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def action_of(step: StepDefinition) -> Action:
    """Find what a step does; what only reads is cut off when its time is over, if it cannot do so itself."""
    action = find_action(step)
    is_cut = step.effect is Effect.NONE and step.type in (StepType.ROUTER, StepType.TOOL)
    return partial(_within, step.timeout_s, action) if is_cut and step.timeout_s else action


def _within(timeout_s: float, action: Action, context: StepContext) -> Output:
    """Do what only reads, and leave it to itself when it takes longer. Raises StepFailed."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="timed")
    future = pool.submit(contextvars.copy_context().run, _act, action, context)
    try:
        return future.result(timeout_s)
    except FutureTimeout:
        if future.done():
            raise
        raise StepFailed(f"it took longer than {timeout_s:g} s") from None
    finally:
        pool.shutdown(wait=False)


def _act(action: Action, context: StepContext) -> Output:
    try:
        return action(context)
    finally:
        connections.close_all()


def _fly(command: Execute, action: Callable[[], Output], after_s: float) -> Landing:
    if after_s:
        time.sleep(after_s)
    started = time.perf_counter()
    try:
        output = action()
    except BaseException as error:
        return Landing(command, time.perf_counter() - started, error=error)
    finally:
        connections.close_all()
    return Landing(command, time.perf_counter() - started, output)
