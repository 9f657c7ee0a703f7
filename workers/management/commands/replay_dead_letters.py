"""Handle dead letters again."""

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from apps.events.services import list_dead_letters
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import get_tenant, list_all_tenants
from workers.dead_letters import replay_letter


class Command(BaseCommand):
    help = "Hand dead letters to their consumers again: all of them, a tenant's, or one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", help="only this tenant's (slug)")
        parser.add_argument("--id", type=UUID, help="only this dead letter")

    def handle(self, *args: Any, **options: Any) -> None:
        slug = options["tenant"]
        tenants = [get_tenant(slug=slug)] if slug else list_all_tenants()
        done = failed = 0
        for tenant in tenants:
            for letter in _waiting(tenant, options["id"]):
                error = replay_letter(tenant, letter)
                done, failed = done + (not error), failed + bool(error)
                if error:
                    self.stderr.write(f"{letter.id} {letter.type}: {error}")
        self.stdout.write(f"{done} replayed, {failed} failed")
        if failed:
            raise CommandError("some dead letters failed again; they stay on the list")


def _waiting(tenant: TenantRef, letter_id: UUID | None) -> list[Any]:
    with in_tenant(tenant):
        return [letter for letter in list_dead_letters() if letter_id in (None, letter.id)]
