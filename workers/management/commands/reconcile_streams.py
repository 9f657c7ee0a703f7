"""Bring JetStream in line with what is declared, and end what is left over."""

import asyncio
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.events.adapters.batches import FAILURES
from apps.events.adapters.declaring import Leftover, reconcile_all
from apps.events.adapters.jetstream import connect
from apps.events.ports import BrokerUnavailable
from apps.events.services import list_consumers


class Command(BaseCommand):
    help = "Changes streams and consumers into what is declared, as relay and consumers do when they start."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--remove",
            action="store_true",
            help="also delete the consumers that nobody declares any more; once no older release runs",
        )

    def handle(self, *args: Any, remove: bool, **options: Any) -> None:
        try:
            changes, leftovers = asyncio.run(_reconcile(remove=remove))
        except (BrokerUnavailable, *FAILURES) as error:
            raise CommandError(f"NATS: {error}") from None
        for change in changes:
            self.stdout.write(f"changed {change}")
        for left in leftovers:
            what = "removed" if remove else "left over"
            self.stdout.write(f"{what}: {left.name} of {left.stream}, {left.pending} events not delivered")
        self.stdout.write(f"{len(changes)} changes, {len(leftovers)} consumers left over")


async def _reconcile(*, remove: bool) -> tuple[list[str], list[Leftover]]:
    client = await connect(settings.NATS_URL, name="reconcile")
    try:
        changes, leftovers = await reconcile_all(client, list_consumers())
        for left in leftovers if remove else ():
            await client.jetstream().delete_consumer(left.stream, left.name)
    finally:
        await client.close()
    return changes, leftovers
