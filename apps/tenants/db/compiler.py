"""Refuse a query of tenant data that has no tenant or no transaction.

Row-level security alone would answer such a query with no rows, which hides the mistake.
"""

from functools import cache
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connections
from django.db.backends.postgresql import compiler as base

from apps.tenants.context import OWNER, TENANT_ALIASES, NoTenantContext, NoTransaction, current_tenant


@cache
def tenant_tables() -> frozenset[str]:
    """Return every table whose rows belong to a tenant."""
    models = apps.get_models(include_auto_created=True)
    return frozenset(
        m._meta.db_table
        for m in models
        if m._meta.label == "tenants.Tenant" or any(f.column == "tenant_id" for f in m._meta.concrete_fields)
    )


@cache
def schema_tables() -> frozenset[str]:
    """Return every table that each tenant has for itself."""
    return frozenset(
        model._meta.db_table
        for model in apps.get_models(include_auto_created=True)
        if apps.get_app_config(model._meta.app_label).name in settings.TENANT_APPS
    )


class Guard:
    query: Any
    using: Any

    def execute_sql(self, *args: Any, **kwargs: Any) -> Any:
        tables = self._tables()
        if self.using != OWNER and not tenant_tables().isdisjoint(tables):
            self._require_context()
        answer = super().execute_sql(*args, **kwargs)  # type: ignore[misc]
        if self.using in TENANT_ALIASES:
            wrapper: Any = connections[self.using]
            wrapper.note_tables(tables & schema_tables())
        return answer

    def _tables(self) -> set[str]:
        joined = {alias.table_name for alias in self.query.alias_map.values()}
        return joined | {self.query.get_meta().db_table} if self.query.model else joined

    def _require_context(self) -> None:
        label = self.query.get_meta().label if self.query.model else "a query"
        if self.using in TENANT_ALIASES and current_tenant() is None:
            raise NoTenantContext(f"{label}: enter in_tenant(tenant) before reading or writing tenant data")
        if not connections[self.using].in_atomic_block:
            raise NoTransaction(f"{label}: tenant data is only reachable inside a transaction")


class SQLCompiler(Guard, base.SQLCompiler): ...


class SQLInsertCompiler(Guard, base.SQLInsertCompiler): ...


class SQLUpdateCompiler(Guard, base.SQLUpdateCompiler): ...


class SQLDeleteCompiler(Guard, base.SQLDeleteCompiler): ...


class SQLAggregateCompiler(Guard, base.SQLAggregateCompiler): ...
