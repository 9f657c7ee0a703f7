"""Every table with a tenant is bound to it, in the catalog and in effect."""

import os

import psycopg
import pytest
from django.apps import apps
from django.db import connections

from apps.crm.services import create_customer
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.db.compiler import tenant_tables

BOUND = "current_setting('app.current_tenant_id'"


def tenant_models() -> list:
    return [
        model
        for model in apps.get_models(include_auto_created=True)
        if model._meta.db_table in tenant_tables()
    ]


def tables_of(schema: str) -> dict[str, tuple[bool, str]]:
    with connections["owner"].cursor() as cursor:
        cursor.execute(
            "SELECT relname, relrowsecurity, pg_get_userbyid(relowner) FROM pg_class "
            "WHERE relnamespace = %s::regnamespace AND relkind IN ('r', 'p')",
            [schema],
        )
        return {row[0]: (row[1], row[2]) for row in cursor.fetchall()}


@pytest.fixture
def catalog(live_db) -> dict[str, dict[str, tuple[bool, str]]]:
    return {schema: tables_of(schema) for schema in ("public", "t_acme", "t_globex")}


def unprotected() -> list[str]:
    catalog = {schema: tables_of(schema) for schema in ("public", "t_acme", "t_globex")}
    return [
        f"{schema}.{model._meta.db_table}"
        for model in tenant_models()
        for schema, tables in catalog.items()
        if not tables.get(model._meta.db_table, (True,))[0]
    ]


def count_foreign(schema: str, table: str, globex: TenantRef) -> int:
    """Count what globex sees of others' rows in a table that it names outright."""
    column = "id" if table == "tenants_tenant" else "tenant_id"
    with in_tenant(globex), connections["default"].cursor() as cursor:
        cursor.execute(f'SELECT count(*) FROM "{schema}"."{table}" WHERE "{column}" <> %s', [globex.id])
        return cursor.fetchone()[0]


def test_every_model_of_a_tenant_has_its_tables(catalog):
    tables = {table for found in catalog.values() for table in found}
    assert {model._meta.db_table for model in tenant_models()} <= tables


def test_row_level_security_is_on_wherever_a_tenant_is(live_db):
    assert unprotected() == []


def test_a_planted_leak_is_found(live_db, acme: TenantRef, globex: TenantRef):
    """These checks can fail: one table without protection is named, and shows its rows."""
    create_customer(tenant=acme, name="Ada")
    assert count_foreign("t_acme", "crm_customer", globex) == 0
    with connections["owner"].cursor() as cursor:
        cursor.execute("ALTER TABLE t_acme.crm_customer DISABLE ROW LEVEL SECURITY")
    assert unprotected() == ["t_acme.crm_customer"]
    assert count_foreign("t_acme", "crm_customer", globex) == 1


def test_nothing_in_a_tenants_schema_is_unprotected(catalog):
    for schema in ("t_acme", "t_globex"):
        bare = [table for table, (protected, _) in catalog[schema].items() if not protected]
        assert bare == ["django_migrations"]


def test_the_policies_bind_the_application_role(live_db):
    with connections["owner"].cursor() as cursor:
        cursor.execute(
            "SELECT schemaname || '.' || tablename, roles::text, qual, with_check FROM pg_policies "
            "WHERE policyname = 'tenant_isolation'"
        )
        policies = {row[0]: row[1:] for row in cursor.fetchall()}
    for table in tenant_tables():
        found = [policy for name, policy in policies.items() if name.endswith(f".{table}")]
        assert found, table
        for roles, using, check in found:
            assert roles == "{aiaas_app}"
            assert BOUND in using
            assert BOUND in check


def test_the_application_owns_nothing_and_bypasses_nothing(catalog):
    assert {owner for tables in catalog.values() for _, owner in tables.values()} == {"aiaas_owner"}
    with connections["owner"].cursor() as cursor:
        cursor.execute(
            "SELECT rolname FROM pg_roles WHERE (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb) "
            "AND rolname LIKE 'aiaas%%'"
        )
        assert cursor.fetchall() == []


def test_the_same_tables_for_every_tenant(catalog):
    assert catalog["t_acme"].keys() == catalog["t_globex"].keys()


@pytest.mark.parametrize("table", sorted(tenant_tables()))
def test_a_name_of_the_other_schema_shows_no_rows(live_db, acme: TenantRef, globex: TenantRef, table: str):
    """Even a query that names the other tenant's table outright is answered with nothing."""
    with psycopg.connect(os.environ["TEST_SUPERUSER_URL"], dbname=live_db.name, autocommit=True) as admin:
        rows = admin.execute("SELECT schemaname FROM pg_tables WHERE tablename = %s", [table]).fetchall()
        places = [row[0] for row in rows if row[0] in ("public", acme.schema)]
    assert [count_foreign(schema, table, globex) for schema in places] == [0] * len(places)
