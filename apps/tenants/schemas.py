"""Make and migrate tenants' schemas, with the owner's connection."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import cast

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.core.management.commands.migrate import Command as DjangoMigrate
from django.db import connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django_tenants.postgresql_backend.base import DatabaseWrapper as TenantsWrapper

from apps.tenants.context import OWNER
from apps.tenants.db.roles import APP_ROLE

LOCK_CLASS = 7_460_001  # the first half of the advisory lock that whoever migrates a schema holds


def create_schema(schema: str) -> None:
    """Create a tenant's schema from one script, inside the caller's transaction on the owner's connection.

    Replaying the migrations one by one would take ten times as long.
    """
    with connections[OWNER].cursor() as cursor:
        cursor.execute(
            f'CREATE SCHEMA "{schema}"; GRANT USAGE ON SCHEMA "{schema}" TO {APP_ROLE};'
            f'SET LOCAL search_path TO "{schema}", public; {schema_script()}'
        )


def drop_schema(schema: str) -> None:
    """Drop a tenant's schema with all that is in it, in the caller's transaction of the owner."""
    with connections[OWNER].cursor() as cursor:
        cursor.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')


@cache
def schema_script() -> str:
    """Generate the SQL of all tenant tables, with the record of the migrations that it stands for."""
    connection = owner_connection()
    loader = MigrationLoader(connection)
    loader.build_graph()
    connection.set_schema("template")  # makes the router admit the tenant apps; nothing is executed
    try:
        statements = loader.collect_sql([(loader.graph.nodes[key], False) for key in tenant_plan(loader)])
        with connection.schema_editor(collect_sql=True) as editor:
            editor.create_model(MigrationRecorder.Migration)
    finally:
        connection.set_schema_to_public()
    recorded = ", ".join(f"('{app}', '{name}', now())" for app, name in tenant_plan(loader))
    record = f"INSERT INTO django_migrations (app, name, applied) VALUES {recorded};"  # noqa: S608 - names of our own migrations
    return "\n".join([*editor.collected_sql, *statements, record])


def migrate_shared(*, verbosity: int = 0) -> None:
    """Bring the schema `public` up to date, one process at a time."""
    connection = owner_connection()
    connection.set_schema_to_public()
    with holding_lock("public"):
        call_command(DjangoMigrate(), database=OWNER, interactive=False, verbosity=verbosity)


@contextmanager
def holding_lock(schema: str) -> Iterator[None]:
    """Keep others from migrating a schema during the block.

    Where the block fails the connection is closed, which lets go of the lock in whatever state it is.
    """
    connection = owner_connection()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", [LOCK_CLASS, schema])
    try:
        yield
    except BaseException:
        connection.close()
        raise
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_unlock(%s, hashtext(%s))", [LOCK_CLASS, schema])


def owner_connection() -> TenantsWrapper:
    """Return this thread's connection of the owner."""
    return cast("TenantsWrapper", connections[OWNER])


def tenant_plan(loader: MigrationLoader) -> list[tuple[str, str]]:
    """Return the migrations of a tenant's schema, in their order."""
    names = set(settings.TENANT_APPS)
    labels = {config.label for config in apps.get_app_configs() if config.name in names}
    return [key for key in full_plan(loader) if key[0] in labels]


def full_plan(loader: MigrationLoader) -> list[tuple[str, str]]:
    """Return all migrations, those of `public` too, in their order."""
    plan: list[tuple[str, str]] = []
    for leaf in loader.graph.leaf_nodes():
        plan += [key for key in loader.graph.forwards_plan(leaf) if key not in plan]
    return plan
