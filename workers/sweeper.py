"""Finds due work in its table and does it, whether or not the broker lives."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import structlog
from django.db import close_old_connections

Look = Callable[..., int]

INTERVAL_S = 1.0
log = structlog.get_logger(__name__)


class Sweeper:
    """One thread that looks every 1 to 2 s, and at once again while there is more than it could take."""

    def __init__(
        self,
        threads: int,
        *,
        look: Look,
        name: str,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._look, self._name = look, name
        self._threads, self._interval_s = threads, interval_s
        self._stop = threading.Event()
        self._free = threading.Semaphore(threads)
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to sweep; does nothing when it does already."""
        if self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._loop, name=self._name, daemon=True)
            self._thread.start()

    def stop(self, timeout_s: float = 10) -> None:
        """Stop looking and wait for what is being executed."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
            self._thread = None

    def _loop(self) -> None:
        with ThreadPoolExecutor(self._threads, thread_name_prefix=self._name) as pool:
            while not self._stop.is_set():
                is_busy = self._sweep(pool)
                # Jitter keeps many workers from looking all at the same moment.
                pause_s = 0.02 if is_busy else self._interval_s * random.uniform(1, 2)  # noqa: S311
                self._stop.wait(pause_s)

    def _sweep(self, pool: ThreadPoolExecutor) -> bool:
        """Look once; tells whether it is worth looking again at once."""
        free = self._count_free()
        if free == 0:
            return True
        try:
            found = self._look(limit=free, submit=lambda work: self._submit(pool, work))
        except Exception:
            log.warning("sweep_failed", exc_info=True)
            return False
        finally:
            close_old_connections()
        return found >= free

    def _count_free(self) -> int:
        taken = 0
        while self._free.acquire(blocking=False):
            taken += 1
        for _ in range(taken):
            self._free.release()
        return taken

    def _submit(self, pool: ThreadPoolExecutor, work: Callable[[], bool]) -> None:
        self._free.acquire()

        def done(_: Future[bool]) -> None:
            self._free.release()

        pool.submit(_within_own_connections, work).add_done_callback(done)


def _within_own_connections(work: Callable[[], bool]) -> bool:
    close_old_connections()
    try:
        return work()
    finally:
        close_old_connections()
