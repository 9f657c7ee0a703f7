"""Rebuild runs from their events and compare."""

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from apps.orchestration.verifying import verify_runs
from apps.resilience.errors import NotFoundError
from apps.tenants.selectors import get_tenant, list_all_tenants


class Command(BaseCommand):
    help = (
        "Rebuilds every run from its events, replays the engine's decisions over them, and says what differs "
        "from the run's row; exits 1 on a difference."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", help="only this tenant's (slug)")
        parser.add_argument("--run", type=UUID, help="only this run (id); needs --tenant")

    def handle(self, *args: Any, **options: Any) -> None:
        slug, run_id = options["tenant"], options["run"]
        if run_id and not slug:
            raise CommandError("--run needs --tenant", returncode=2)
        differing = 0
        try:
            for tenant in [get_tenant(slug=slug)] if slug else list_all_tenants():
                found = verify_runs(tenant=tenant, run_id=run_id)
                count = len(found.differences)
                verdict = f"{count} differences" if count else "difference 0"
                looked_at = f"{found.runs} runs, {found.events} events"
                if found.without_history:
                    looked_at += f", {found.without_history} runs without, removed for their age"
                self.stdout.write(f"{tenant.slug}: {looked_at}: {verdict}")
                for line in found.differences:
                    self.stdout.write(f"  {line}")
                differing += count
        except NotFoundError as error:
            raise CommandError(error.detail) from None
        if differing:
            raise CommandError(f"{differing} differences between runs and their events")
