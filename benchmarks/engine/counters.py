"""What PostgreSQL counts while somebody works on it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from aiaas.embedded.servers import Servers

# The log's place is the whole server's; transactions are one database's, so that asking adds none.
COUNT = """
SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn,
       (SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = %s)
"""
SETTLE_S = 1.2  # a server process tells what it has counted once a second


class Counters:
    """Reads from a database of its own, which nobody else works in."""

    def __init__(self, servers: Servers) -> None:
        self._url = servers.superuser_url

    @contextmanager
    def counting(self, database: str) -> Iterator[dict[str, int]]:
        """Give what the block wrote to the log and committed in a database; filled at its end."""
        counted: dict[str, int] = {}
        self._checkpoint()
        wal_bytes, transactions = self.read(database)
        yield counted
        after = self.read(database)
        counted["wal_bytes"], counted["transactions"] = after[0] - wal_bytes, after[1] - transactions

    def read(self, database: str) -> tuple[int, int]:
        """Return the log's place in bytes and the number of a database's transactions until now."""
        time.sleep(SETTLE_S)
        with psycopg.connect(self._url, autocommit=True) as connection:
            found = connection.execute(COUNT, [database]).fetchone()
        if found is None:
            raise RuntimeError("PostgreSQL counts nothing")
        return int(found[0]), int(found[1] or 0)

    def _checkpoint(self) -> None:
        # The first change of a page after a checkpoint writes the whole page: everybody begins with that.
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
