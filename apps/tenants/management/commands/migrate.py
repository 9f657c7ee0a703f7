"""The name that everybody types first; see `migrate_schemas`."""

from apps.tenants.management.commands.migrate_schemas import Command

__all__ = ["Command"]
