"""The audit trail: who did what, to what, from where, with what was before and after.

A table that the application can add to and read, and nothing else: grants and triggers see to it (migration
0013).
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connections
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL
from uuid_utils.compat import uuid7

from apps.tenants import selectors
from apps.tenants.acting import present_actor
from apps.tenants.client_address import request_address
from apps.tenants.context import APP, in_platform, in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.models import AuditEvent, User
from apps.tenants.paging import cursor_after, paginate
from apps.tenants.secrets import MASK, is_secret_name

MAX_TEXT_CHARS = 500  # of one value: the trail tells what was done, it holds no messages
MAX_DEPTH = 6
EXPORT_BATCH = 500
ORDER = {"by": "-occurred_at", "then": "-id"}
COLUMNS = ("id", "time", "who", "what", "target", "from", "data")


def record_audit(
    *,
    tenant: TenantRef,
    action: str,
    actor: str = "platform",
    target: str = "",
    data: Mapping[str, Any] | None = None,
) -> None:
    """Append a privileged act, with the request's address, to the audit trail in the caller's transaction.

    Who acts is whom the doorway let in; `actor` counts where there was none, as in commands and workers.
    What looks like a secret is masked, and long texts are cut.
    """
    AuditEvent.objects.create(
        id=uuid7(),
        tenant_id=tenant.id,
        actor=_name(present_actor() or actor)[:100],
        action=action[:100],
        target=target[:200],
        data=mask(data or {}),
        address=request_address(),
    )


def record_for_person(*, user: User, action: str, data: Mapping[str, Any] | None = None) -> None:
    """Record what a person did at the door, or what was tried in their name, in each company of theirs.

    Of the staff, who may belong to none, the staff's own log tells it as well.
    """
    if user.is_staff:
        _record_for_staff(user, action, data or {})
    for membership in selectors.list_memberships(user_id=user.id):
        with in_tenant(membership.tenant):
            record_audit(
                tenant=membership.tenant, actor=user.email, action=action, target=user.email, data=data
            )


def _record_for_staff(user: User, action: str, data: Mapping[str, Any]) -> None:
    from django.contrib.admin.models import CHANGE, LogEntry  # not before the admin is installed

    told = [action, *(f"{name}: {value}" for name, value in mask(data).items())]
    LogEntry.objects.log_actions(
        user_id=user.pk,
        queryset=[user],
        action_flag=CHANGE,
        change_message=f"{', '.join(told)}, from {request_address() or 'unknown'}",
        single_object=True,
    )


def mask(value: Any, depth: int = 0) -> Any:
    """Return what may be kept of a value: no secrets, no long texts, nothing that JSON does not know."""
    if depth > MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        return {
            str(name): MASK if is_secret_name(str(name)) and item else mask(item, depth + 1)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [mask(item, depth + 1) for item in list(value)[:100]]
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value).replace("\x00", "")
    return text if len(text) <= MAX_TEXT_CHARS else f"{text[:MAX_TEXT_CHARS]}…"


def filter_audit_events(
    *,
    actor: str = "",
    action: str = "",
    target: str = "",
    words: str = "",
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
) -> QuerySet[AuditEvent]:
    """Choose acts in the caller's transaction of their tenant.

    Actor, action and target are exact. `words` are beginnings of words, anywhere in what an act says; of such
    acts the newest ten thousand are found.
    """
    exact = {"actor": actor, "action": action, "target": target}
    rows = AuditEvent.objects.filter(**{name: value for name, value in exact.items() if value})
    if since:
        rows = rows.filter(occurred_at__gte=since)
    if until:
        rows = rows.filter(occurred_at__lt=until)
    return rows.filter(id__in=RawSQL("SELECT search_audit(%s)", [words])) if words.strip() else rows


def list_known_actions() -> list[str]:
    """Return the names of the acts that the tenant's trail knows, by skipping through their index."""
    with connections[APP].cursor() as cursor:
        cursor.execute(KNOWN_ACTIONS)
        return [row[0] for row in cursor.fetchall()]


def read_audit_events(*, tenant: TenantRef, **filters: Any) -> Iterator[AuditEvent]:
    """Yield every act that a filter chooses, newest first, in short transactions."""
    cursor = ""
    while True:
        with in_tenant(tenant):
            page = paginate(filter_audit_events(**filters), cursor, size=EXPORT_BATCH, **ORDER)
        yield from page.items
        if not page.next_cursor:
            return
        cursor = cursor_after(page.items[-1], **ORDER)


def write_audit_event(event: AuditEvent) -> dict[str, Any]:
    """Return an act as exports tell it."""
    at = event.occurred_at.isoformat()
    cells = (event.id, at, event.actor, event.action, event.target, event.address, event.data)
    return dict(zip(COLUMNS, cells, strict=True))


def purge_audit_events(*, limit: int = 10_000) -> int:
    """Delete acts that are older than AUDIT_KEPT_DAYS, which 0 means none; return how many went."""
    if not settings.AUDIT_KEPT_DAYS:
        return 0
    with in_platform() as alias, connections[alias].cursor() as cursor:
        cursor.execute("SELECT purge_audit(%s, %s)", [settings.AUDIT_KEPT_DAYS, limit])
        return int(cursor.fetchone()[0])


def _name(actor: str) -> str:
    """Return a member's address for `user:<id>`; anything else as it is."""
    kind, _, user_id = actor.partition(":")
    if kind != "user":
        return actor
    try:
        found = User.objects.filter(id=UUID(user_id)).values_list("email", flat=True).first()
    except ValueError:
        return actor
    return found or actor


KNOWN_ACTIONS = """
WITH RECURSIVE known AS (
  (SELECT action FROM tenants_auditevent ORDER BY action LIMIT 1)
  UNION ALL
  SELECT (SELECT e.action FROM tenants_auditevent e WHERE e.action > known.action ORDER BY e.action LIMIT 1)
  FROM known WHERE known.action IS NOT NULL
) SELECT action FROM known WHERE action IS NOT NULL LIMIT 500
"""
