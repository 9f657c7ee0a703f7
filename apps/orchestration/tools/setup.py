"""How a tenant has set a tool up, with its secrets, for the tool itself alone."""

from __future__ import annotations

from typing import Any

from apps.orchestration.definitions.selectors import get_tool_settings, reveal_secrets
from apps.tenants.contracts import TenantRef


def read_setup(tenant: TenantRef, tool: str) -> dict[str, Any]:
    """Return a tool's settings, secrets revealed: nothing of it may get into an output or a message."""
    config = get_tool_settings(tenant=tenant).get(tool, {})
    texts = {name: value for name, value in config.items() if isinstance(value, str)}
    return {**config, **reveal_secrets(tenant=tenant, texts=texts)}
