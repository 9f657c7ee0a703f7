"""Tell what events there are."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from aiaas.event_page import write_events
from aiaas.settings.locations import ROOT
from apps.events.compatibility import BrokenContract, write_schemas
from apps.events.selectors import list_event_types

PAGE = ROOT / "docs" / "events.md"


class Command(BaseCommand):
    """Print the types of events, or keep them and their schemas in the repository."""

    help = "Prints every type of event with its data; --write keeps the page in docs, and the schemas."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take --write."""
        parser.add_argument("--write", action="store_true", help=f"write docs/{PAGE.name} and the schemas")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print or write."""
        if not options["write"]:
            self.stdout.write(write_events())
            return
        try:
            changed = write_schemas(list_event_types().values())
        except BrokenContract as error:
            raise CommandError(str(error)) from None
        PAGE.write_text(write_events())
        self.stdout.write(f"docs/{PAGE.name} is up to date; {changed} schemas changed.")
