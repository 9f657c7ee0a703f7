"""Replace an API key."""

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.resilience.errors import DomainError
from apps.tenants.selectors import get_tenant
from apps.tenants.services import rotate_api_key

MAX_OVERLAP_S = 7 * 86_400


class Command(BaseCommand):
    """Print a new key with the rights of an old one, which goes on working for a while."""

    help = "Replace an API key by a new one with the same rights, which is printed once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("key_id", help="the public part of the key, ak_…")
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument(
            "--overlap",
            type=_overlap,
            default=86_400,
            metavar="SECONDS",
            help="how long the old key still works, at most seven days; a day by default",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            key = rotate_api_key(
                tenant=get_tenant(slug=options["tenant"]),
                key_id=options["key_id"],
                overlap_s=options["overlap"],
                actor="operator",
            )
        except DomainError as error:
            raise CommandError(error.detail) from error
        self.stdout.write(f"API key   {key.token}")
        self.stdout.write(
            f"{options['key_id']} works for {options['overlap']} s more. This key is not shown again."
        )


def _overlap(text: str) -> int:
    if not text.isdecimal() or int(text) > MAX_OVERLAP_S:
        raise ArgumentTypeError(f"give whole seconds from 0 to {MAX_OVERLAP_S}")
    return int(text)
