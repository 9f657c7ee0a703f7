"""The name that everybody types first."""

from django.db.migrations.autodetector import MigrationAutodetector

from apps.tenants.management.commands.migrate_schemas import Command as MigrateSchemas


class Command(MigrateSchemas):
    """The same as `migrate_schemas`."""

    autodetector = MigrationAutodetector  # Django's checks compare it with that of `makemigrations`
