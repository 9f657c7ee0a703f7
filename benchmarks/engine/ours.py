"""Our side: the engine in a process of its own, and a worker as the product runs it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings

from aiaas.embedded.process import guarded
from aiaas.embedded.servers import Servers
from benchmarks.installation import SERVER_VARIABLES

READY_S = 120
WORKER = [sys.executable, "-m", "celery", "-A", "aiaas", "worker", "--pool", "threads", "-l", "WARNING"]
LEAN = ["--concurrency", "4", "--without-gossip", "--without-mingle"]


class Engine:
    """Runs `program.py` against the servers, each turn in a process of its own."""

    database = "aiaas"

    def __init__(self, servers: Servers, folder: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if name not in SERVER_VARIABLES}
        own = {
            "AIAAS_DATA": str(folder),
            "DJANGO_SETTINGS_MODULE": "aiaas.settings.local",
            "DB_POOL_SIZE": "20",  # DBOS's default
            "EMBEDDING_MODEL": "",
            "PYTHONPATH": str(settings.ROOT),
            "SECRET_KEY": "local-benchmark-" + "x" * 50,
        }
        self.environment = {**kept, **servers.urls, **own}
        self._folder = folder

    def __enter__(self) -> "Engine":
        self.ask("prepare")
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def inline(self, *, threads: int, seconds: float, kind: str = "transactional") -> dict[str, Any]:
        """Execute runs of five steps of a kind from so many threads of one process."""
        return self.ask("inline", threads=threads, seconds=seconds, kind=kind)

    def ask(self, mode: str, **options: Any) -> dict[str, Any]:
        """Call a function of `program.py` and return the facts that it prints."""
        command = [sys.executable, "-m", "benchmarks.engine.program", mode, json.dumps(options)]
        done = subprocess.run(
            guarded(command),
            cwd=settings.ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{mode}: {done.stderr[-2000:]}")
        facts: dict[str, Any] = json.loads(done.stdout.rpartition("facts=")[2])
        return facts

    @contextmanager
    def worker(self) -> Iterator[None]:
        """Run one worker of the product."""
        ready = self._folder / "worker.ready"
        ready.unlink(missing_ok=True)
        with (self._folder / "worker.log").open("wb") as log:
            process = subprocess.Popen(
                guarded([*WORKER, *LEAN]),
                cwd=settings.ROOT,
                env={**self.environment, "READY_FILE": str(ready), "CELERY_SKIP_CHECKS": "1"},
                stdout=log,
                stderr=log,
            )
            try:
                _await(ready, process)
                yield
            finally:
                process.terminate()
                process.wait(60)


def _await(ready: Path, process: subprocess.Popen[bytes]) -> None:
    for _ in range(READY_S * 10):
        if ready.exists():
            return
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        raise RuntimeError("the worker ended")
    raise RuntimeError("the worker is not ready")
