"""Write widgets' settings."""

from collections.abc import Mapping
from typing import Any

from apps.realtime.widget_settings.contracts import WidgetSettings, load_settings
from apps.realtime.widget_settings.validation import change_settings
from apps.resilience.errors import NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import query_widget_keys
from apps.tenants.services import update_widget_key


def update_widget_settings(
    *, tenant: TenantRef, key: str, version: int, actor: str, changes: Mapping[str, Any]
) -> WidgetSettings:
    """Change some settings of the `version` that the editor saw.

    Raises InvalidInput, NotFoundError, and ConflictError where somebody else has changed them meanwhile.
    """
    with in_tenant(tenant):
        row = query_widget_keys().filter(key=key).first()
        if row is None:
            raise NotFoundError("There is no such widget.")
        changed = change_settings(load_settings(row.settings), changes)
        update_widget_key(tenant=tenant, key=key, version=version, actor=actor, settings=changed.stored())
        return changed
