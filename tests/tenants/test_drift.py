"""Whatever is planted in one tenant's schema is reported, and nothing else is."""

import io

from django.core.management import CommandError, call_command
from django.db import connections, transaction

from apps.tenants.context import OWNER
from apps.tenants.drift import REFERENCE, compare, describe_reference, describe_schema

PLANTED = {
    "ALTER TABLE crm_customer ADD COLUMN shoe_size integer": "column crm_customer.shoe_size is not expected",
    "ALTER TABLE crm_customer ALTER COLUMN name TYPE varchar(77)":
    "column crm_customer.name is character varying(77)",
    "ALTER TABLE crm_customer ALTER COLUMN tenant_id DROP DEFAULT": "column crm_customer.tenant_id is uuid",
    "ALTER TABLE crm_customer ALTER COLUMN name DROP NOT NULL": "column crm_customer.name is",
    "CREATE TABLE stray (id int)": "table stray is not expected",
    "DROP TABLE crm_lead CASCADE": "table crm_lead is missing",
    "ALTER TABLE crm_customer DISABLE ROW LEVEL SECURITY": "row security f",
    "DROP POLICY tenant_isolation ON crm_customer": "policy crm_customer.tenant_isolation is missing",
    "ALTER POLICY tenant_isolation ON crm_customer USING (true)": "using true",
    "GRANT SELECT ON crm_customer TO aiaas_platform": "grant crm_customer to aiaas_platform is not expected",
    "GRANT UPDATE (name) ON crm_customer TO PUBLIC": "grant crm_customer.name to PUBLIC is not expected",
    "REVOKE UPDATE ON crm_customer FROM aiaas_app": "grant crm_customer to aiaas_app is",
    "REVOKE USAGE ON SCHEMA {schema} FROM aiaas_app": "grant schema to aiaas_app is missing",
    "CREATE INDEX stray_index ON crm_customer (name)": "index stray_index is not expected",
    "DROP INDEX message_words": "index message_words is missing",
    "ALTER TABLE crm_customer ADD CONSTRAINT odd CHECK (name <> 'x')": "constraint crm_customer.odd is not",
    "CREATE OR REPLACE FUNCTION words_of(said text) RETURNS tsvector LANGUAGE sql "
    "AS 'SELECT NULL::tsvector'":
    "function words_of(text) is",
    "CREATE FUNCTION stray() RETURNS int LANGUAGE sql AS 'SELECT 1'": "function stray() is not expected",
    "GRANT EXECUTE ON FUNCTION find_messages(text, integer) TO PUBLIC":
    "grant find_messages(text,integer) to PUBLIC",
    "DELETE FROM django_migrations WHERE app = 'crm'": "migration crm.0001_initial is missing",
}  # fmt: skip


def report(*arguments: str) -> str:
    out = io.StringIO()
    try:
        call_command("report_drift", *arguments, stdout=out)
    except CommandError as error:
        return out.getvalue() + str(error)
    return out.getvalue()


def test_fresh_tenants_have_none(live_db, acme, globex):
    assert report() == "2 tenants, no drift\n"
    with connections[OWNER].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_namespace WHERE nspname = %s", [REFERENCE])
        assert cursor.fetchone() == (0,)


def test_each_planted_difference_is_told(live_db, acme):
    wanted = describe_reference()
    missed = {}
    for statement, line in PLANTED.items():
        with transaction.atomic(using=OWNER), connections[OWNER].cursor() as cursor:
            cursor.execute(f'SET LOCAL search_path TO "{acme.schema}", public')
            cursor.execute(statement.format(schema=acme.schema))
            told = "\n".join(map(str, compare(wanted, describe_schema(acme.schema))))
            transaction.set_rollback(True, using=OWNER)
        if line not in told:
            missed[statement] = told
    assert not missed


def test_only_who_differs_is_named(live_db, acme, globex):
    with connections[OWNER].cursor() as cursor:
        cursor.execute(f'ALTER TABLE "{acme.schema}".crm_customer ADD COLUMN shoe_size integer')
    assert report() == (
        "acme: column crm_customer.shoe_size is not expected: integer STORAGE p\n"
        "1 of 2 tenants differ from this release."
    )
    assert report("--tenant", "globex") == "1 tenants, no drift\n"


def test_a_tenant_without_a_schema_differs(live_db, acme):
    with connections[OWNER].cursor() as cursor:
        cursor.execute(f'DROP SCHEMA "{acme.schema}" CASCADE')
    found = report("--tenant", "acme")
    assert found.splitlines() == [
        "acme: schema owner is missing: aiaas_owner",
        "1 of 1 tenants differ from this release.",
    ]
