"""The product's real processes, on a test's own database, Valkey and NATS."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from aiaas.embedded import NatsServer, ValkeyServer
from aiaas.embedded.process import free_port
from aiaas.supervisor.child import Child
from aiaas.supervisor.processes import product_processes
from tests.live import LiveDatabase

PATIENCE_S = 60.0


class Product:
    """Some or all of the processes; each may be killed, and each server wiped."""

    def __init__(self, live: LiveDatabase, folder: Path) -> None:
        self.valkey, self.nats = ValkeyServer(folder), NatsServer(folder)
        self.valkey.start()
        self.nats.start()
        self.port = free_port(in_a_row=2)
        environment = {
            **os.environ,
            **live.environment(),
            "REDIS_URL": self.valkey.url,
            "NATS_URL": self.nats.url,
            "DJANGO_SETTINGS_MODULE": "aiaas.settings.local",
            "PUBLIC_URL": self.url,
            "REALTIME_URL": f"ws://127.0.0.1:{self.port + 1}",
        }
        environment.pop("PYTEST_XDIST_WORKER", None)
        children = product_processes(
            environment=environment, data_dir=folder, host="127.0.0.1", port=self.port
        )
        self.children = {child.name: child for child in children}
        self.folder, self.running = folder, set[str]()
        self.pages: list[str] = []  # what a member can look at

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def socket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port + 1}/ws/chat/"

    def start(self, *names: str) -> None:
        for name in names:
            self.children[name].start()
            self.running.add(name)
        for name in names:
            wait_for(lambda child=self.children[name]: _is_ready(child), f"{name} is ready")

    def kill(self, name: str) -> None:
        """kill -9, and everything the process had started."""
        self.children[name].kill()
        self.children[name].wait(5)
        self.running.discard(name)

    def stop(self) -> None:
        for name in self.running:
            self.children[name].ask_to_stop()
        for name in self.running:
            self.children[name].wait(15)
        self.nats.stop()
        self.valkey.stop()

    def wipe_nats(self) -> None:
        """Stop NATS, delete its store, start it again."""
        self.nats.kill()
        shutil.rmtree(self.nats.store_dir)
        self.nats.start()

    def client(self, token: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Api-Key {token}"}, timeout=40)

    def log_of(self, name: str) -> str:
        return self.children[name].log_path.read_text(errors="replace")


@contextmanager
def running(live: LiveDatabase, folder: Path, *names: str) -> Iterator[Product]:
    """Run the named processes; at the end they and their servers are gone."""
    product = Product(live, folder)
    try:
        product.start(*names)
        yield product
    finally:
        product.stop()


def wait_for(condition: Callable[[], Any], what: str, *, patience_s: float = PATIENCE_S) -> None:
    """Wait until a condition holds; fail with `what` was awaited."""
    ends_at = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < ends_at, f"waited {patience_s} s in vain: {what}"
        time.sleep(0.1)


def _is_ready(child: Child) -> bool:
    assert child.exit_status() is None, f"{child.name} ended: {child.last_line()}"
    return child.is_ready()
