"""Set the tenant transaction-locally, at the first statement that needs it."""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.backends.postgresql.base import CursorDebugWrapper
from django.db.backends.utils import CursorWrapper
from django_tenants.postgresql_backend.base import DatabaseWrapper as TenantsWrapper

from apps.tenants.context import OWNER, TENANT_ALIASES, current_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.db.operations import DatabaseOperations
from apps.tenants.db.schema import DatabaseSchemaEditor

SET_BOTH = "SELECT set_config('search_path', %s, true), set_config('app.current_tenant_id', %s, true)"
UNKNOWN = object()  # a rolled-back savepoint may have undone what was set
_served: "weakref.WeakKeyDictionary[Any, set[UUID]]" = weakref.WeakKeyDictionary()  # by server connection


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
        self._steering = False
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
            self.connection.execute(SET_BOTH, (path, tenant_id))
        self._applied = wanted
        if wanted:
            _served.setdefault(self.connection, set()).add(wanted.id)

    def _close(self) -> None:
        """Give the connection back to its pool, which replaces one that has served many tenants.

        Its server process keeps a part of the catalog for each, for as long as it lives.
        """
        is_pooled = self.connection is not None and self.pool
        if is_pooled and len(_served.get(self.connection, ())) >= settings.DB_CONNECTION_TENANTS:
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
        with self._steer():
            super()._savepoint(sid)

    def _savepoint_commit(self, sid: str) -> None:
        with self._steer():
            super()._savepoint_commit(sid)

    def _savepoint_rollback(self, sid: str) -> None:
        with self._steer():
            super()._savepoint_rollback(sid)
        self._applied = UNKNOWN

    def _commit(self) -> None:
        self._applied = None
        super()._commit()

    def _rollback(self) -> None:
        self._applied = None
        super()._rollback()

    def _set_autocommit(self, autocommit: bool) -> None:
        self._applied = None
        super()._set_autocommit(autocommit)

    def connect(self) -> None:
        self._applied = None
        super().connect()

    def close(self) -> None:
        self._applied = None
        super().close()
