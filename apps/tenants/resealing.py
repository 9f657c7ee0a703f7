"""Bring every stored secret to the present key; where they are is read from the models."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from allauth.mfa.models import Authenticator
from django.apps import apps
from django.db import transaction
from django.db.models import Model

from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.orm import SealedTextField
from apps.tenants.secrets import PLATFORM, CannotOpen, present_prefix, seal, unseal

BATCH = 200
FACTOR_SECRETS = {"secret", "seed"}  # of a code app, of recovery codes


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
        if _is_of_tenants(model):
            _reseal_field(model, name, tenant.id, lambda: in_tenant(tenant), result)
    return result


def reseal_platform_secrets() -> Resealed:
    """Seal what belongs to no tenant with the present key: signing keys, and people's second factors."""
    result = Resealed()
    for model, name in sealed_fields():
        if not _is_of_tenants(model):
            _reseal_field(model, name, PLATFORM, transaction.atomic, result)
    _reseal_factors(result)
    return result


def _is_of_tenants(model: type[Model]) -> bool:
    return any(one.attname == "tenant_id" for one in model._meta.concrete_fields)


def _reseal_field(
    model: type[Model],
    name: str,
    owner_id: UUID,
    enter: Callable[[], AbstractContextManager[Any]],
    result: Resealed,
) -> None:
    last: Any = None
    while True:
        with enter():
            rows = _next_rows(model, name, last)
            for pk, sealed in rows:
                result.done += _reseal(owner_id, model, name, pk, sealed, result)
        if len(rows) < BATCH:
            return
        last = rows[-1][0]


def _next_rows(model: type[Model], name: str, last: Any) -> list[tuple[Any, str]]:
    """Return the next rows whose secret another key has sealed."""
    waiting = model._base_manager.exclude(**{name: ""}).exclude(**{f"{name}__startswith": present_prefix()})
    if last is not None:
        waiting = waiting.filter(pk__gt=last)
    return list(waiting.order_by("pk").values_list("pk", name)[:BATCH])


def _reseal(owner_id: UUID, model: type[Model], name: str, pk: Any, sealed: str, result: Resealed) -> int:
    try:
        anew = seal(unseal(sealed, owner_id), owner_id)
    except CannotOpen:
        result.lost.append(f"{model._meta.label}.{name} {pk}")
        return 0
    return model._base_manager.filter(pk=pk, **{name: sealed}).update(**{name: anew})


def _reseal_factors(result: Resealed) -> None:
    """Do the same with what allauth keeps within a factor's data."""
    for pk in Authenticator.objects.exclude(type=Authenticator.Type.WEBAUTHN).values_list("pk", flat=True):
        with transaction.atomic():
            factor = Authenticator.objects.select_for_update().filter(pk=pk).first()
            if factor is None:
                continue
            for name in FACTOR_SECRETS & factor.data.keys():
                if factor.data[name].startswith(present_prefix()):
                    continue
                try:
                    factor.data[name] = seal(unseal(factor.data[name], PLATFORM), PLATFORM)
                    result.done += 1
                except CannotOpen:
                    result.lost.append(f"{Authenticator._meta.label}.data {pk}")
            factor.save(update_fields=["data"])
