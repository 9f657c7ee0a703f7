"""An installation whose every process and server can be killed by itself: fsync on, nothing of it is left."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from aiaas.embedded import Servers, start_servers
from aiaas.embedded.process import free_port
from aiaas.embedded.secrets import data_secrets
from aiaas.supervisor.child import Child
from aiaas.supervisor.processes import product_processes

SETTINGS = "aiaas.settings.local"
MORTAL_SETTINGS = "benchmarks.faults.settings"


class Place:
    """Servers, and processes by name: `worker-0`, `background-1`. Made and used on one thread."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.warrants = folder / "warrants"
        self.warrants.mkdir()
        self.servers: Servers = start_servers(folder)
        secret = data_secrets(folder)["secret_key"]
        os.environ.update(self.servers.urls, SECRET_KEY=secret, AIAAS_DATA=str(folder), LOG_LEVEL="WARNING")
        os.environ.update({"DJANGO_SETTINGS_MODULE": SETTINGS, **variables})
        self.children: dict[str, Child] = {}
        self._port = free_port(in_a_row=2)

    def prepare(self) -> None:
        """Set Django up in this process, too, and migrate."""
        import django
        from django.core.management import call_command

        django.setup()
        with open(os.devnull, "w") as nowhere:
            call_command("migrate_schemas", stdout=nowhere, verbosity=0)

    def start(self, kind: str, number: int, **variables: str) -> Child:
        """Start one process of a kind; it dies at the points for which there are warrants."""
        name = f"{kind}-{number}"
        environment = {
            **os.environ, "DJANGO_SETTINGS_MODULE": MORTAL_SETTINGS, "FAULTS_FOLDER": str(self.warrants),
            **variables,
        }  # fmt: skip
        processes = product_processes(
            environment=environment, data_dir=self.folder / name, host="127.0.0.1", port=self._port
        )
        self.children[name] = next(child for child in processes if child.name == kind)
        self.children[name].start()
        return self.children[name]

    def restart_dead(self) -> int:
        """Start again what has died, and return how many that were."""
        dead = [name for name, child in self.children.items() if child.exit_status() is not None]
        for name in dead:
            child = self.children[name]
            if child.exit_status() != -signal.SIGKILL:
                raise RuntimeError(f"{name} ended by itself: {child.last_line()}")
            child.kill()
            (self.folder / name / f"{child.name}.ready").unlink(missing_ok=True)
            child.start()
        return len(dead)

    def count_ready(self, kind: str) -> int:
        """Return how many processes of a kind live and are ready."""
        chosen = [child for name, child in self.children.items() if name.startswith(kind)]
        return sum(child.exit_status() is None and child.is_ready() for child in chosen)

    def stop_postgres_immediately(self) -> None:
        """Stop as `pg_ctl stop -m immediate` does, and start again: it recovers from its log."""
        postgres = self.servers.postgres
        assert postgres
        assert postgres.process
        postgres.process.send_signal(signal.SIGQUIT)
        postgres.process.wait(30)
        postgres.start()

    def kill_valkey(self) -> None:
        """Kill it and start it again, empty."""
        assert self.servers.valkey
        self.servers.valkey.kill()
        self.servers.valkey.start()

    def flush_valkey(self) -> None:
        """Empty it."""
        assert self.servers.valkey
        with redis.Redis.from_url(self.servers.valkey.url) as client:
            client.flushall()

    def copy_nats(self) -> None:
        """Keep a copy of the store as it is now."""
        self._without_nats(lambda store: shutil.copytree(store, self._copy))

    def restore_nats(self) -> None:
        """Kill NATS, and let it start with the copy."""

        def restore(store: Path) -> None:
            shutil.rmtree(store)
            shutil.copytree(self._copy, store)

        self._without_nats(restore)

    def wipe_nats(self) -> None:
        """Kill NATS, and let it start without any store."""
        self._without_nats(shutil.rmtree)

    def kill_nats(self) -> None:
        """Kill it and start it again, with its store."""
        self._without_nats(lambda _: None)

    def stop(self) -> None:
        """End the processes, then the servers."""
        for child in self.children.values():
            child.kill()
        self.servers.stop()

    @property
    def _copy(self) -> Path:
        return self.folder / "nats-copy"

    def _without_nats(self, change: Callable[[Path], Any]) -> None:
        nats = self.servers.nats
        assert nats
        nats.kill()
        change(nats.store_dir)
        nats.start()


@contextmanager
def open_place(**variables: str) -> Iterator[Place]:
    """Make an installation in a folder of its own, and leave nothing of it."""
    with tempfile.TemporaryDirectory(prefix="aiaas-faults-") as folder:
        Path(folder).chmod(0o711)
        place = Place(Path(folder), **variables)
        try:
            yield place
        finally:
            place.stop()


def wait_for(condition: Callable[[], Any], what: str, *, patience_s: float = 120.0) -> None:
    """Wait until a condition holds; raise with `what` was awaited."""
    ends_at = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > ends_at:
            raise TimeoutError(f"waited {patience_s:.0f} s in vain: {what}")
        time.sleep(0.05)
