"""Tell who may do what."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from aiaas.access import write_permissions
from aiaas.settings.locations import ROOT

PAGE = ROOT / "docs" / "permissions.md"


class Command(BaseCommand):
    """Print the table of roles and permissions, and what every doorway needs."""

    help = (
        "Prints roles, permissions and what every endpoint, page and socket needs; --write keeps it in docs."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take --write."""
        parser.add_argument("--write", action="store_true", help=f"write docs/{PAGE.name}")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print or write."""
        if options["write"]:
            PAGE.write_text(write_permissions())
            self.stdout.write(f"docs/{PAGE.name} is up to date.")
        else:
            self.stdout.write(write_permissions())
