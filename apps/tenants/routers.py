"""Only the owner's connection migrates."""

from typing import Any

from apps.tenants.context import OWNER


class OwnerMigrates:
    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return None if db == OWNER else False
