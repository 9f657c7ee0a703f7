"""Make and migrate tenants' schemas, with the owner's connection."""

from functools import cache
from typing import cast

from django.apps import apps
from django.conf import settings
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django_tenants.postgresql_backend.base import DatabaseWrapper as TenantsWrapper

from apps.tenants.context import OWNER
from apps.tenants.db.roles import APP_ROLE


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
        cursor.execute(f'DROP SCHEMA "{schema}" CASCADE')


@cache
def schema_script() -> str:
    """Generate the SQL of all tenant tables, with the record of the migrations that it stands for."""
    connection = _owner()
    loader = MigrationLoader(connection)
    loader.build_graph()
    connection.set_schema("template")  # makes the router admit the tenant apps; nothing is executed
    try:
        statements = loader.collect_sql([(loader.graph.nodes[key], False) for key in _tenant_plan(loader)])
        with connection.schema_editor(collect_sql=True) as editor:
            editor.create_model(MigrationRecorder.Migration)
    finally:
        connection.set_schema_to_public()
    recorded = ", ".join(f"('{app}', '{name}', now())" for app, name in _full_plan(loader))
    record = f"INSERT INTO django_migrations (app, name, applied) VALUES {recorded};"  # noqa: S608 - names of our own migrations
    return "\n".join([*editor.collected_sql, *statements, record])


def migrate_shared(*, verbosity: int = 0) -> None:
    """Bring the schema `public` up to date."""
    from django.core.management import call_command

    call_command("migrate_schemas", shared=True, database=OWNER, interactive=False, verbosity=verbosity)


def migrate_tenant_schema(schema: str) -> int:
    """Apply what a tenant's schema lacks and return how many migrations that were."""
    connection = _owner()
    connection.set_schema(schema)
    try:
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if plan:
            executor.migrate(executor.loader.graph.leaf_nodes(), plan)
        return len(plan)
    finally:
        connection.set_schema_to_public()


def _owner() -> TenantsWrapper:
    return cast("TenantsWrapper", connections[OWNER])


def _tenant_plan(loader: MigrationLoader) -> list[tuple[str, str]]:
    names = set(settings.TENANT_APPS)
    labels = {config.label for config in apps.get_app_configs() if config.name in names}
    return [key for key in _full_plan(loader) if key[0] in labels]


def _full_plan(loader: MigrationLoader) -> list[tuple[str, str]]:
    plan: list[tuple[str, str]] = []
    for leaf in loader.graph.leaf_nodes():
        plan += [key for key in loader.graph.forwards_plan(leaf) if key not in plan]
    return plan
