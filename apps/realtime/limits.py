"""How often visitors may write and begin: counted for all processes together, within one company."""

import hashlib
import ipaddress
from collections.abc import Callable, Sequence
from functools import cache
from uuid import UUID

from django.conf import settings
from django.utils.module_loading import import_string

from apps.realtime.admission import Visitor
from apps.realtime.frames import FrameError
from apps.realtime.widget_settings.contracts import WidgetSettings

IPV6_SITE = 64  # bits: what one household or server has, and may change its address within

# Given (name of a bucket, how much a minute), takes one from each or none, and returns the seconds to wait.
TakeOfEach = Callable[[Sequence[tuple[str, int]]], int]


def require_pace_of_message(visitor: Visitor, conversation_id: UUID, allowed: WidgetSettings) -> None:
    """Count a message of a visitor and of their address; raises FrameError that says when to try again."""
    person = visitor.identity.external_id if visitor.identity else str(conversation_id)
    _require(
        (_bucket(visitor, "visitor", person), allowed.messages_per_minute),
        (_bucket(visitor, "messages", _site_of(visitor.address)), allowed.address_messages_per_minute),
    )


def require_pace_of_opening(visitor: Visitor, allowed: WidgetSettings) -> None:
    """Count a new conversation of an address; raises FrameError that says when to try again."""
    _require((_bucket(visitor, "openings", _site_of(visitor.address)), allowed.address_openings_per_minute))


def _require(*buckets: tuple[str, int]) -> None:
    wait_s = _take_of_each()(buckets)
    if wait_s:
        detail = f"Too much at once from here: try again in {wait_s} seconds."
        raise FrameError("too_fast", detail, retry_after_s=wait_s)


@cache
def _take_of_each() -> TakeOfEach:
    take: TakeOfEach = import_string(settings.VISITOR_LIMITER)
    return take


def _bucket(visitor: Visitor, kind: str, whose: str) -> str:
    """Name a bucket; hashed, so that no address or customer's id is readable in Valkey."""
    digest = hashlib.sha256(whose.encode()).hexdigest()[:32]
    return f"rate:{{{visitor.tenant.id}}}:{kind}:{digest}"


def _site_of(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, IPV6_SITE), strict=False))
