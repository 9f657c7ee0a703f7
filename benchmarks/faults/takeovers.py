"""How long the runs of a process that died waited until another claimed them."""

import threading
import time
from typing import Any

import psycopg

OF_THE_DEAD = """
SELECT id, lease_epoch FROM orchestration_agentrun
WHERE lease_owner LIKE %s AND due_at IS NOT NULL AND finished_at IS NULL
"""
CLAIMED = "SELECT id, lease_epoch, due_at IS NULL FROM orchestration_agentrun WHERE id = ANY(%s)"
LOOK_S = 0.1


class Takeovers(threading.Thread):
    """Watches the runs of the dead through a connection of its own."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url, self._lock, self._stopping = url, threading.Lock(), threading.Event()
        self._left: dict[Any, tuple[int, float]] = {}
        self._dead: list[tuple[int, float]] = []
        self.waited_s: list[float] = []

    def note_death(self, pid: int, at: float) -> None:
        """Have the runs of a process watched from now on."""
        with self._lock:
            self._dead.append((pid, at))

    @property
    def is_done(self) -> bool:
        """Whether every run has been claimed."""
        with self._lock:
            return not self._left and not self._dead

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self.join(10)

    def run(self) -> None:
        """Look ten times a second; an outage of the database is waited out."""
        while not self._stopping.wait(LOOK_S):
            try:
                with psycopg.connect(self._url, autocommit=True) as connection:
                    while not self._stopping.wait(LOOK_S):
                        self._look(connection)
            except psycopg.Error:
                continue

    def _look(self, connection: psycopg.Connection[Any]) -> None:
        with self._lock:
            dead = list(self._dead)
        for pid, at in dead:
            rows = connection.execute(OF_THE_DEAD, [f"%:{pid}:%"]).fetchall()
            with self._lock:
                self._left.update({run_id: (epoch, at) for run_id, epoch in rows})
                self._dead.remove((pid, at))
        if not self._left:
            return
        for run_id, epoch, is_at_rest in connection.execute(CLAIMED, [list(self._left)]).fetchall():
            known, at = self._left[run_id]
            if epoch > known:
                self.waited_s.append(time.monotonic() - at)
            elif not is_at_rest:  # else the dead had sent their last commit
                continue
            del self._left[run_id]
