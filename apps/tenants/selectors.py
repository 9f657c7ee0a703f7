"""Read tenants and their members; the resolvers work before a tenant is known."""

import json
import time
from collections.abc import Collection
from functools import cache
from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

from django.conf import settings
from django.db import connections
from django.db.models import QuerySet

from apps.resilience.errors import NotAllowed, NotFoundError
from apps.tenants.context import APP, OWNER, in_platform, in_tenant
from apps.tenants.contracts import (
    MembershipView,
    Role,
    Standing,
    TenantRef,
    WidgetKeyView,
    WidgetStanding,
)
from apps.tenants.models import (
    ApiKey,
    AuditEvent,
    Domain,
    Invitation,
    Membership,
    Tenant,
    User,
    WidgetKey,
)
from apps.tenants.origins import allows_origin as allows_origin
from apps.tenants.permissions import ROLE_PERMISSIONS
from apps.tenants.secrets import unseal

SILENCE_HOURS = 72  # how long a customer must be silent for an answer to count as assumed resolved
NO_PLACES = {"Factory", "localtime"}  # in some systems' lists of zones, and the same zone on no two of them
MEMORY_S = 2.0  # every process follows a suspension within this time
MEMORY_SIZE = 10_000
SUSPENDED = (
    "This company's account is suspended: you can read, but nothing new is begun. "
    "Write to the platform's support to resume it."
)
WIDGET_MEMORY_S = 1.0  # every process follows a change of a widget within this time
_refs: dict[str, tuple[float, TenantRef]] = {}
_widgets: dict[str, tuple[float, WidgetKeyView | None]] = {}


def get_tenant(*, slug: str | None = None, tenant_id: UUID | None = None) -> TenantRef:
    """Return a tenant by slug or id, remembered for two seconds; raises NotFoundError."""
    wanted = slug or str(tenant_id)
    remembered = _refs.get(wanted)
    if remembered and time.monotonic() - remembered[0] < MEMORY_S:
        return remembered[1]
    rows = ask_before_tenant("SELECT * FROM resolve_tenant(%s)", wanted) if "\x00" not in wanted else []
    if not rows:
        raise NotFoundError(f"There is no tenant {wanted!r}.")
    if len(_refs) >= MEMORY_SIZE:
        _refs.clear()
    ref = ref_of({**rows[0], "tenant_id": rows[0]["id"]})
    _refs[wanted] = (time.monotonic(), ref)
    return ref


def is_active(tenant: TenantRef) -> bool:
    """Tell whether work may be done for a tenant now; a reference that is kept, as by a socket, grows old."""
    try:
        return not get_tenant(tenant_id=tenant.id).is_suspended
    except NotFoundError:
        return False


def is_slug_taken(slug: str) -> bool:
    """Tell whether an address is, or ever was, a company's: a deleted one's leads nobody else."""
    return bool(ask_before_tenant("SELECT is_slug_taken(%s) AS taken", slug)[0]["taken"])


def require_active(tenant: TenantRef) -> None:
    """Raise NotAllowed for a suspended tenant: it may read, but nothing new is begun for it."""
    if not is_active(tenant):
        raise NotAllowed(SUSPENDED)


def forget_tenant(tenant: TenantRef) -> None:
    """Forget what this process remembers of a tenant; other processes do within two seconds."""
    _refs.pop(tenant.slug, None)
    _refs.pop(str(tenant.id), None)


def forget_all() -> None:
    """Empty the memory of tenants and widgets, for tests."""
    _refs.clear()
    _widgets.clear()


def list_all_tenants() -> list[TenantRef]:
    """Return every tenant that has its schema; with the owner's connection, so for commands only."""
    present = Tenant.objects.using(OWNER).exclude(status=Tenant.Status.DELETED)
    return [tenant.ref for tenant in present.order_by("slug")]


def list_active_tenants() -> list[TenantRef]:
    """Return every active tenant; with the platform's connection, for jobs that visit each of them."""
    with in_platform() as alias, connections[alias].cursor() as cursor:
        cursor.execute("SELECT id, slug, schema_name FROM list_active_tenants()")
        return [TenantRef(id=row[0], slug=row[1], schema=row[2]) for row in cursor.fetchall()]


def list_memberships(*, user_id: UUID) -> list[MembershipView]:
    """Return the tenants that a user belongs to."""
    return [
        MembershipView(ref_of(row), row["tenant_name"], Role(row["role"]), row["requires_mfa"])
        for row in ask_before_tenant("SELECT * FROM resolve_memberships(%s)", user_id)
    ]


def find_standing(*, user_id: UUID, tenant_id: UUID) -> Standing | None:
    """Return where a person stands in a tenant; None for one who is no active member of it."""
    return list_standings([(user_id, tenant_id)]).get((user_id, tenant_id))


def list_standings(asked: Collection[tuple[UUID, UUID]]) -> dict[tuple[UUID, UUID], Standing]:
    """Return where people stand by (user's id, tenant's id), of any tenants; the others stand nowhere."""
    users, tenants = [user for user, _ in asked], [tenant for _, tenant in asked]
    rows = ask_before_tenant("SELECT * FROM resolve_standings(%s, %s)", users, tenants)
    return {
        (row["user_id"], row["tenant_id"]): Standing(
            row["user_id"], ref_of(row), row["membership_id"], Role(row["role"]), row["password_stamp"]
        )
        for row in rows
    }


def list_widget_standings(keys: Collection[str]) -> dict[str, WidgetStanding]:
    """Return what holds now of active widget keys, of any tenants."""
    return {
        row["key"]: WidgetStanding(
            tuple(_json(row["allowed_origins"])), row["secret_version"], row["previous_secret_signs"]
        )
        for row in ask_before_tenant("SELECT * FROM resolve_widget_standings(%s)", list(keys))
    }


def get_user_name(*, user_id: UUID) -> str:
    """Return a user's name, or an empty string."""
    return User.objects.filter(id=user_id).values_list("name", flat=True).first() or ""


def list_user_names(*, user_ids: set[UUID]) -> dict[UUID, str]:
    """Return each user's name, or the part of the address before the @."""
    rows = User.objects.filter(id__in=user_ids).values_list("id", "name", "email")
    return {user_id: name or email.partition("@")[0] for user_id, name, email in rows}


def resolve_widget_key(key: str) -> WidgetKeyView | None:
    """Return what an active public widget key leads to, remembered for a second, or None."""
    if len(key) > 40 or "\x00" in key:
        return None
    remembered = _widgets.get(key)
    if remembered and time.monotonic() - remembered[0] < WIDGET_MEMORY_S:
        return remembered[1]
    rows = ask_before_tenant("SELECT * FROM resolve_widget_key(%s)", key)
    if len(_widgets) >= MEMORY_SIZE:
        _widgets.clear()
    view = _resolved_widget(rows[0]) if rows else None
    _widgets[key] = (time.monotonic(), view)
    return view


def forget_widget_key(key: str) -> None:
    """Forget what this process remembers of a widget; other processes do within a second."""
    _widgets.pop(key, None)


def get_time_zone(*, tenant: TenantRef) -> str:
    """Return the IANA name of the zone in which a tenant's days begin."""
    with in_tenant(tenant):
        return Tenant.objects.values_list("time_zone", flat=True).get(id=tenant.id)


def get_silence_hours(*, tenant_id: UUID) -> int:
    """Return after how much silence an answer counts as a resolution; inside `in_tenant`."""
    config: dict[str, Any] = Tenant.objects.values_list("config", flat=True).get(id=tenant_id)
    return int(config.get("silence_hours", SILENCE_HOURS))


@cache
def list_time_zones() -> list[tuple[str, str]]:
    """Return the IANA zones to choose from, each with how it is shown; read from the disk once."""
    return [(name, name.replace("_", " ")) for name in sorted(available_timezones() - NO_PLACES)]


def get_tenant_name(*, tenant: TenantRef) -> str:
    """Return what a company calls itself."""
    with in_tenant(tenant):
        return Tenant.objects.values_list("name", flat=True).get(id=tenant.id)


def list_owner_emails(*, tenant: TenantRef) -> list[str]:
    """Return the addresses of a tenant's owners."""
    with in_tenant(tenant):
        owners = Membership.objects.filter(role=Role.OWNER, user__is_active=True)
        return list(owners.order_by("user__email").values_list("user__email", flat=True))


def list_admin_emails(*, tenant: TenantRef) -> list[str]:
    """Return the addresses of those who run a tenant: its owners and admins."""
    with in_tenant(tenant):
        members = Membership.objects.filter(role__in=[Role.OWNER, Role.ADMIN], user__is_active=True)
        return list(members.order_by("user__email").values_list("user__email", flat=True))


def list_member_emails(*, tenant: TenantRef) -> list[str]:
    """Return the addresses of everybody who belongs to a tenant, in lower case."""
    with in_tenant(tenant):
        members = Membership.objects.filter(user__is_active=True)
        return [email.lower() for email in members.values_list("user__email", flat=True)]


def list_agent_emails(*, tenant: TenantRef) -> list[str]:
    """Return the addresses of those who answer customers and want to be mailed when one waits."""
    roles = [role for role, granted in ROLE_PERMISSIONS.items() if "write:conversations" in granted]
    with in_tenant(tenant):
        agents = Membership.objects.filter(role__in=roles, wants_mail=True, user__is_active=True)
        return list(agents.order_by("user__email").values_list("user__email", flat=True))


def wants_mail(*, tenant: TenantRef, user_id: UUID) -> bool:
    """Tell whether a member is mailed when a customer waits for a person."""
    with in_tenant(tenant):
        return Membership.objects.filter(user_id=user_id, wants_mail=True).exists()


def count_people(*, tenant: TenantRef) -> int:
    """Return how many belong to a tenant or have been asked to."""
    with in_tenant(tenant):
        waiting = Invitation.objects.filter(accepted_at__isnull=True, revoked_at__isnull=True)
        return Membership.objects.count() + waiting.count()


def is_widget_embedded(*, tenant: TenantRef) -> bool:
    """Tell whether a page that is not ours has shown the tenant's widget."""
    with in_tenant(tenant):
        return WidgetKey.objects.filter(embedded_at__isnull=False).exists()


def get_widget_key(*, tenant: TenantRef) -> WidgetKeyView:
    """Return the tenant's first active widget key; raises NotFoundError."""
    with in_tenant(tenant):
        row = query_widget_keys().filter(is_active=True).order_by("created_at").first()
        if row is None:
            raise NotFoundError("This tenant has no active widget key.")
        return view_widget_key(tenant, row)


def list_site_origins(*, tenant: TenantRef) -> list[str]:
    """Return the sites that the tenant's active widgets are allowed on, and its proven domains."""
    with in_tenant(tenant):
        rows = WidgetKey.objects.filter(is_active=True).values_list("allowed_origins", flat=True)
        proven = Domain.objects.filter(verified_at__isnull=False).values_list("name", flat=True)
        return [*(origin for origins in rows for origin in origins), *(f"https://{name}" for name in proven)]


def view_widget_key(tenant: TenantRef, row: WidgetKey) -> WidgetKeyView:
    """Return what may leave this app of a widget key, in the tenant's transaction."""
    return WidgetKeyView(
        tenant=tenant,
        key=row.key,
        allowed_origins=tuple(row.allowed_origins),
        identity_secret=unseal(row.identity_secret, tenant.id),
        secret_version=row.secret_version,
        settings=row.settings,
        version=row.version,
        time_zone=row.tenant.time_zone,
    )


def query_widget_keys() -> QuerySet[WidgetKey]:
    """Choose the widget keys with their tenant, in the caller's transaction of it."""
    return WidgetKey.objects.select_related("tenant")


def build_snippet(key: str) -> str:
    """Return the script tag that puts a widget on a page."""
    address = f"{settings.PUBLIC_URL.rstrip('/')}/widget.js?key={key}"
    return f'<script src="{address}" data-key="{key}" async></script>'


def list_api_keys(*, tenant: TenantRef) -> list[ApiKey]:
    """Return the tenant's API keys, newest first."""
    with in_tenant(tenant):
        return list(ApiKey.objects.order_by("-created_at", "key_id"))


def query_api_keys() -> QuerySet[ApiKey]:
    """Choose the API keys, in the caller's transaction of their tenant."""
    return ApiKey.objects.all()


def list_audit_events(*, tenant: TenantRef, limit: int = 100) -> list[AuditEvent]:
    """Return the newest privileged acts."""
    with in_tenant(tenant):
        return list(AuditEvent.objects.order_by("-occurred_at", "-id")[:limit])


def ref_of(row: dict[str, Any]) -> TenantRef:
    """Return what a resolver's row names."""
    is_suspended = row["status"] != Tenant.Status.ACTIVE
    is_closing = row["status"] == Tenant.Status.CLOSING
    return TenantRef(row["tenant_id"], row["slug"], row["schema_name"], is_suspended, is_closing)


def _resolved_widget(row: dict[str, Any]) -> WidgetKeyView:
    former = row["previous_secret"]
    return WidgetKeyView(
        tenant=ref_of(row),
        key=row["key"],
        allowed_origins=tuple(_json(row["allowed_origins"])),
        identity_secret=unseal(row["identity_secret"], row["tenant_id"]),
        previous_secret=unseal(former, row["tenant_id"]) if former else "",
        secret_version=row["secret_version"],
        settings=_json(row["settings"]),
        version=row["version"],
        time_zone=row["time_zone"],
    )


def ask_before_tenant(sql: str, *arguments: Any) -> list[dict[str, Any]]:
    """Ask a resolver, which answers without a tenant's context."""
    with connections[APP].cursor() as cursor:
        cursor.execute(sql, arguments)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
