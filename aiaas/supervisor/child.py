"""One process of the product under supervision: its log, its restarts, its end."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from aiaas.embedded.process import LOG_LIMIT_BYTES, guarded

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 30.0
STEADY_AFTER_S = 60.0
HUNG_AFTER_S = 120.0
ROOT = Path(__file__).resolve().parents[2]


class Child:
    """A command in a session of its own, so that Ctrl-C reaches it through us and its workers end with it."""

    def __init__(
        self,
        name: str,
        command: list[str],
        *,
        environment: dict[str, str],
        log_path: Path,
        is_ready: Callable[[], bool],
        heartbeat: Path | None = None,
    ) -> None:
        self.name = name
        self._heartbeat = heartbeat
        self.log_path = log_path
        self.is_ready = is_ready
        self._command = command
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._delay_s = FIRST_DELAY_S
        self._started_at = 0.0
        self._restart_at: float | None = None

    @property
    def pid(self) -> int:
        """The process, which leads its session."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start; does not wait until it is ready."""
        self.log_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_LIMIT_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                guarded(self._command),
                env=self._environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started_at = time.monotonic()
        self._restart_at = None

    def exit_status(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._process.poll() if self._process is not None else None

    def hangs(self) -> bool:
        """Whether it has long not touched its heartbeat file, if it has one."""
        if self._heartbeat is None or time.monotonic() - self._started_at < HUNG_AFTER_S:
            return False
        touched_at = self._heartbeat.stat().st_mtime if self._heartbeat.exists() else 0.0
        return time.time() - touched_at > HUNG_AFTER_S

    def plan_restart(self) -> float:
        """After a death: end what is left of its session; return in how many seconds it will start again.

        The delay doubles with each death in a row, up to LONGEST_DELAY_S.
        """
        self.kill()
        if time.monotonic() - self._started_at > STEADY_AFTER_S:
            self._delay_s = FIRST_DELAY_S
        delay_s, self._delay_s = self._delay_s, min(self._delay_s * 2, LONGEST_DELAY_S)
        self._restart_at = time.monotonic() + delay_s
        return delay_s

    @property
    def restart_is_planned(self) -> bool:
        """Whether it waits for its next start."""
        return self._restart_at is not None

    @property
    def restart_is_due(self) -> bool:
        """Whether it should be started now."""
        return self._restart_at is not None and time.monotonic() >= self._restart_at

    def ask_to_stop(self) -> None:
        """Send SIGTERM; the process ends its workers itself."""
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """Kill the process and what is left of its group."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def wait(self, timeout_s: float) -> None:
        """Wait for the end; kill what is still there after `timeout_s`."""
        if self._process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        self.kill()

    def last_line(self) -> str:
        """Return the last line of the log, for a message."""
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        return ([line.strip() for line in text.splitlines() if line.strip()] or ["no output"])[-1]
