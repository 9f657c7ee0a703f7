"""Write channels."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from apps.conversations import validation
from apps.conversations.contracts import ChannelKind, ChannelView
from apps.conversations.models import Channel
from apps.resilience.errors import ConflictError
from apps.resilience.memory import Memory
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.services import record_audit

REMEMBERED_S = 1.0  # every process follows a switched channel within this time
_is_shut: Memory[bool] = Memory(REMEMBERED_S)


def save_channel(
    *,
    tenant: TenantRef,
    kind: str,
    name: str,
    settings: Mapping[str, Any] | None = None,
    is_active: bool = True,
) -> ChannelView:
    """Add the channel of this kind and name, or change it; raises InvalidInput."""
    known_kind = validation.channel_kind(kind)
    known_name = validation.text("name", name, max_chars=100, required=True)
    changes = {"settings": validation.channel_settings(settings or {}), "is_active": is_active}
    with in_tenant(tenant):
        former = Channel.objects.select_for_update().filter(kind=known_kind, name=known_name)
        before = former.values("settings", "is_active").first()
        channel, _ = Channel.objects.update_or_create(kind=known_kind, name=known_name, defaults=changes)
        data = {"before": before, "after": changes}
        record_audit(tenant=tenant, action="channel.saved", target=f"{known_kind}: {known_name}", data=data)
        forget_channels()
        transaction.on_commit(forget_channels)
        return channel.view()


def refuse_shut_channel(tenant: TenantRef, kind: ChannelKind) -> None:
    """Raise ConflictError where the tenant has channels of a kind and all of them are inactive."""
    if _is_shut.get((str(tenant.id), kind), lambda: _read_shut(kind)):
        raise ConflictError(f"The channel {kind} is switched off; switch it on or use another one.")


def forget_channels() -> None:
    """Forget which channels are shut, for tests and after one was changed in this process."""
    _is_shut.forget()


def _read_shut(kind: ChannelKind) -> bool:
    states = list(Channel.objects.filter(kind=kind).values_list("is_active", flat=True))
    return bool(states) and not any(states)
