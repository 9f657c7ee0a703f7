"""DBOS Transact, in a virtual environment of its own: nothing of it is a dependency."""

import json
import os
import subprocess
import venv
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings

from aiaas.embedded.process import guarded
from aiaas.embedded.servers import Servers
from benchmarks.installation import SERVER_VARIABLES

PACKAGES = ("dbos", "psycopg[binary]")
FOLDER = Path(settings.ROOT) / ".aiaas" / "peers" / "engine"
PROGRAM = Path(__file__).with_name("dbos_program.py")
DATABASE = "dbos_peer"
INSTALL_S = 600


class PeerMissing(Exception):
    """DBOS cannot be had here; the message says why."""


class Dbos:
    """Runs DBOS's side of the benchmark, each turn in a process of its own."""

    database = DATABASE

    def __init__(self, servers: Servers, folder: Path) -> None:
        """Install it at the first use and make its database; raises PeerMissing."""
        self._python, self._folder = _python(), folder
        if servers.postgres is None:
            raise PeerMissing("PostgreSQL is not one of the embedded servers")
        self._url = servers.postgres.url_for("postgres", database=DATABASE).replace(
            "postgres://", "postgresql://"
        )
        with psycopg.connect(servers.superuser_url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}")

    def inline(self, *, threads: int, seconds: float) -> dict[str, Any]:
        """Call workflows of five steps from so many threads of one process."""
        return self._run("inline", threads=threads, seconds=seconds)

    def paced(self, *, rate: float, seconds: float) -> dict[str, Any]:
        """Enqueue workflows at a rate, DBOS's queue at its default, and wait for their first steps."""
        return self._run("paced", rate=rate, seconds=seconds)

    def _run(self, mode: str, **options: float) -> dict[str, Any]:
        command = [str(self._python), str(PROGRAM), mode, self._url, json.dumps(options)]
        kept = {name: value for name, value in os.environ.items() if name not in SERVER_VARIABLES}
        done = subprocess.run(
            guarded(command), cwd=self._folder, env=kept, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"DBOS, {mode}: {done.stderr[-2000:]}")
        facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return facts


def _python() -> Path:
    python = FOLDER / "bin" / "python"
    if python.exists() and not subprocess.run([python, "-c", "import dbos"], capture_output=True).returncode:
        return python
    try:
        venv.create(FOLDER, with_pip=True)
        command = [str(python), "-m", "pip", "install", "--quiet", *PACKAGES]
        subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_S)
    except (OSError, subprocess.SubprocessError) as error:
        raise PeerMissing(f"it cannot be installed here: {error}") from error
    return python
