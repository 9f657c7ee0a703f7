"""Keeps the children and the embedded servers running, and stops them in order."""

import time
from collections.abc import Callable

from aiaas.embedded import EmbeddedServerError, ServerProcess, Servers
from aiaas.supervisor.child import Child
from aiaas.supervisor.console import LogFollower, say
from aiaas.supervisor.state import RunState

READY_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 12.0
TICK_S = 0.2
SERVER_RETRY_S = 2.0


class NotReadyError(Exception):
    """A process of the product did not become ready; the message names its log."""


class Supervisor:
    """Owns every process of one `up`; call it from the main thread, with which the processes die."""

    def __init__(self, state: RunState) -> None:
        self.state = state
        self.servers = Servers()
        self.children: list[Child] = []
        self.tell: Callable[[str], None] = say

    def adopt_servers(self, servers: Servers) -> None:
        """Look after running servers."""
        self.servers = servers
        for server in servers.all:
            self._remember_server(server)

    def start_children(self, children: list[Child]) -> None:
        """Start all of them, then wait until each is ready; raise NotReadyError."""
        for child in children:
            self.children.append(child)
            child.start()
            self.state.remember(child.name, child.pid)
        deadline = time.monotonic() + READY_TIMEOUT_S
        for child in children:
            self._wait_until_ready(child, deadline)

    def watch(self, *, show_logs: bool) -> None:
        """Restart what dies, for ever."""
        follower = LogFollower([child.log_path for child in self.children] if show_logs else [])
        while True:
            self.tend()
            follower.show_new()
            time.sleep(TICK_S)

    def tend(self) -> None:
        """Look once at every process."""
        for server in self.servers.all:
            if not server.is_alive():
                self._restart_server(server)
        for child in self.children:
            self._tend_child(child)

    def stop(self) -> None:
        """Stop the doorways and workers, then the servers beneath them."""
        for child in self.children:
            child.ask_to_stop()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for child in self.children:
            child.wait(max(0.0, deadline - time.monotonic()))
        self.servers.stop()

    def kill(self) -> None:
        """End everything at once; nothing that was committed is lost."""
        for child in self.children:
            child.kill()
        self.servers.stop()

    def _wait_until_ready(self, child: Child, deadline: float) -> None:
        while not child.is_ready():
            status = child.exit_status()
            if status is not None:
                raise NotReadyError(f"{child.name} ended with {status}: {_last_words(child)}")
            if time.monotonic() > deadline:
                patience = f"{READY_TIMEOUT_S:.0f} s"
                raise NotReadyError(f"{child.name} is not ready after {patience}: {_last_words(child)}")
            time.sleep(0.1)

    def _tend_child(self, child: Child) -> None:
        if child.restart_is_due:
            child.start()
            self.state.remember(child.name, child.pid)
            return
        if child.restart_is_planned:
            return
        status = child.exit_status()
        if status is not None or child.hangs():
            delay_s = child.plan_restart()
            self.tell(f"{child.name} {_fate(status)}; again in {delay_s:g} s (log: {child.log_path})")

    def _restart_server(self, server: ServerProcess) -> None:
        self.tell(f"{server.name} ended; starting it again (log: {server.log_path})")
        server.kill()
        try:
            server.start()
        except EmbeddedServerError as error:
            self.tell(str(error))
            time.sleep(SERVER_RETRY_S)
        else:
            self._remember_server(server)

    def _remember_server(self, server: ServerProcess) -> None:
        if server.process is not None:
            self.state.remember(server.name, server.process.pid)


def _last_words(child: Child) -> str:
    return f"{child.last_line()} (log: {child.log_path})"


def _fate(status: int | None) -> str:
    if status is None:
        return "hangs"
    return f"was ended by signal {-status}" if status < 0 else f"ended with {status}"
