"""Seed the two demo companies."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from aiaas.demo.credentials import list_logins
from aiaas.demo.seed import seed_demo
from apps.resilience.errors import DomainError


class Command(BaseCommand):
    """Seed the online shop and the software company; again is harmless."""

    help = "Seeds two demo tenants: an online shop (shop) and a software company (software)."

    def handle(self, *args: Any, **options: Any) -> None:
        """Seed what is missing, then print the logins."""
        try:
            seed_demo(self.stdout.write)
        except DomainError as error:
            raise CommandError(error.detail) from error
        for who, how in list_logins():
            self.stdout.write(f"{who:<28} {how}")
