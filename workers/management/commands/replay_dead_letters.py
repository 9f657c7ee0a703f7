"""Handle dead letters again."""

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from apps.events.contracts import Consumer, Envelope
from apps.events.services import list_consumers, list_dead_letters, mark_replayed
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import get_tenant, list_all_tenants
from workers.consumers import handle_envelope


class Command(BaseCommand):
    help = "Hand dead letters to their consumers again: all of them, a tenant's, or one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", help="only this tenant's (slug)")
        parser.add_argument("--id", type=UUID, help="only this dead letter")

    def handle(self, *args: Any, **options: Any) -> None:
        slug = options["tenant"]
        tenants = [get_tenant(slug=slug)] if slug else list_all_tenants()
        consumers = {consumer.name: consumer for consumer in list_consumers()}
        done = failed = 0
        for tenant in tenants:
            for letter in _waiting(tenant, options["id"]):
                error = _replay(tenant, letter, consumers)
                done, failed = done + (not error), failed + bool(error)
                if error:
                    self.stderr.write(f"{letter.id} {letter.type}: {error}")
        self.stdout.write(f"{done} replayed, {failed} failed")
        if failed:
            raise CommandError("some dead letters failed again; they stay on the list")


def _waiting(tenant: TenantRef, letter_id: UUID | None) -> list[Any]:
    with in_tenant(tenant):
        return [letter for letter in list_dead_letters() if letter_id in (None, letter.id)]


def _replay(tenant: TenantRef, letter: Any, consumers: dict[str, Consumer]) -> str:
    consumer = consumers.get(letter.consumer)
    if consumer is None:
        return f"no consumer is called {letter.consumer}"
    try:
        handle_envelope(consumer, Envelope.from_json(letter.envelope))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    with in_tenant(tenant):
        mark_replayed(letter_id=letter.id)
    return ""
