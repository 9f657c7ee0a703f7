"""Keep one slow callee from taking every thread."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from apps.resilience.outcomes import BulkheadFull


@dataclass(frozen=True)
class BulkheadPolicy:
    """At most `max_concurrent` calls at once; another waits up to `max_wait_s`, then is refused."""

    max_concurrent: int = 10
    max_wait_s: float = 0.0


class Bulkheads:
    """The compartments of this process, one for each key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: dict[str, threading.BoundedSemaphore] = {}
        # An asyncio semaphore belongs to one loop, and goes with it.
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Semaphore]] = (
            weakref.WeakKeyDictionary()
        )

    @contextmanager
    def enter(self, key: str, policy: BulkheadPolicy, timeout_s: float | None) -> Iterator[None]:
        """Hold one place during the block; raises BulkheadFull."""
        with self._lock:
            semaphore = self._threads.setdefault(key, threading.BoundedSemaphore(policy.max_concurrent))
        wait_s = policy.max_wait_s if timeout_s is None else min(policy.max_wait_s, timeout_s)
        if not semaphore.acquire(timeout=wait_s):
            raise _full(policy)
        try:
            yield
        finally:
            semaphore.release()

    @asynccontextmanager
    async def aenter(self, key: str, policy: BulkheadPolicy, timeout_s: float | None) -> AsyncIterator[None]:
        """Hold one place of the running loop during the block; raises BulkheadFull."""
        semaphores = self._loops.setdefault(asyncio.get_running_loop(), {})
        semaphore = semaphores.setdefault(key, asyncio.Semaphore(policy.max_concurrent))
        wait_s = policy.max_wait_s if timeout_s is None else min(policy.max_wait_s, timeout_s)
        if semaphore.locked() and wait_s <= 0:
            raise _full(policy)
        try:
            await asyncio.wait_for(semaphore.acquire(), wait_s or None)
        except TimeoutError:
            raise _full(policy) from None
        try:
            yield
        finally:
            semaphore.release()


def _full(policy: BulkheadPolicy) -> BulkheadFull:
    return BulkheadFull(f"{policy.max_concurrent} calls are under way already")
