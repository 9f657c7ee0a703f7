"""Bring every stored secret of a tenant to the present key; where they are is read from the models."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.db.models import Model

from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.orm import SealedTextField
from apps.tenants.secrets import CannotOpen, present_prefix, seal, unseal

BATCH = 200


@dataclass
class Resealed:
    """How many secrets were sealed anew, and where those are that no key opens."""

    done: int = 0
    lost: list[str] = field(default_factory=list)


def sealed_fields() -> list[tuple[type[Model], str]]:
    """Return every place of the product where secrets are kept."""
    return [
        (model, one.name)
        for model in apps.get_models()
        for one in model._meta.local_concrete_fields
        if isinstance(one, SealedTextField)
    ]


def reseal_secrets(*, tenant: TenantRef) -> Resealed:
    """Seal a tenant's secrets with the present key, in short transactions.

    It begins where it was ended, since it only takes what another key has sealed; a secret that is replaced
    meanwhile stays as it was replaced.
    """
    result = Resealed()
    for model, name in sealed_fields():
        last: Any = None
        while True:
            with in_tenant(tenant):
                rows = _next_rows(model, name, last)
                for pk, sealed in rows:
                    result.done += _reseal(tenant, model, name, pk, sealed, result)
            if len(rows) < BATCH:
                break
            last = rows[-1][0]
    return result


def _next_rows(model: type[Model], name: str, last: Any) -> list[tuple[Any, str]]:
    """Return the next rows whose secret another key has sealed."""
    waiting = model._base_manager.exclude(**{name: ""}).exclude(**{f"{name}__startswith": present_prefix()})
    if last is not None:
        waiting = waiting.filter(pk__gt=last)
    return list(waiting.order_by("pk").values_list("pk", name)[:BATCH])


def _reseal(tenant: TenantRef, model: type[Model], name: str, pk: Any, sealed: str, result: Resealed) -> int:
    try:
        anew = seal(unseal(sealed, tenant.id), tenant.id)
    except CannotOpen:
        result.lost.append(f"{model._meta.label}.{name} {pk}")
        return 0
    return model._base_manager.filter(pk=pk, **{name: sealed}).update(**{name: anew})
