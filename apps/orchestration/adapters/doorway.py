"""The engine as conversations sees it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apps.conversations.contracts import MessageView
from apps.orchestration import selectors, services
from apps.resilience.errors import NotFoundError
from apps.tenants.contracts import TenantRef


class EngineDoorway:
    """Executes runs in the caller's process, and shows them."""

    def execute_now(self, *, tenant: TenantRef, run_id: UUID, wait_s: float) -> MessageView | None:
        """Execute a run that this process claimed at its birth, or wait for whoever has it."""
        return services.execute_or_await(tenant=tenant, run_id=run_id, wait_s=wait_s)

    def get_run(self, *, tenant: TenantRef, run_id: UUID) -> dict[str, Any] | None:
        """Return a run as the API shows it."""
        try:
            return selectors.show_run(selectors.get_run(tenant=tenant, run_id=run_id))
        except NotFoundError:
            return None
