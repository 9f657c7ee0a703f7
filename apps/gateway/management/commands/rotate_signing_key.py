"""Replace the key that signs tokens."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from apps.gateway.signing import rotate_signing_key


class Command(BaseCommand):
    """Publish a new key, which signs once every verifier can know it; the old one is believed meanwhile."""

    help = "Publish the key that signs tokens next; it is used ten minutes later, by itself."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--leaked",
            action="store_true",
            help="use the new key at once and believe no former one: everybody logs in again",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        key = rotate_signing_key(is_urgent=options["leaked"])
        assert key is not None
        self.stdout.write(f"{key.kid} signs from {key.activates_at:%Y-%m-%d %H:%M:%S} UTC on")
