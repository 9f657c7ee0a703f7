"""Set the tenant transaction-locally, at the first statement that needs it."""

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.backends.postgresql.base import CursorDebugWrapper
from django.db.backends.utils import CursorWrapper
from django_tenants.postgresql_backend.base import DatabaseWrapper as TenantsWrapper
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


class ContextCursor(CursorWrapper):
    """Set the context before each statement of the application's connection."""

    def _execute(self, sql: Any, params: Any, *ignored: Any) -> Any:
        self.db.apply_context()
        return super()._execute(sql, params, *ignored)  # type: ignore[misc]  # absent from the stubs

    def _executemany(self, sql: Any, param_list: Any, *ignored: Any) -> Any:
        self.db.apply_context()
        return super()._executemany(sql, param_list, *ignored)  # type: ignore[misc]  # absent from the stubs

    def copy(self, *args: Any, **kwargs: Any) -> Any:
        self.db.apply_context()
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
        self._waiting: dict[Callable[[list[Any]], object], list[Any]] = {}
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
        result = self.connection.pgconn.exec_(begin)
        if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
            raise error_from_result(result)

    def commit_with_next(self) -> None:
        """Let the transaction's commit not wait for the disk."""
        if not self.in_atomic_block or self.connection is None or self._is_open:
            with self.cursor() as cursor:
                cursor.execute(NEED_NO_DISK)
        self._is_lazy = True

    def before_commit(self, write: Callable[[list[Any]], object], items: Iterable[Any]) -> None:
        """Have `write` called with all its items before the transaction, or the open savepoint, ends well.

        A rollback drops them. `write` must fail by the database alone.
        """
        self.apply_context()  # no statement does it once the block has ended
        self._waiting.setdefault(write, []).extend(items)

    def take_waiting(self, write: Callable[[list[Any]], object]) -> list[Any]:
        """Return what waits for `write`, for the caller to write it now."""
        return self._waiting.pop(write, [])

    def write_waiting(self) -> None:
        """Write what waits now, for whoever has to read it in this transaction."""
        while self._waiting:
            write, items = self._waiting.popitem()
            write(items)

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
        self._waiting.clear()
        with self._steer():
            super()._savepoint_rollback(sid)
        self._applied = UNKNOWN

    def _commit(self) -> None:
        self.write_waiting()
        self._applied, self._is_lazy = None, False
        super()._commit()

    def _rollback(self) -> None:
        self._waiting.clear()
        self._applied, self._is_lazy = None, False
        super()._rollback()

    def _set_autocommit(self, autocommit: bool) -> None:
        self._applied = None
        super()._set_autocommit(autocommit)

    def connect(self) -> None:
        self._waiting.clear()
        self._applied, self._is_lazy = None, False
        super().connect()

    def close(self) -> None:
        self._waiting.clear()
        self._applied, self._is_lazy = None, False
        super().close()
