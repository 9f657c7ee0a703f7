"""A schema made from the generated script is the schema that the migrations make."""

from uuid import uuid4

from django.db import connections, transaction

from apps.tenants.context import OWNER
from apps.tenants.contracts import TenantRef
from apps.tenants.migrating import Outcome, migrate_tenants
from apps.tenants.schemas import create_schema

COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable, column_default
FROM information_schema.columns WHERE table_schema = %s ORDER BY 1, 2"""
INDEXES = "SELECT tablename, replace(indexdef, %s, '') FROM pg_indexes WHERE schemaname = %s ORDER BY 1, 2"
CONSTRAINTS = """
SELECT conrelid::regclass::text, contype::text, replace(pg_get_constraintdef(oid), %s, '') FROM pg_constraint
WHERE connamespace = %s::regnamespace AND contype <> 'n' ORDER BY 1, 2, 3"""
POLICIES = (
    "SELECT tablename, policyname, roles::text, qual FROM pg_policies WHERE schemaname = %s ORDER BY 1, 2"
)
GRANTS = """
SELECT table_name, grantee, privilege_type FROM information_schema.role_table_grants
WHERE table_schema = %s AND table_name <> 'django_migrations' ORDER BY 1, 2, 3"""


def describe(schema: str) -> dict[str, list]:
    prefix = f"{schema}."
    with transaction.atomic(using=OWNER), connections[OWNER].cursor() as cursor:
        cursor.execute(f'SET LOCAL search_path TO "{schema}", public')
        found = {}
        for name, sql, arguments in (
            ("columns", COLUMNS, [schema]),
            ("indexes", INDEXES, [prefix, schema]),
            ("constraints", CONSTRAINTS, [prefix, schema]),
            ("policies", POLICIES, [schema]),
            ("grants", GRANTS, [schema]),
        ):
            cursor.execute(sql, arguments)
            found[name] = [row for row in cursor.fetchall() if row[0] != "django_migrations"]
    return found


def test_the_script_and_the_migrations_make_the_same_schema(live_db):
    with transaction.atomic(using=OWNER):
        create_schema("t_scripted")
    with connections[OWNER].cursor() as cursor:
        cursor.execute('CREATE SCHEMA "t_migrated"')
    fresh = TenantRef(uuid4(), "migrated", "t_migrated")
    (outcome,) = migrate_tenants(tenants=[fresh], jobs=1)
    assert outcome.applied > 0
    assert outcome.error == ""
    scripted, migrated = describe("t_scripted"), describe("t_migrated")
    for what, rows in migrated.items():
        assert rows, what
        assert scripted[what] == rows, what


def test_a_schema_made_from_the_script_needs_no_migration(live_db, acme):
    assert list(migrate_tenants(tenants=[acme], jobs=1)) == [Outcome(acme, applied=0)]
