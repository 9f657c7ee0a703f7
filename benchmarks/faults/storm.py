"""What is done to an installation while it works: kills, zombies, and servers that go away."""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg

from benchmarks.faults.place import Place
from benchmarks.faults.points import BY_NAME, POINTS
from benchmarks.faults.sagas import Sagas
from benchmarks.faults.takeovers import Takeovers

IN_COMMIT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE usename = 'aiaas_app' AND state = 'active' AND query ILIKE '%%COMMIT%%' LIMIT 1
"""
FREEZE_POINTS = ("intent committed", "effect happened", "before commit")
OUTAGES = (
    "kill_valkey", "flush_valkey", "kill_nats", "wipe_nats", "restore_nats", "stop_postgres_immediately",
)  # fmt: skip
THAW_MARGIN_S = 4.0
TELL_S = 5.0


class Storm:
    """Spreads its faults over the work, by a seed; at each kill the process starts again."""

    def __init__(self, place: Place, takeovers: Takeovers, *, seed: int, lease_s: float) -> None:
        self.place, self.takeovers, self.lease_s = place, takeovers, lease_s
        self.random = random.Random(seed)
        self.deaths: Counter[str] = Counter()
        self.frozen: Counter[str] = Counter()
        self.terminated_in_commit = 0
        self._open: list[str] = []
        self._read = 0
        self._begun_at = self._told_at = time.monotonic()
        self._thaw: list[tuple[float, int]] = []

    def plan(
        self,
        *,
        kills: int,
        zombies: int,
        commits: int,
        outages: int,
        kinds: tuple[str, ...],
        process: str = "",
    ) -> list[Callable[[], Any]]:
        """Return all faults in the order in which they come; each point and each kind has its turn."""
        names = [point.name for point in POINTS if process in ("", point.process)]
        faults: list[Callable[[], Any]] = [self._kill(names[turn % len(names)]) for turn in range(kills)]
        faults += [self._freeze(FREEZE_POINTS[turn % len(FREEZE_POINTS)]) for turn in range(zombies)]
        faults += [getattr(self.place, kinds[turn % len(kinds)]) for turn in range(outages)]
        faults += [self._terminate_in_commit] * commits
        self.random.shuffle(faults)
        return faults

    def turn(self) -> None:
        """Note who has died or froze, start the dead again, and wake the frozen whose time is over."""
        self._read_deaths()
        self.place.restart_dead()
        now = time.monotonic()
        for until, pid in [each for each in self._thaw if each[0] <= now]:
            self._thaw.remove((until, pid))
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def tell(self, ended: int) -> None:
        """Print how far it has come, every few seconds."""
        now = time.monotonic()
        if now - self._told_at > TELL_S:
            self._told_at = now
            dead, frozen = sum(self.deaths.values()), sum(self.frozen.values())
            print(f"{now - self._begun_at:.0f} s: {ended} ended, {dead} kills, {frozen} zombies,"
                  f" open: {', '.join(self._open) or '-'}", flush=True)  # fmt: skip

    def wait_for_dead(self, patience_s: float = 60.0) -> None:
        """Have every open warrant carried out; one that nobody passes any more is taken back."""
        ends_at = time.monotonic() + patience_s
        while self._open or self._thaw:
            self.turn()
            if time.monotonic() > ends_at:
                self._take_back()
            time.sleep(0.05)

    @property
    def has_warrants(self) -> bool:
        """Whether one is open that nobody has met yet."""
        return bool(self._open)

    def is_busy(self, ready: int) -> bool:
        """Tell whether a warrant is open already, or too few processes are there to lose one."""
        count = self.place.count_ready
        is_thin = count("worker") < ready + len(self._thaw) or count("background") < 1
        return bool(self._open) or len(self._thaw) > 1 or is_thin

    def _kill(self, point: str) -> Callable[[], None]:
        return lambda: self._warrant(signal.SIGKILL, point)

    def _freeze(self, point: str) -> Callable[[], None]:
        return lambda: self._warrant(signal.SIGSTOP, point)

    def _warrant(self, what: signal.Signals, point: str) -> None:
        name = f"{what.name} {point}"
        self._open.append(name)
        (self.place.warrants / name).touch()

    def _take_back(self) -> None:
        for name in list(self._open):
            with suppress(FileNotFoundError):
                (self.place.warrants / name).unlink()
                self._open.remove(name)

    def _read_deaths(self) -> None:
        path = self.place.warrants / "deaths"
        lines = path.read_text().splitlines() if path.exists() else []
        for line in lines[self._read :]:
            what, point, pid, at = line.split("\t")
            self._open.remove(f"{what} {point}")
            is_worker = BY_NAME[point].process == "worker"
            if what == signal.SIGSTOP.name:
                self.frozen[point] += 1
                self._thaw.append((float(at) + self.lease_s + THAW_MARGIN_S, int(pid)))
            else:
                self.deaths[point] += 1
                if is_worker:
                    self.takeovers.note_death(int(pid), float(at))
        self._read = len(lines)

    def _terminate_in_commit(self) -> None:
        """End a session whose COMMIT is under way, so that its client cannot know what became of it."""
        assert self.place.servers.postgres
        ends_at = time.monotonic() + 5
        with psycopg.connect(self.place.servers.postgres.superuser_url, autocommit=True) as connection:
            while time.monotonic() < ends_at:
                if connection.execute(IN_COMMIT).fetchone():
                    self.terminated_in_commit += 1
                    return


class Feeder(threading.Thread):
    """Starts what is released of the sagas, as a doorway would, and counts those that have ended."""

    def __init__(self, sagas: Sagas, count: int) -> None:
        super().__init__(daemon=True)
        self.sagas, self.count = sagas, count
        self.released = self.ended = 0
        self._failure: BaseException | None = None

    def release(self, count: int) -> None:
        """Let some more begin."""
        self.released = min(self.count, self.released + count)

    def run(self) -> None:
        """Start them, and go on counting until all have ended."""
        try:
            started = 0
            while self.ended < self.count:
                while started < self.released:
                    self.sagas.start(started)
                    started += 1
                time.sleep(0.1)
                self.ended = self.sagas.count_ended()
        except BaseException as error:
            self._failure = error

    def check(self) -> None:
        """Raise what ended the thread."""
        if self._failure:
            raise RuntimeError("sagas cannot be started") from self._failure

    def wait(self, storm: Storm, patience_s: float) -> None:
        """Wait until all of them have ended; progress, however slow, earns more patience."""
        seen, moved_at = -1, time.monotonic()
        while self.ended < self.count:
            storm.turn()
            storm.tell(self.ended)
            self.check()
            if self.ended != seen:
                seen, moved_at = self.ended, time.monotonic()
            if time.monotonic() - moved_at > patience_s:
                raise TimeoutError(f"{seen} of {self.count} sagas ended, then none for {patience_s:.0f} s")
            time.sleep(0.05)
