"""What `up` does to the database before the processes start."""

import json
from argparse import ArgumentParser

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

from aiaas.demo.credentials import list_logins
from aiaas.demo.seed import seed_demo
from aiaas.embedded.secrets import write_private


class Command(BaseCommand):
    """Migrate every schema, seed the demo tenants, and note the logins that `up` shows at the end."""

    help = "Migrates and seeds the database; `up` runs it before it starts the processes."
    requires_system_checks = ()  # they would load every page of the product

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add --no-demo."""
        parser.add_argument("--no-demo", action="store_true", help="without the two demo tenants")

    def handle(self, *args: object, no_demo: bool, **options: object) -> None:
        """Run both steps, once each. The output is kept in a log: no secrets in it."""
        self.stdout.write("migrating")
        call_command("migrate_schemas", stdout=self.stdout)
        if not no_demo:
            seed_demo(self.stdout.write)
        write_private(settings.DATA_DIR / "logins.json", json.dumps([] if no_demo else list_logins()))
