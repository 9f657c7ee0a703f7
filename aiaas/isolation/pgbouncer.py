"""PgBouncer in transaction mode before the database that is being proved; the program is the system's."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import psycopg

from aiaas.embedded.account import Account, database_account
from aiaas.embedded.process import EmbeddedServerError, ServerProcess
from aiaas.embedded.secrets import write_private

# Fewer connections than clients, so that each of them serves one tenant after the other.
CONFIGURATION = """\
[databases]
* = host={host} port={port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
default_pool_size = 3
max_client_conn = 200
log_connections = 0
log_disconnections = 0
log_stats = 0
"""


class PgBouncer(ServerProcess):
    """Takes one role's connections to the database of `database`, Django's settings of it."""

    name: ClassVar[str] = "pgbouncer"

    def __init__(self, data_dir: Path, *, program: str, database: dict[str, Any]) -> None:
        super().__init__(data_dir)
        self._program, self._database = program, database

    @property
    def url(self) -> str:
        """The database, by way of PgBouncer."""
        given = self._database
        return f"postgres://{given['USER']}:{given['PASSWORD']}@127.0.0.1:{self.port}/{given['NAME']}"

    def account(self) -> Account | None:
        """It refuses root, as PostgreSQL does."""
        return database_account(self.data_dir / "pgbouncer.ini.of-nobody-yet")

    def prepare(self) -> None:
        """Write its settings and the role's password, for its account alone."""
        given, account = self._database, self.account()
        users, settings = self.data_dir / "pgbouncer-users.txt", self.data_dir / "pgbouncer.ini"
        place = {"host": given["HOST"] or "127.0.0.1", "port": given["PORT"] or 5432}
        write_private(users, f'"{given["USER"]}" "{given["PASSWORD"]}"\n')
        write_private(settings, CONFIGURATION.format(**place, own_port=self.port, users=users))
        for path in (users, settings):
            if account:
                os.chown(path, account.uid, account.gid)

    def command(self) -> list[str]:
        """Foreground, with its file of settings."""
        return [self._program, str(self.data_dir / "pgbouncer.ini")]

    def answers(self) -> bool:
        """Whether the role reaches its database."""
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def running_pgbouncer(program: str, database: dict[str, Any]) -> Iterator[PgBouncer]:
    """Run it in a folder that its account can reach and that goes away with it."""
    with tempfile.TemporaryDirectory(prefix="aiaas-pgbouncer-") as folder:
        Path(folder).chmod(0o711)
        server = PgBouncer(Path(folder), program=program, database=database)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def find_pgbouncer(given: str = "pgbouncer") -> str:
    """Return the program; raises EmbeddedServerError where there is none."""
    places = (given, "/usr/sbin/pgbouncer") if given == "pgbouncer" else (given,)
    found = next(filter(None, map(shutil.which, places)), None)
    if found is None:
        raise EmbeddedServerError(f"{given} is not installed: apt-get install pgbouncer")
    return found
