"""What other apps build their tables with: the tenant's base model and the policies' migration operations."""

from typing import Any

from django.db import models
from django.db.migrations.operations import RunSQL
from django.db.models import Func
from uuid_utils.compat import uuid7

from apps.tenants.db.roles import APP_ROLE, PLATFORM_ROLE, protect_sql
from apps.tenants.secrets import is_sealed


class CurrentTenant(Func):
    """The database's own view of the current tenant; NULL, hence refused, without one."""

    arity = 0
    output_field = models.UUIDField()

    def as_sql(self, *args: Any, **kwargs: Any) -> tuple[str, tuple[Any, ...]]:
        # A column's DEFAULT may not hold a sub-select, so the bare setting is read here.
        return "nullif(current_setting('app.current_tenant_id', true), '')::uuid", ()


class TenantModel(models.Model):
    """A row that belongs to a tenant; the database itself fills `tenant_id` from the context."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant_id = models.UUIDField(db_default=CurrentTenant(), editable=False)
    created_at = models.DateTimeField(auto_now_add=True, editable=False)

    class Meta:
        abstract = True


class SealedTextField(models.TextField):
    """A tenant's secret as `apps.tenants.secrets.seal` made it; found by this class when keys are rotated.

    What is not sealed is refused, so that no secret is ever stored as it is.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "editable": False})

    def get_prep_value(self, value: Any) -> Any:
        if isinstance(value, str) and value and not is_sealed(value):
            raise ValueError(f"{self.name} takes sealed secrets only")
        return super().get_prep_value(value)


class ProtectRows(RunSQL):
    """Bind a table to the current tenant by a column other than `tenant_id`."""

    def __init__(self, table: str, column: str) -> None:
        super().__init__([*protect_sql(table, column)], RunSQL.noop)


class AllowPlatform(RunSQL):
    """Admit the platform role to a public table, by a policy that names it.

    `privileges` is a list as in GRANT, e.g. "SELECT, UPDATE".
    """

    def __init__(self, table: str, privileges: str) -> None:
        statements = [
            f'GRANT {privileges} ON "{table}" TO {PLATFORM_ROLE}',
            f'CREATE POLICY platform_access ON "{table}" TO {PLATFORM_ROLE} USING (true) WITH CHECK (true)',
        ]
        super().__init__([*statements], RunSQL.noop)


class AppendOnly(RunSQL):
    """Take UPDATE and DELETE of a table away from the application role."""

    def __init__(self, table: str) -> None:
        super().__init__(f'REVOKE UPDATE, DELETE, TRUNCATE ON "{table}" FROM {APP_ROLE}', RunSQL.noop)
