"""Forget one customer everywhere, or check the proof of it."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.crm.services import erase_customer, find_customer_id
from apps.resilience.errors import DomainError
from apps.tenants.erasing.services import carry_out_erasure, get_erasure, is_genuine
from apps.tenants.selectors import get_tenant


class Command(BaseCommand):
    help = "Erase a customer everywhere and print the signed manifest, or --verify one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", help="the tenant's slug")
        parser.add_argument("--customer", help="the customer's id or e-mail address")
        parser.add_argument("--verify", type=Path, metavar="FILE", help="check a manifest's signature")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verify"]:
            self._verify(options["verify"])
        elif options["tenant"] and options["customer"]:
            self._erase(options["tenant"], options["customer"])
        else:
            raise CommandError("Give --tenant and --customer, or --verify.", returncode=2)

    def _erase(self, slug: str, customer: str) -> None:
        try:
            tenant = get_tenant(slug=slug)
            found = find_customer_id(tenant=tenant, given=customer)
            erasure = erase_customer(tenant=tenant, customer_id=found, actor="platform")
        except DomainError as error:
            raise CommandError(error.detail) from error
        carry_out_erasure(tenant=tenant, erasure_id=erasure.id)
        done = get_erasure(tenant=tenant, erasure_id=erasure.id)
        if done.manifest is None:
            raise CommandError(
                f"Not finished yet ({done.error or 'a worker has it'}); workers go on with it."
            )
        self.stdout.write(json.dumps({"manifest": done.manifest, "signature": done.signature}, indent=2))

    def _verify(self, path: Path) -> None:
        try:
            is_good = is_genuine(json.loads(path.read_text()))
        except (OSError, ValueError) as error:
            raise CommandError(f"{path} cannot be read: {error}") from error
        if not is_good:
            raise CommandError(f"{path} is not as it was signed by this platform.")
        self.stdout.write(f"{path}: the signature is genuine")
