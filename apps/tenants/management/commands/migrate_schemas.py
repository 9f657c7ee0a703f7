"""Bring the schema `public` and every tenant's schema up to date."""

import os
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.resilience.errors import NotFoundError
from apps.tenants.contracts import TenantRef
from apps.tenants.migrating import Outcome, migrate_tenants
from apps.tenants.schemas import migrate_shared
from apps.tenants.selectors import get_tenant, list_all_tenants

BAR_WIDTH = 30
MOST_JOBS = 64


def jobs(text: str) -> int:
    """Read how many tenants are worked on at the same time."""
    if not text.isdecimal() or not 1 <= int(text) <= MOST_JOBS:
        raise ArgumentTypeError(f"give a number from 1 to {MOST_JOBS}")
    return int(text)


class Command(BaseCommand):
    """Several may run at the same time, each may be killed and started again: what is done stays done."""

    help = (
        "Migrate public, then every tenant's schema, several at a time. "
        "A broken tenant does not stop the others; it is listed at the end, with exit status 1."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--tenant", action="append", default=[], metavar="SLUG", help="this one only; may be repeated"
        )
        parser.add_argument(
            "--jobs", type=jobs, default=min(8, os.cpu_count() or 2), help="tenants at a time (%(default)s)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["tenant"]:
            outcomes = self._migrate([find_tenant(slug) for slug in options["tenant"]], options)
        else:
            migrate_shared(verbosity=max(0, options["verbosity"] - 1))
            outcomes = self._migrate_everybody(options)
        broken = [outcome for outcome in outcomes if outcome.error]
        if broken:
            raise CommandError(
                f"{len(broken)} of {len(outcomes)} tenants could not be migrated, all others are. Mend them, "
                "then run this again:\n"
                + "\n".join(f"  {outcome.tenant.slug}: {outcome.error}" for outcome in broken)
            )

    def _migrate_everybody(self, options: dict[str, Any]) -> list[Outcome]:
        """Go on until nobody has joined meanwhile: who provisions may still run the former release."""
        outcomes: list[Outcome] = []
        seen: set[TenantRef] = set()
        while waiting := [tenant for tenant in list_all_tenants() if tenant not in seen]:
            outcomes += self._migrate(waiting, options)
            seen |= set(waiting)
        return outcomes

    def _migrate(self, tenants: list[TenantRef], options: dict[str, Any]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for outcome in migrate_tenants(tenants=tenants, jobs=options["jobs"]):
            outcomes.append(outcome)
            if outcome.applied and options["verbosity"] > 1:
                self.stdout.write(f"{outcome.tenant.slug}: {outcome.applied} migrations applied")
            self._bar(len(outcomes), len(tenants))
        changed = sum(1 for outcome in outcomes if outcome.applied)
        if changed and options["verbosity"]:
            self.stdout.write(f"{changed} of {len(tenants)} tenants migrated")
        return outcomes

    def _bar(self, done: int, total: int) -> None:
        if not self.stderr.isatty():
            return
        filled = BAR_WIDTH * done // total
        bar = "█" * filled + "·" * (BAR_WIDTH - filled)
        self.stderr.write(f"\rmigrating  {bar} {done}/{total}", ending="\n" if done == total else "")


def find_tenant(slug: str) -> TenantRef:
    """Return a tenant by its slug, or end the command."""
    try:
        return get_tenant(slug=slug)
    except NotFoundError as error:
        raise CommandError(error.detail) from None
