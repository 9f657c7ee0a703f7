"""Seal tenants' secrets with the present key."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.resilience.errors import NotFoundError
from apps.tenants.resealing import reseal_platform_secrets, reseal_secrets
from apps.tenants.selectors import get_tenant, list_all_tenants


class Command(BaseCommand):
    help = (
        "Seal every stored secret, tenants' and the platform's, with the first of SECRETS_KEYS; may run "
        "beside everything else, and again after it was ended. Afterwards the former keys can go."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", help="only this tenant's (slug)")

    def handle(self, *args: Any, **options: Any) -> None:
        slug = options["tenant"]
        try:
            tenants = [get_tenant(slug=slug)] if slug else list_all_tenants()
        except NotFoundError as error:
            raise CommandError(error.detail) from error
        results = {tenant.slug: reseal_secrets(tenant=tenant) for tenant in tenants}
        if not slug:
            results["the platform"] = reseal_platform_secrets()
        for owner, result in results.items():
            for place in result.lost:
                self.stderr.write(f"{owner}: {place} cannot be opened by any key")
        done = sum(result.done for result in results.values())
        lost = sum(len(result.lost) for result in results.values())
        self.stdout.write(f"{done} secrets of {len(tenants)} tenants sealed anew, {lost} cannot be opened")
        if lost:
            raise CommandError("put the key that made them back into SECRETS_KEYS, or make new secrets")
