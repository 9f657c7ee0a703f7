"""What a running `up` leaves in its data folder: a lock, its environment, the processes that it started."""

import contextlib
import fcntl
import json
import os
import signal
import time
from pathlib import Path
from typing import IO

import psutil

from aiaas.embedded.secrets import write_private

LEFTOVER_PATIENCE_S = 5.0


class DataInUseError(Exception):
    """Another `up` holds the data folder; carries what it wrote about itself."""

    def __init__(self, run: dict[str, object]) -> None:
        super().__init__("the data folder is in use")
        self.run = run


class RunState:
    """The files `up.lock`, `run.json` and `processes.json` of one data folder."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._lock: IO[str] | None = None
        self._processes: dict[str, tuple[int, float]] = {}

    def lock(self) -> None:
        """Hold the data folder until this process ends; raise DataInUseError."""
        lock = (self.data_dir / "up.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise DataInUseError(self.read_run()) from None
        self._lock = lock

    def unlock(self) -> None:
        """Let go, if we hold it; the environment of this run is forgotten."""
        if self._lock is not None:
            self._run_file.unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    @property
    def _run_file(self) -> Path:
        return self.data_dir / "run.json"

    @property
    def _processes_file(self) -> Path:
        return self.data_dir / "processes.json"

    def write_run(self, **facts: object) -> None:
        """Tell other commands how to reach this run's servers; only our own account can read it."""
        write_private(self._run_file, json.dumps({"pid": os.getpid(), **facts}))

    def read_run(self) -> dict[str, object]:
        """Return what the running `up` wrote; empty while it starts."""
        try:
            run: dict[str, object] = json.loads(self._run_file.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return run

    def remember(self, name: str, pid: int) -> None:
        """Note a process, so that the next start can end it if we cannot."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self._processes[name] = (pid, psutil.Process(pid).create_time())
            write_private(self._processes_file, json.dumps(self._processes))

    def end_leftovers(self) -> list[str]:
        """End what a killed `up` left behind and return the names; call it with the lock held."""
        try:
            noted: dict[str, tuple[int, float]] = json.loads(self._processes_file.read_text())
        except (FileNotFoundError, ValueError):
            return []
        found = {name: _session(pid, created) for name, (pid, created) in noted.items()}
        left = [process for processes in found.values() for process in processes]
        _send(left, signal.SIGTERM)
        _, stubborn = psutil.wait_procs(left, timeout=LEFTOVER_PATIENCE_S)
        _send(stubborn, signal.SIGKILL)
        psutil.wait_procs(stubborn, timeout=LEFTOVER_PATIENCE_S)
        self._processes_file.unlink(missing_ok=True)
        return [name for name, processes in found.items() if processes]


def _session(leader: int, created: float) -> list[psutil.Process]:
    """Return the living processes of the session that a child of ours led, itself included.

    A number that belongs to a younger process by now is somebody else's.
    """
    try:
        if abs(psutil.Process(leader).create_time() - created) > 1:
            return []
    except psutil.NoSuchProcess:
        pass
    return [process for process in psutil.process_iter() if _is_in_session(process, leader, created)]


def _is_in_session(process: psutil.Process, leader: int, created: float) -> bool:
    try:
        belongs = os.getsid(process.pid) == leader and process.create_time() >= created - 1
        return belongs and process.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, PermissionError, psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _send(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process.send_signal(number)


def wait_for_run(state: RunState, *, timeout_s: float) -> dict[str, object]:
    """Return the facts of a running `up`, which may just be starting; empty when it never writes them."""
    deadline = time.monotonic() + timeout_s
    while not (run := state.read_run()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return run
