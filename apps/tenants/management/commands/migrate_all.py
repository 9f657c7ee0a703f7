"""Bring the schema `public` and every tenant's schema up to date."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.tenants.schemas import migrate_shared, migrate_tenant_schema
from apps.tenants.selectors import list_all_tenants


class Command(BaseCommand):
    help = "Migrate public and every tenant's schema; a broken tenant does not stop the others."

    def handle(self, *args: Any, **options: Any) -> None:
        migrate_shared(verbosity=max(0, options["verbosity"] - 1))
        broken = []
        for tenant in list_all_tenants():
            try:
                applied = migrate_tenant_schema(tenant.schema)
            except Exception as error:
                broken.append(f"{tenant.slug}: {error}")
                continue
            if applied:
                self.stdout.write(f"{tenant.slug}: {applied} migrations applied")
        if broken:
            raise CommandError("these tenants could not be migrated:\n" + "\n".join(broken))
