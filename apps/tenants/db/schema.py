"""Give every table with a tenant its row-level security at birth."""

from typing import Any

from django.db.backends.postgresql.schema import DatabaseSchemaEditor as PostgresSchemaEditor
from django.db.models import Field, Model

from apps.tenants.db.roles import protect_sql


class DatabaseSchemaEditor(PostgresSchemaEditor):
    """Protect what is created, so that no model can be forgotten."""

    def create_model(self, model: type[Model]) -> None:
        super().create_model(model)
        if any(field.column == "tenant_id" for field in model._meta.local_concrete_fields):
            self._protect(model)

    def add_field(self, model: type[Model], field: "Field[Any, Any]") -> None:
        super().add_field(model, field)
        if field.column == "tenant_id":
            self._protect(model)

    def _protect(self, model: type[Model]) -> None:
        for statement in protect_sql(model._meta.db_table):
            self.execute(statement)
