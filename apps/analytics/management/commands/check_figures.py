"""Compare figures and invoices with the raw events."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.analytics.services import check_figures
from apps.tenants.selectors import get_tenant, list_all_tenants


class Command(BaseCommand):
    help = (
        "Computes every KPI and every invoice a second time, from the raw events, and says what differs; "
        "exits 1 on a difference."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", help="only this tenant's (slug)")

    def handle(self, *args: Any, **options: Any) -> None:
        slug, differing = options["tenant"], 0
        for tenant in [get_tenant(slug=slug)] if slug else list_all_tenants():
            checked = check_figures(tenant=tenant)
            verdict = "difference 0" if checked.is_equal else f"{len(checked.differences)} differences"
            self.stdout.write(f"{tenant.slug}: KPIs, draft, {checked.invoices} final invoices: {verdict}")
            for line in checked.differences:
                self.stdout.write(f"  {line}")
            differing += not checked.is_equal
        if differing:
            raise CommandError(f"figures of {differing} tenants differ from their events")
