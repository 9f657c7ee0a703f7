"""What an API key may be, and that nobody makes one which is stronger than they are."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from django.utils import timezone

from apps.resilience.errors import InvalidInput, NotAllowed
from apps.tenants.contracts import Principal
from apps.tenants.permissions import ALL, COARSE_SCOPES, assert_may_grant

PER_MINUTE = "requests_per_minute"
MAX_PER_MINUTE = 1_000_000
MAX_NAME = 100


def check_key(
    *, name: str, scopes: Sequence[str], rate_limits: Mapping[str, Any], expires_at: dt.datetime | None
) -> None:
    """Check the fields of a new key; raises InvalidInput with each that is wrong."""
    errors = {}
    if not name.strip() or len(name) > MAX_NAME or "\x00" in name:
        errors["name"] = [f"Give a name of 1 to {MAX_NAME} characters."]
    unknown = sorted(set(scopes) - ALL - set(COARSE_SCOPES))
    if unknown or not scopes:
        what = f"Unknown: {', '.join(unknown)}. " if unknown else ""
        errors["scopes"] = [f"{what}Give at least one of api:read, api:write or a permission."]
    if not all(name == PER_MINUTE and _is_limit(limit) for name, limit in rate_limits.items()):
        errors["rate_limits"] = [f"Give {PER_MINUTE}, a whole number from 1 to {MAX_PER_MINUTE}."]
    if expires_at is not None and expires_at <= timezone.now():
        errors["expires_at"] = ["Give a time in the future."]
    if errors:
        raise InvalidInput(errors)


def bound_by(
    maker: Principal, *, rate_limits: Mapping[str, int], expires_at: dt.datetime | None
) -> tuple[dict[str, int], dt.datetime | None]:
    """Return limits and end with the maker's own where none is given: a key hands on what binds it."""
    own = {PER_MINUTE: maker.rate_limits[PER_MINUTE]} if PER_MINUTE in maker.rate_limits else {}
    return {**own, **rate_limits}, expires_at or maker.expires_at


def require_no_stronger(
    maker: Principal,
    *,
    scopes: Sequence[str],
    rate_limits: Mapping[str, int],
    expires_at: dt.datetime | None,
) -> None:
    """Raise NotAllowed for a key that may do more, more often or for longer than who makes or renews it."""
    assert_may_grant(maker, scopes)
    own, wanted = maker.rate_limits.get(PER_MINUTE), rate_limits.get(PER_MINUTE)
    if own is not None and (wanted is None or wanted > own):
        raise NotAllowed(f"Your own key may call {own} times a minute; this one may not call more often.")
    if maker.expires_at is not None and (expires_at is None or expires_at > maker.expires_at):
        raise NotAllowed(
            f"Your own key ends at {maker.expires_at:%Y-%m-%d %H:%M} UTC; this one may not outlive it."
        )


def _is_limit(limit: Any) -> bool:
    return type(limit) is int and 1 <= limit <= MAX_PER_MINUTE
