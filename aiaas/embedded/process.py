"""One server process: starts it on a free loopback port, waits until it answers, stops it."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from aiaas.embedded.account import Account

GUARD = Path(__file__).with_name("guard.py")
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
LOG_LIMIT_BYTES = 10_000_000
PORT_ATTEMPTS = 5
LOWEST_PORT, HIGHEST_PORT = 15_000, 32_000
TELLING = ("FATAL", "[FTL]", "ddress already in use", "rror:")


class EmbeddedServerError(Exception):
    """An embedded server cannot run; the message is one line that says what to do."""


def free_port(*, in_a_row: int = 1) -> int:
    """Return the first of so many loopback ports in a row that nobody has now.

    They lie below the range from which systems take ports for outgoing connections: one of those would hold
    a port that seemed free a moment ago, or that of a server while it is restarted.
    """
    while True:
        first = LOWEST_PORT + secrets.randbelow(HIGHEST_PORT - LOWEST_PORT - in_a_row)
        if all(_is_free(port) for port in range(first, first + in_a_row)):
            return first


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def guarded(
    command: list[str], *, death_signal: int = signal.SIGTERM, account: Account | None = None
) -> list[str]:
    """Wrap a command so that it dies with the thread that starts it (Linux) and runs under `account`."""
    who = [str(account.uid), str(account.gid)] if account else ["-", "-"]
    guard = [sys.executable, "-I", "-S", str(GUARD), str(int(death_signal)), str(os.getpid())]
    return [*guard, *who, *command]


class ServerProcess(ABC):
    """A server with its folder, port and log; the port stays the same over restarts.

    Start it from a thread that lives as long as the server should: on Linux it dies with that thread.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, data_dir: Path, *, port: int | None = None) -> None:
        self.data_dir = Path(data_dir).absolute()
        self.port = port or 0
        self.process: subprocess.Popen[bytes] | None = None
        self._port_is_fixed = port is not None

    @property
    def log_path(self) -> Path:
        """The file that takes the server's output."""
        return self.data_dir / "logs" / f"{self.name}.log"

    @property
    @abstractmethod
    def url(self) -> str:
        """What clients connect to; valid after `start`."""

    @abstractmethod
    def prepare(self) -> None:
        """Make folders and configuration; called before each attempt to start."""

    @abstractmethod
    def command(self) -> list[str]:
        """The program and its arguments."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether the server takes work now."""

    def account(self) -> Account | None:
        """Under whom the server runs; None: under us."""
        return None

    def start(self) -> None:
        """Start and wait until the server answers; raise EmbeddedServerError when it cannot."""
        for attempt in range(1, PORT_ATTEMPTS + 1):
            if not self._port_is_fixed:
                self.port = free_port()
            self.prepare()
            self._spawn()
            try:
                self._wait_until_ready()
            except EmbeddedServerError:
                self.kill()
                if self._port_is_fixed or attempt == PORT_ATTEMPTS or not self._port_was_taken():
                    raise
            else:
                self._port_is_fixed = True
                return

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """Stop in good order; kill after STOP_TIMEOUT_S. Harmless when it does not run."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._kill_group()
        self.process = None

    def kill(self) -> None:
        """Kill with SIGKILL, as a crash would."""
        if self.process is not None:
            self._kill_group()
        self.process = None

    def _kill_group(self) -> None:
        assert self.process is not None
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            self.process.kill()
        self.process.wait()

    def _spawn(self) -> None:
        self.log_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_LIMIT_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        command = guarded(self.command(), death_signal=self.stop_signal, account=self.account())
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            self.process = subprocess.Popen(  # noqa: S603
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True
            )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.answers():
            if not self.is_alive():
                raise EmbeddedServerError(f"{self.name} did not start: {self._last_words()}")
            if time.monotonic() > deadline:
                raise EmbeddedServerError(
                    f"{self.name} did not answer within {START_TIMEOUT_S:.0f} s; see {self.log_path}"
                )
            time.sleep(0.02)

    def _output(self) -> str:
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            return log.read(100_000).decode(errors="replace")

    def _port_was_taken(self) -> bool:
        return "address already in use" in self._output().lower()

    def _last_words(self) -> str:
        output = self._output()
        if "No space left on device" in output:
            return f"the disk is full; free some space under {self.data_dir} and try again"
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        telling = [line for line in lines if any(sign in line for sign in TELLING)]
        return f"{(telling or lines or ['no output'])[-1]} (log: {self.log_path})"
