"""Attack every table: through each role that the product uses, with a context, with none, by the models."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import Error, connections, models, transaction

from aiaas.isolation.companies import Company
from aiaas.isolation.report import Report
from aiaas.isolation.rows import tenant_models
from apps.tenants.context import (
    APP,
    OWNER,
    PLATFORM,
    NoTenantContext,
    NoTransaction,
    in_tenant,
    tenant_context,
)

# Tables of its schema, and those in `public` that name a tenant; partitions are tables too.
TABLES = """
SELECT n.nspname, c.relname,
       CASE WHEN c.relname = 'tenants_tenant' THEN 'id' ELSE 'tenant_id' END,
       EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'platform_access'
               AND p.polroles = ARRAY[(SELECT oid FROM pg_roles WHERE rolname = 'aiaas_platform')]),
       c.relrowsecurity OR NOT EXISTS (
           SELECT FROM unnest(ARRAY['aiaas_app', 'aiaas_platform']) AS role
           WHERE has_table_privilege(role, c.oid, 'SELECT, INSERT, UPDATE, DELETE')),
       c.relispartition
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname <> 'django_migrations'
  AND (n.nspname = ANY(%s) OR n.nspname = 'public' AND (c.relname = 'tenants_tenant' OR EXISTS (
       SELECT FROM pg_attribute a
       WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped)))
ORDER BY 1, 2"""
DENIED = "42501"
# What no role of the product's may do to the walls themselves.
WALLS = (
    "SET ROLE aiaas_owner",
    "SET SESSION AUTHORIZATION aiaas_owner",
    'ALTER TABLE "{schema}"."crm_customer" DISABLE ROW LEVEL SECURITY',
    'DROP POLICY tenant_isolation ON "{schema}"."crm_customer"',
    'CREATE POLICY mine ON "{schema}"."crm_customer" USING (true)',
    'CREATE TABLE "{schema}".mine (id int)',
    "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
    "CREATE SCHEMA mine",
    "CREATE ROLE mine",
    'TRUNCATE "{schema}"."crm_customer"',
    "SELECT * FROM pg_authid",
    "COPY pg_class TO PROGRAM 'true'",
    "SELECT pg_read_file('/etc/hostname')",
)


class TableAttack:
    """Name the victim's tables outright and try to read, write, change and delete what is in them."""

    def __init__(self, report: Report, victim: Company, intruder: Company) -> None:
        self.report, self.victim, self.intruder = report, victim, intruder

    def run(self) -> None:
        """Attack every table of the catalog, every model, and the walls between the roles."""
        for table, why in self.victim.unmade.items():
            self.report.miss("tables", f"{table}: no row could be made ({why})")
        for schema, table, column, is_platforms, is_protected, is_partition in self._tables():
            self.report.aim("tables")
            name = f"{schema.replace(self.victim.tenant.schema, '(tenant)')}.{table}"
            if not is_protected:
                self.report.leak(
                    "tables",
                    f"{name}: row-level security is off",
                )
            if self._row(f'"{schema}"."{table}"', column) is None and not is_partition:
                self.report.miss("tables", f"{name}: the table is empty, so nothing would be seen")
            for alias, way, enter in self._ways():
                if alias == PLATFORM and is_platforms:
                    self.report.hold("admitted")
                    continue
                self._attack(alias, f"{name} as {way}", enter, f'"{schema}"."{table}"', column)
        for model in tenant_models():
            self.report.aim("models")
            self._attack_model(model)
        self._attack_walls()

    def _tables(self) -> list[tuple[str, str, str, bool, bool, bool]]:
        with connections[OWNER].cursor() as cursor:
            cursor.execute(TABLES, [[self.victim.tenant.schema]])
            return list(cursor.fetchall())

    def _ways(self) -> Iterator[tuple[str, str, Callable[[], Any]]]:
        yield APP, "the application for another tenant", lambda: in_tenant(self.intruder.tenant)
        yield APP, "the application for nobody", lambda: transaction.atomic(using=APP)
        yield PLATFORM, "the platform", lambda: transaction.atomic(using=PLATFORM)

    def _attack(self, alias: str, what: str, enter: Callable[[], Any], table: str, column: str) -> None:
        mine = f'"{column}" = %s'
        row = self._row(table, column)
        attacks: dict[str, tuple[str, list[Any]]] = {
            "select": (f"SELECT 1 FROM {table} WHERE {mine} LIMIT 1", [self.victim.tenant.id]),
            "update": (f'UPDATE {table} SET "{column}" = "{column}" WHERE {mine}', [self.victim.tenant.id]),
            "delete": (f"DELETE FROM {table} WHERE {mine}", [self.victim.tenant.id]),
            "insert": (f"INSERT INTO {table} SELECT * FROM jsonb_populate_record(NULL::{table}, %s)", [row]),
        }
        for verb, (statement, values) in attacks.items():
            finding = self._try(alias, enter, statement, values, must_be_denied=verb == "insert")
            self.report.judge("tables", f"{verb} {what}", finding)

    def _row(self, table: str, column: str) -> str | None:
        with connections[OWNER].cursor() as cursor:
            cursor.execute(
                f'SELECT to_jsonb(t)::text FROM {table} t WHERE "{column}" = %s LIMIT 1',
                [self.victim.tenant.id],
            )
            found = cursor.fetchone()
            return found[0] if found else None

    def _try(
        self, alias: str, enter: Callable[[], Any], statement: str, values: list[Any], *, must_be_denied: bool
    ) -> str:
        """Return what a statement did that it must not; generated columns cannot be inserted, by anybody."""
        try:
            with _undone(alias, enter) as cursor:
                cursor.execute(statement, values)
                return (
                    f"{cursor.rowcount} of another tenant's rows"
                    if cursor.rowcount > 0 or must_be_denied
                    else ""
                )
        except Error as error:
            state = getattr(error.__cause__, "sqlstate", None)
            return "" if state in (DENIED, GENERATED) else f"fails otherwise: {error}".partition("\n")[0]

    def _attack_model(self, model: type[models.Model]) -> None:
        rows = model._default_manager.all()
        for error, enter in (
            (NoTenantContext, lambda: transaction.atomic(using=APP)),
            (NoTransaction, lambda: tenant_context(self.intruder.tenant)),
        ):
            for verb, query in (("reads", rows.exists), ("deletes", rows.delete)):
                self.report.judge("models", f"{model._meta.label} {verb}", _refused(error, enter, query))
        column = "id" if model._meta.db_table == "tenants_tenant" else "tenant_id"
        with in_tenant(self.intruder.tenant):
            foreign = rows.exclude(**{column: self.intruder.tenant.id}).exists()
        self.report.judge("models", model._meta.label, "shows another tenant's rows" if foreign else "")

    def _attack_walls(self) -> None:
        for alias in (APP, PLATFORM):
            for wall in WALLS:
                self.report.aim("walls")
                statement = wall.format(schema=self.victim.tenant.schema)
                enter = lambda alias=alias: transaction.atomic(using=alias)  # noqa: E731
                finding = self._try(alias, enter, statement, [], must_be_denied=True)
                self.report.judge("walls", f"{statement} as {alias}", finding)
        with connections[OWNER].cursor() as cursor:
            cursor.execute(
                "SELECT rolname FROM pg_roles WHERE rolname LIKE 'aiaas%%' AND (rolsuper OR rolbypassrls)"
            )
            self.report.judge("walls", "roles", f"{cursor.fetchall()} stand above" if cursor.rowcount else "")


GENERATED = "428C9"


@contextmanager
def _undone(alias: str, enter: Callable[[], Any]) -> Iterator[Any]:
    with enter(), connections[alias].cursor() as cursor:
        try:
            yield cursor
        finally:
            transaction.set_rollback(True, using=alias)


def _refused(error: type[Exception], enter: Callable[[], Any], query: Callable[[], Any]) -> str:
    try:
        with enter():
            query()
    except error:
        return ""
    return f"without {error.__name__}"
