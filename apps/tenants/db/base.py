"""Set the tenant transaction-locally, at the first statement that needs it."""

import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.backends.postgresql.base import CursorDebugWrapper
from django.db.backends.utils import CursorWrapper
from django_tenants.postgresql_backend.base import DatabaseWrapper as TenantsWrapper
from psycopg import ClientCursor
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.sql import SQL

from apps.tenants.context import OWNER, TENANT_ALIASES, current_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.db.operations import DatabaseOperations
from apps.tenants.db.schema import DatabaseSchemaEditor

SET_BOTH = "SELECT set_config('search_path', %s, true), set_config('app.current_tenant_id', %s, true)"
BEGIN_AND_SET_BOTH = SQL(
    "BEGIN; "
    "SELECT set_config('search_path', {path}, true), set_config('app.current_tenant_id', {tenant_id}, true)"
)
NEED_NO_DISK = "SET LOCAL synchronous_commit TO off"
UNKNOWN = object()  # a rolled-back savepoint may have undone what was set
# By server connection, what its process keeps for good: a part of the catalog for each table of each tenant.
_known: "weakref.WeakKeyDictionary[Any, set[tuple[UUID, str]]]" = weakref.WeakKeyDictionary()


def join_json(items: Iterable[bytes]) -> str:
    """Write an array of what is JSON already."""
    return f"[{b','.join(items).decode()}]"


def _texts(result: Any) -> list[tuple[str | None, ...]]:
    rows, columns = range(result.ntuples), range(result.nfields)
    values = [[result.get_value(row, column) for column in columns] for row in rows]
    return [tuple(None if value is None else value.decode() for value in row) for row in values]


class ContextCursor(CursorWrapper):
    """Set the context before each statement of the application's connection."""

    def _execute(self, sql: Any, params: Any, *ignored: Any) -> Any:
        self.db.apply_context()
        self.db.write_what_is_later()
        return super()._execute(sql, params, *ignored)  # type: ignore[misc]  # absent from the stubs

    def _executemany(self, sql: Any, param_list: Any, *ignored: Any) -> Any:
        self.db.apply_context()
        self.db.write_what_is_later()
        return super()._executemany(sql, param_list, *ignored)  # type: ignore[misc]  # absent from the stubs

    def copy(self, *args: Any, **kwargs: Any) -> Any:
        self.db.apply_context()
        self.db.write_what_is_later()
        return self.cursor.copy(*args, **kwargs)


class ContextDebugCursor(ContextCursor, CursorDebugWrapper):
    """The same, keeping Django's query log."""


class DatabaseWrapper(TenantsWrapper):
    """Carry the tenant context into each transaction of the application role.

    django-tenants sets `search_path` for the session, which leaks under transaction pooling; only
    the owner's connection, which migrates and is never pooled, keeps that behaviour.
    """

    SchemaEditorClass = DatabaseSchemaEditor
    ops_class = DatabaseOperations

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._applied: TenantRef | object | None = None
        self._steering = self._is_lazy = False
        self._later: list[bytes] = []
        self._waiting: dict[str, list[bytes]] = {}
        self._first, self._answer = b"", None
        super().__init__(*args, **kwargs)

    def _handle_search_path(self, cursor: Any = None) -> None:
        if self.alias == OWNER:
            super()._handle_search_path(cursor)

    def apply_context(self) -> None:
        """Make the open transaction serve the current tenant; outside one nothing is ever set."""
        if self.alias not in TENANT_ALIASES or self._steering or not self.in_atomic_block:
            return
        wanted = current_tenant()
        if wanted == self._applied:
            return
        self.validate_no_broken_transaction()
        path, tenant_id = (f'"{wanted.schema}", public', str(wanted.id)) if wanted else ("public", "")
        with self.wrap_database_errors:
            if self._is_open:
                self.connection.execute(SET_BOTH, (path, tenant_id))
            else:
                self._begin(path, tenant_id)
        self._applied = wanted
        self.note_tables([""])

    def note_tables(self, tables: Iterable[str]) -> None:
        """Note which of the current tenant's tables the connection has looked up."""
        if isinstance(self._applied, TenantRef):
            tenant_id = self._applied.id
            _known.setdefault(self.connection, set()).update((tenant_id, table) for table in tables)

    @property
    def _is_open(self) -> bool:
        """Whether the server has begun the transaction; the driver begins with the first statement."""
        status: TransactionStatus = self.connection.pgconn.transaction_status
        return status != TransactionStatus.IDLE

    def _begin(self, path: str, tenant_id: str) -> None:
        """Open the transaction and set its context in one round trip, where the driver would make two."""
        begin = BEGIN_AND_SET_BOTH.format(path=path, tenant_id=tenant_id).as_bytes(self.connection)
        if self._is_lazy:
            begin += b"; " + NEED_NO_DISK.encode()
        if self._first:
            begin += b"; " + self._first
        self._answer = self._send(begin)

    def ask_first(self, sql: str, params: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a statement whose columns are texts, often the first one of its transaction.

        Then BEGIN, the context and the statement are one round trip.
        """
        if self._is_watched or self._is_open or not self.in_atomic_block or current_tenant() is None:
            with self.cursor() as cursor:
                cursor.execute(sql, params)
                return cursor.fetchall()
        self._first = self._bind(sql, params)
        try:
            self.apply_context()
            return _texts(self._answer)
        finally:
            self._first, self._answer = b"", None

    def commit_with_next(self) -> None:
        """Let the transaction's commit not wait for the disk."""
        if not self.in_atomic_block or self.connection is None or self._is_open:
            with self.cursor() as cursor:
                cursor.execute(NEED_NO_DISK)
        self._is_lazy = True

    def write_later(self, sql: str, params: Any) -> None:
        """Write what answers nothing together with what follows: before the next statement, or with COMMIT.

        What is wrong with it shows there. A rollback drops it.
        """
        self.apply_context()
        if self._is_watched:
            with self.cursor() as cursor:
                cursor.execute(sql, params)
        else:
            self._later.append(self._bind(sql, params))

    def before_commit(self, sql: str, items: Iterable[bytes]) -> None:
        """Have a statement executed before the transaction, or the open savepoint, ends well.

        Its parameter is the array of all its items, each of which is JSON. A rollback drops them.
        """
        self.apply_context()  # no statement does it once the block has ended
        self._waiting.setdefault(sql, []).extend(items)

    def take_waiting(self, sql: str) -> list[bytes]:
        """Return what waits for a statement, for the caller to execute it now."""
        return self._waiting.pop(sql, [])

    def write_waiting(self) -> None:
        """Write all that waits now, for whoever has to read it in this transaction."""
        self.write_what_is_later()
        while self._waiting:
            sql, items = self._waiting.popitem()
            with self.cursor() as cursor:
                cursor.execute(sql, [join_json(items)])

    def write_what_is_later(self) -> None:
        """Write in one round trip what `write_later` was given."""
        if self._later:
            pieces, self._later = self._later, []
            self._send(b"; ".join(pieces))

    def _drop_waiting(self) -> None:
        self._later.clear()
        self._waiting.clear()

    def _commit_with_all(self) -> None:
        """Send all that waits and COMMIT in one round trip; the driver then finds nothing left to commit."""
        waiting, self._waiting = self._waiting, {}
        self._later += [self._bind(sql, [join_json(items)]) for sql, items in waiting.items()]
        self._later.append(b"COMMIT")
        self.write_what_is_later()

    def _bind(self, sql: str, params: Any) -> bytes:
        return ClientCursor(self.connection).mogrify(sql, params).encode()

    def _send(self, statements: bytes) -> Any:
        """Execute statements in one round trip and return the last one's result."""
        with self.wrap_database_errors:
            result = self.connection.pgconn.exec_(statements)
            if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
                raise error_from_result(result)
            return result

    @property
    def _is_watched(self) -> bool:
        """Whether somebody counts or wraps statements, who is to see each of them."""
        return bool(self.queries_logged or self.execute_wrappers)

    def _close(self) -> None:
        """Give the connection back to its pool, which replaces one that knows many tenants' tables."""
        is_pooled = self.connection is not None and self.pool
        if is_pooled and len(_known.get(self.connection, ())) >= settings.DB_CONNECTION_TABLES:
            self.connection._expire_at = 0.0  # closed instead, it would be reported as broken
        super()._close()

    def make_cursor(self, cursor: Any) -> CursorWrapper:
        return ContextCursor(cursor, self)

    def make_debug_cursor(self, cursor: Any) -> CursorWrapper:
        return ContextDebugCursor(cursor, self)

    @contextmanager
    def _steer(self) -> Iterator[None]:
        """Let savepoint commands through untouched: they must work in a failed transaction."""
        self._steering = True
        try:
            yield
        finally:
            self._steering = False

    def _savepoint(self, sid: str) -> None:
        self.write_waiting()  # what waits then belongs to the innermost savepoint
        with self._steer():
            super()._savepoint(sid)

    def _savepoint_commit(self, sid: str) -> None:
        self.write_waiting()
        with self._steer():
            super()._savepoint_commit(sid)

    def _savepoint_rollback(self, sid: str) -> None:
        self._drop_waiting()
        with self._steer():
            super()._savepoint_rollback(sid)
        self._applied = UNKNOWN

    def _commit(self) -> None:
        if self._is_watched or not (self._later or self._waiting):
            self.write_waiting()
        else:
            self._commit_with_all()
        self._applied, self._is_lazy = None, False
        super()._commit()

    def _rollback(self) -> None:
        self._drop_waiting()
        self._applied, self._is_lazy = None, False
        super()._rollback()

    def _set_autocommit(self, autocommit: bool) -> None:
        self._applied = None
        super()._set_autocommit(autocommit)

    def connect(self) -> None:
        self._drop_waiting()
        self._applied, self._is_lazy = None, False
        super().connect()

    def close(self) -> None:
        self._drop_waiting()
        self._applied, self._is_lazy = None, False
        super().close()
