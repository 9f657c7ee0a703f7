"""Insert many rows of a model by one statement: SQL expressions over a row's number n, else the defaults."""

import datetime as dt
import json
import uuid
from typing import Any

from django.db import connection, connections, models, transaction

from apps.tenants.context import OWNER
from apps.tenants.contracts import TenantRef

SALT = uuid.uuid4().hex  # what a killed run left behind has other ids
PUBLIC = {"billing", "orchestration", "analytics", "tenants"}  # their tables lie in the schema public


def id_of(model: type[models.Model], number: str) -> str:
    """Return the SQL of the id that row `number` of a model has."""
    return f"md5('{SALT}{model.__name__}' || {number})::uuid"


def literal(value: Any) -> str:
    """Return a value as SQL that says its type."""
    match value:
        case None:
            return "NULL"
        case bool() | int():
            return str(value)
        case dt.datetime():
            return f"'{value.isoformat()}'::timestamptz"
        case str():
            return "'" + value.replace("'", "''") + "'"
    return f"'{json.dumps(value)}'::jsonb"


def insert(tenant: TenantRef, model: type[models.Model], total: int, **expressions: str) -> None:
    """Insert rows numbered n from 0; `tenant_id` is the tenant's, moments without a default are now."""
    given = {"id": id_of(model, "n"), "created_at": "now()", **expressions}
    columns, values, parameters = [], [], []
    for field in model._meta.concrete_fields:
        if not field.column or field.generated:
            continue
        value, bound = _value_of(field, given, tenant)
        columns.append(f'"{field.column}"')
        values.append(value)
        parameters += bound
    schema = "public" if model._meta.app_label in PUBLIC else tenant.schema
    with transaction.atomic(using=OWNER), connections[OWNER].cursor() as cursor:
        cursor.execute(f'SET LOCAL search_path TO "{tenant.schema}", public')
        cursor.execute(
            f'INSERT INTO "{schema}"."{model._meta.db_table}" ({", ".join(columns)}) '
            f"SELECT {', '.join(values)} FROM generate_series(0, {total - 1}) AS n",
            parameters,
        )


def _value_of(field: Any, given: dict[str, str], tenant: TenantRef) -> tuple[str, list[Any]]:
    if field.column == "tenant_id":
        return "%s", [tenant.id]
    if field.column in given:
        expression = given[field.column].replace("%", "%%")
        return f"({expression})::{field.db_type(connection)}", []
    if isinstance(field, models.DateTimeField) and not field.null:
        return "now()", []
    default = field.get_db_prep_save(field.get_default(), connection) if field.has_default() else None
    return "%s", ["" if default is None and not field.null else default]
