"""An installation of a benchmark's own: the product as `manage.py up` runs it, in a throw-away folder."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

SERVER_VARIABLES = (
    "DATABASE_URL",
    "DATABASE_PLATFORM_URL",
    "DATABASE_OWNER_URL",
    "REDIS_URL",
    "NATS_URL",
    "SECRET_KEY",
    "PUBLIC_URL",
    "REALTIME_URL",
)


@dataclass(frozen=True)
class Installation:
    port: int
    environment: dict[str, str]
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def socket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port + 1}/ws/chat/"

    def manage(self, *arguments: str) -> str:
        """Run a command against this installation and return what it printed."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(
            command, cwd=settings.ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def create_tenant(self, slug: str, plan: str) -> str:
        """Create a tenant and return its first API key."""
        printed = self.manage("create_tenant", slug, "--owner", f"owner@{slug}.example", "--plan", plan)
        found = re.search(r"(ak_\S+)", printed)
        if not found:
            raise RuntimeError(f"no key in: {printed}")
        return found.group(1)


@contextmanager
def install(**variables: str) -> Iterator[Installation]:
    """Start the product without its demo, with variables of its own, and stop it at the end."""
    with tempfile.TemporaryDirectory(prefix="aiaas-bench-") as folder:
        os.chmod(folder, 0o711)
        kept = {name: value for name, value in os.environ.items() if name not in SERVER_VARIABLES}
        own = {"AIAAS_DATA": folder, "DJANGO_SETTINGS_MODULE": "aiaas.settings.local", **variables}
        environment = {**kept, **own}
        port = _free_pair()
        command = [sys.executable, "manage.py", "up", "--no-demo", "--port", str(port), "--data", folder]
        log = Path(folder) / "up.log"
        with log.open("w") as out:
            process = subprocess.Popen(command, cwd=settings.ROOT, env=environment, stdout=out, stderr=out)
            try:
                _await_ready(process, log)
                yield Installation(port, environment, process.pid)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(60)


def _await_ready(process: subprocess.Popen, log: Path) -> None:
    while "ready in" not in log.read_text():
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
        raise RuntimeError(f"the product did not start: {log.read_text()[-2000:]}")


def _free_pair() -> int:
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
