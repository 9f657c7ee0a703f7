"""What happens inside the installation: tenants made, a column added to all, the catalog weighed.

Each function is called in a process of its own by `Installation.manage` and prints JSON.
"""

import json
import logging
import time
from typing import Any

from django.db import connections, migrations, models
from django.db.migrations.loader import MigrationLoader

from apps.tenants.context import OWNER
from apps.tenants.drift import compare_schemas
from apps.tenants.migrating import migrate_tenants
from apps.tenants.selectors import list_all_tenants
from apps.tenants.services import create_api_key, provision_tenant

COLUMN = "9999_bench"
CATALOG = """
SELECT pg_database_size(current_database()), (SELECT count(*) FROM pg_class),
  (SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class AS c
   JOIN pg_namespace AS n ON n.oid = relnamespace WHERE nspname = 'pg_catalog' AND relkind = 'r')
"""


def make_tenants(total: int) -> None:
    """Provision tenants with an API key each, and print the keys, the times and the catalog's growth."""
    logging.disable(logging.WARNING)
    before = _weigh()
    keys, times_ms = [], []
    for number in range(total):
        begin = time.perf_counter()
        tenant = provision_tenant(slug=f"bench-{number:05}", name="Benchmark", plan="enterprise")
        times_ms.append((time.perf_counter() - begin) * 1000)
        keys.append(create_api_key(tenant=tenant, name="bench", scopes=["api:read", "api:write"]).token)
    _print({"keys": keys, "times_ms": times_ms, "before": before, "after": _weigh()})


def add_column(jobs: int) -> None:
    """Give every tenant one more column by a migration, and print how long that took."""
    logging.disable(logging.WARNING)
    _plant_migration()
    tenants = list_all_tenants()
    begin = time.perf_counter()
    outcomes = list(migrate_tenants(tenants=tenants, jobs=jobs))
    took_s = time.perf_counter() - begin
    begin = time.perf_counter()
    again = [outcome.applied for outcome in migrate_tenants(tenants=tenants, jobs=jobs)]
    _print(
        {
            "tenants": len(tenants),
            "applied": sum(outcome.applied for outcome in outcomes),
            "broken": [f"{outcome.tenant.slug}: {outcome.error}" for outcome in outcomes if outcome.error],
            "took_s": took_s,
            "nothing_to_do_s": time.perf_counter() - begin if not any(again) else None,
        }
    )


def look_for_drift(jobs: int) -> None:
    """Compare every tenant's schema with a fresh one, in which the benchmark's column is missing."""
    begin = time.perf_counter()
    found = list(compare_schemas(tenants=list_all_tenants(), jobs=jobs))
    columns = [
        str(difference) for one in found for difference in one.differences if difference.kind == "column"
    ]
    _print({"took_s": time.perf_counter() - begin, "tenants": len(found), "columns": len(columns)})


def list_backends() -> None:
    """Print the process numbers of the server processes that serve the application's role."""
    with connections[OWNER].cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_stat_activity WHERE usename = 'aiaas_app'")
        _print([pid for (pid,) in cursor.fetchall()])


def _plant_migration() -> None:
    read = MigrationLoader.load_disk

    def load_disk(self: MigrationLoader) -> None:
        read(self)
        latest = max(name for app, name in self.disk_migrations if app == "crm")
        migration = migrations.Migration(COLUMN, "crm")
        migration.dependencies = [("crm", latest)]
        migration.operations = [
            migrations.AddField(
                "customer", "bench", models.CharField(max_length=20, default="", db_default="")
            )
        ]
        self.disk_migrations["crm", COLUMN] = migration

    MigrationLoader.load_disk = load_disk


def _weigh() -> dict[str, int]:
    with connections[OWNER].cursor() as cursor:
        cursor.execute(CATALOG)
        database, relations, catalog = cursor.fetchone()
    return {"database_bytes": int(database), "relations": relations, "catalog_bytes": int(catalog)}


def _print(facts: Any) -> None:
    print("facts=" + json.dumps(facts), flush=True)
