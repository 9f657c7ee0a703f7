"""Say where tenants' schemas differ from what this release makes."""

import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.tenants.drift import compare_schemas
from apps.tenants.drift_report import keep_report
from apps.tenants.management.commands.migrate_schemas import find_tenant, jobs
from apps.tenants.selectors import list_all_tenants

SHOWN = 50  # differences of one tenant; whoever has more has another problem


class Command(BaseCommand):
    help = (
        "Compare every tenant's schema with a fresh one: tables, columns, indexes, constraints, policies, "
        "grants, functions, triggers, migrations. Exit status 1 where one differs."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--tenant", action="append", default=[], metavar="SLUG", help="this one only; may be repeated"
        )
        parser.add_argument(
            "--jobs", type=jobs, default=min(8, os.cpu_count() or 2), help="tenants at a time (%(default)s)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        tenants = [find_tenant(slug) for slug in options["tenant"]] or list_all_tenants()
        drifted, seen = 0, []
        for comparison in compare_schemas(tenants=tenants, jobs=options["jobs"]):
            seen.append(comparison)
            differences = comparison.differences
            drifted += bool(differences)
            for difference in differences[:SHOWN]:
                self.stdout.write(f"{comparison.tenant.slug}: {difference}")
            if len(differences) > SHOWN:
                self.stdout.write(f"{comparison.tenant.slug}: and {len(differences) - SHOWN} more")
        if not options["tenant"]:
            keep_report(seen)  # the staff's start page shows it
        if drifted:
            raise CommandError(f"{drifted} of {len(tenants)} tenants differ from this release.")
        self.stdout.write(f"{len(tenants)} tenants, no drift")
