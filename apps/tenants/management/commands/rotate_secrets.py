"""Seal tenants' secrets with the present key."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.resilience.errors import NotFoundError
from apps.tenants.resealing import reseal_secrets
from apps.tenants.selectors import get_tenant, list_all_tenants


class Command(BaseCommand):
    help = (
        "Seal every tenant's stored secrets with the first of SECRETS_KEYS; may run beside everything else, "
        "and again after it was ended. Afterwards the former keys can be taken away."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", help="only this tenant's (slug)")

    def handle(self, *args: Any, **options: Any) -> None:
        slug, done, lost = options["tenant"], 0, 0
        try:
            tenants = [get_tenant(slug=slug)] if slug else list_all_tenants()
        except NotFoundError as error:
            raise CommandError(error.detail) from error
        for tenant in tenants:
            result = reseal_secrets(tenant=tenant)
            done, lost = done + result.done, lost + len(result.lost)
            for place in result.lost:
                self.stderr.write(f"{tenant.slug}: {place} cannot be opened by any key")
        self.stdout.write(f"{done} secrets of {len(tenants)} tenants sealed anew, {lost} cannot be opened")
        if lost:
            raise CommandError("put the key that made them back into SECRETS_KEYS, or make new secrets")
