"""What conversations need from those above them."""

from functools import cache
from typing import Any, Protocol
from uuid import UUID

from django.conf import settings
from django.utils.module_loading import import_string

from apps.conversations.contracts import MessageView
from apps.tenants.contracts import TenantRef


class RunDoorway(Protocol):
    """Leads to the engine that answers messages; wired by `settings.RUN_DOORWAY`."""

    def execute_now(self, *, tenant: TenantRef, run_id: UUID, wait_s: float) -> MessageView | None:
        """Execute a run that this process claimed at its birth, for at most about `wait_s`.

        Returns the reply where it was stored here; None says nothing about there being one.
        """

    def get_run(self, *, tenant: TenantRef, run_id: UUID) -> dict[str, Any] | None:
        """Return a run as the API shows it; its `status` is there."""


@cache
def run_doorway() -> RunDoorway:
    """Return the doorway that the settings name."""
    doorway: RunDoorway = import_string(settings.RUN_DOORWAY)()
    return doorway
