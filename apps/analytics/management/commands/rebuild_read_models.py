"""Rebuild the read models of analytics."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.analytics.services import rebuild_read_models
from apps.tenants.selectors import get_tenant, list_all_tenants


class Command(BaseCommand):
    help = "Fold all archived events into new read models beside the present ones, compare, and swap."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", help="only this tenant's (slug)")

    def handle(self, *args: Any, **options: Any) -> None:
        slug = options["tenant"]
        different = 0
        for tenant in [get_tenant(slug=slug)] if slug else list_all_tenants():
            rebuilt = rebuild_read_models(tenant=tenant)
            verdict = "equal" if rebuilt.is_equal else f"{len(rebuilt.differences)} buckets differ"
            self.stdout.write(f"{tenant.slug}: {rebuilt.conversations} conversations, {verdict}")
            for line in rebuilt.differences[:20]:
                self.stdout.write(f"  {line}")
            different += not rebuilt.is_equal
        if different:
            raise CommandError("the new read models differ from the old ones; the new ones are shown now")
