"""Make a marked row of any table of a tenant, from nothing but its model."""

import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone
from pgvector.django import VectorField

from apps.tenants.context import current_tenant, in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.db.compiler import tenant_tables
from apps.tenants.orm import SealedTextField
from apps.tenants.secrets import PLATFORM, seal

Model = type[models.Model]


def tenant_models() -> list[Model]:
    """Return every model whose rows belong to a tenant, what a foreign key points at first."""
    from django.apps import apps

    waiting = [m for m in apps.get_models(include_auto_created=True) if m._meta.db_table in tenant_tables()]
    ordered: list[Model] = []
    while waiting:
        free = [model for model in waiting if not _parents(model) & set(waiting)]
        ordered += free or waiting
        waiting = [model for model in waiting if model not in ordered]
    return ordered


def is_in_schema(model: Model) -> bool:
    """Whether every tenant has a table of its own."""
    return model._meta.app_config.name in settings.TENANT_APPS


def _parents(model: Model) -> set[Model]:
    fields = (field for field in model._meta.concrete_fields if not field.null)
    return {field.related_model for field in fields if field.related_model not in (None, model)}


def make_row(model: Model, tenant: TenantRef, mark: str) -> models.Model:
    """Insert a row of the tenant's whose every text holds the mark; in the tenant's transaction."""
    values = {}
    for field in model._meta.concrete_fields:
        if isinstance(field, models.GeneratedField) or field.column == "tenant_id":
            continue
        if field.primary_key and (field.has_default() or isinstance(field, models.AutoField)):
            continue
        values[field.attname] = _value(field, mark)
    if not any(field.attname == "tenant_id" and field.has_db_default() for field in _fields(model)):
        values["tenant_id"] = tenant.id
    return model._default_manager.create(**values)


def has_rows(model: Model, tenant: TenantRef) -> bool:
    """Whether the tenant has any row of a model."""
    with in_tenant(tenant):
        return model._default_manager.exists()


def _fields(model: Model) -> list[Any]:
    return list(model._meta.concrete_fields)


def _value(field: Any, mark: str) -> Any:
    if field.related_model is not None:
        found = field.related_model._default_manager.values_list("pk", flat=True).first()
        return None if found is None and field.null else found
    if field.choices:
        return field.flatchoices[0][0]
    makers = ((kind, make) for kind, make in VALUES if isinstance(field, kind))
    _, make = next(makers, (None, None))
    return make(field, mark) if make else field.get_default()


def _text(field: Any, mark: str) -> str:
    size = field.max_length or 200
    text = f"{mark}{uuid.uuid4().hex}"
    return text if size >= len(text) else text[len(mark) :][:size]


def _sealed(mark: str) -> str:
    tenant = current_tenant()
    return seal(mark, tenant.id if tenant else PLATFORM)


# Looked through in this order: the first that fits makes the value.
VALUES: list[tuple[type, Any]] = [
    (models.EmailField, lambda field, mark: f"{mark}.{uuid.uuid4().hex[:8]}@proof.example"),
    (models.GenericIPAddressField, lambda field, mark: "192.0.2.1"),
    (SealedTextField, lambda field, mark: _sealed(mark)),
    (models.CharField, _text),
    (models.TextField, _text),
    (models.UUIDField, lambda field, mark: uuid.uuid4()),
    (
        models.JSONField,
        lambda field, mark: (
            None if field.null else field.get_default() if field.has_default() else {"mark": mark}
        ),
    ),
    (models.BinaryField, lambda field, mark: mark.encode()),
    (models.BooleanField, lambda field, mark: field.get_default() or False),
    (models.IntegerField, lambda field, mark: field.get_default() or 1),
    (models.FloatField, lambda field, mark: 0.5),
    (models.DecimalField, lambda field, mark: 1),
    (models.DateTimeField, lambda field, mark: None if field.null else timezone.now()),
    (models.DateField, lambda field, mark: None if field.null else timezone.now().date()),
    (VectorField, lambda field, mark: [1.0] + [0.0] * (field.dimensions - 1)),
]
