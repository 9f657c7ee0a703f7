"""Let somebody in who has lost every second factor."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.resilience.errors import DomainError
from apps.tenants.identity.services import remove_factors


class Command(BaseCommand):
    help = "Remove a person's second factors and recovery codes, after you have made sure who asks for it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", help="the address with which the person logs in")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            removed = remove_factors(email=options["email"])
        except DomainError as error:
            raise CommandError(error.detail) from error
        self.stdout.write(f"{removed} removed; the next log-in asks for the password alone.")
