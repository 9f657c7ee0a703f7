"""Write tenants, members and keys."""

import datetime as dt
import re
import secrets as random
from functools import partial
from typing import Any, TypedDict, Unpack
from uuid import UUID

from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils import timezone

from apps.events.services import publish
from apps.resilience.errors import ConflictError, DomainError, InvalidInput, NotFoundError
from apps.tenants import credentials, selectors
from apps.tenants.audit import record_audit as record_audit
from apps.tenants.audit import record_for_person as record_for_person
from apps.tenants.context import OWNER, in_tenant
from apps.tenants.contracts import IssuedKey, Principal, PrincipalKind, Role, TenantRef, WidgetKeyView
from apps.tenants.events import TenantProvisioned
from apps.tenants.identity.addresses import keep_address
from apps.tenants.key_rules import bound_by, check_key, require_no_stronger
from apps.tenants.models import ApiKey, Membership, Tenant, User, WidgetKey
from apps.tenants.notices import tell_owners as tell_owners
from apps.tenants.origins import clean_origins
from apps.tenants.permissions import ROLE_PERMISSIONS
from apps.tenants.schemas import create_schema, drop_schema
from apps.tenants.secrets import seal, unseal

SLUG = re.compile(r"[a-z][a-z0-9-]{1,38}[a-z0-9]")


def provision_tenant(*, slug: str, name: str, plan: str = "starter", time_zone: str = "UTC") -> TenantRef:
    """Create a tenant with its schema and its defaults.

    Works with the owner's connection, so only commands and the provisioning worker may call it.
    Interrupted between its two transactions, it finishes the tenant when called again; refused, it
    leaves nothing behind. Raises InvalidInput for a bad slug, ConflictError for one that is taken, and
    what the defaults' handlers raise, e.g. for an unknown plan.
    """
    if not SLUG.fullmatch(slug):
        raise InvalidInput(
            {"slug": ["Use 3 to 40 small letters, digits and hyphens, starting with a letter."]}
        )
    with transaction.atomic(using=OWNER):
        tenant, is_new = Tenant.objects.using(OWNER).get_or_create(
            slug=slug,
            defaults={"name": name, "time_zone": time_zone, "schema_name": f"t_{slug.replace('-', '_')}"},
        )
        if tenant.status == Tenant.Status.DELETED:
            raise ConflictError(
                f"The address {slug!r} belonged to a company that was deleted. Choose another."
            )
        if is_new:
            create_schema(tenant.schema_name)
    try:
        _give_defaults(tenant.ref, plan=plan)
    except DomainError:
        if is_new:
            _take_back(tenant)
        raise
    return tenant.ref


def _take_back(tenant: Tenant) -> None:
    with transaction.atomic(using=OWNER):
        drop_schema(tenant.schema_name)
        Tenant.objects.using(OWNER).filter(id=tenant.id).delete()


def _give_defaults(tenant: TenantRef, *, plan: str) -> None:
    with in_tenant(tenant):
        if WidgetKey.objects.exists():
            raise ConflictError(f"The tenant {tenant.slug!r} exists already. Choose another slug.")
        create_widget_key(tenant=tenant)
        publish(TenantProvisioned(tenant_id=tenant.id, slug=tenant.slug, plan=plan))


def add_member(
    *,
    tenant: TenantRef,
    email: str,
    role: Role,
    name: str = "",
    password: str | None = None,
    is_verified: bool = True,
) -> UUID:
    """Give a person a role in a tenant and return the user's id; a new person gets `password`, if any.

    `is_verified` says whether somebody vouches that a new person's address is theirs.
    """
    email = clean_email(email)
    with in_tenant(tenant):
        fields = {"name": name, "password": make_password(password)}
        user, is_new = User.objects.get_or_create(email=email, defaults=fields)
        if is_new:
            keep_address(user_id=user.id, email=email, is_verified=is_verified)
        before = Membership.objects.filter(user=user).values_list("role", flat=True).first()
        Membership.objects.update_or_create(tenant_id=tenant.id, user=user, defaults={"role": role})
        data = {"before": before, "after": str(role)}
        record_audit(tenant=tenant, action="member.added", target=email, data=data)
    return user.id


def clean_email(email: str) -> str:
    """Return an address as it is kept, in lower case; raises InvalidInput."""
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError as error:
        raise InvalidInput({"email": ["Enter a valid e-mail address."]}) from error
    return email


def create_api_key(
    *,
    tenant: TenantRef,
    name: str,
    scopes: list[str],
    rate_limits: dict[str, int] | None = None,
    expires_at: dt.datetime | None = None,
    actor: str = "platform",
    maker: Principal | None = None,
) -> IssuedKey:
    """Issue an API key; its token can be read from the answer and never again.

    What binds a `maker` binds the key. Raises InvalidInput, and NotAllowed for one that is stronger.
    """
    limits = rate_limits or {}
    check_key(name=name, scopes=scopes, rate_limits=limits, expires_at=expires_at)
    if maker is not None:
        limits, expires_at = bound_by(maker, rate_limits=limits, expires_at=expires_at)
        require_no_stronger(maker, scopes=scopes, rate_limits=limits, expires_at=expires_at)
    key_id, secret = credentials.new_key_id(), credentials.new_secret()
    with in_tenant(tenant):
        ApiKey.objects.create(
            key_id=key_id,
            tenant_id=tenant.id,
            name=name,
            secret_hash=credentials.hash_secret(secret),
            scopes=scopes,
            rate_limits=limits,
            expires_at=expires_at,
            made_by=actor[:100],
        )
        data = {"scopes": scopes, "rate_limits": limits}
        record_audit(tenant=tenant, actor=actor, action="api_key.created", target=key_id, data=data)
    return IssuedKey(key_id=key_id, token=f"{key_id}.{secret}", name=name, scopes=tuple(scopes))


def revoke_api_key(*, tenant: TenantRef, key_id: str, actor: str = "platform") -> None:
    """Revoke a key; every process honours that within a second.

    Again changes nothing. Raises NotFoundError.
    """
    with in_tenant(tenant):
        now = timezone.now()
        key = ApiKey.objects.select_for_update().filter(key_id=key_id).first()
        if key is None:
            raise NotFoundError(f"There is no API key {key_id!r}.")
        if key.revoked_at is not None and key.revoked_at <= now:
            return
        key.revoked_at = now
        key.save(update_fields=["revoked_at"])
        record_audit(tenant=tenant, actor=actor, action="api_key.revoked", target=key_id)


def rotate_api_key(
    *,
    tenant: TenantRef,
    key_id: str,
    overlap_s: int = 0,
    actor: str = "platform",
    maker: Principal | None = None,
) -> IssuedKey:
    """Replace a key by a new one with the same rights; the old one works for `overlap_s` more seconds.

    Raises NotFoundError, and NotAllowed for a key that is stronger than its `maker`.
    """
    with in_tenant(tenant):
        old = (
            ApiKey.objects.select_for_update().filter(key_id=key_id).first() if "\x00" not in key_id else None
        )
        if old is None or not old.is_usable(timezone.now()):
            raise NotFoundError(f"There is no usable API key {key_id!r}.")
        if maker is not None:
            rights = {"scopes": old.scopes, "rate_limits": old.rate_limits, "expires_at": old.expires_at}
            require_no_stronger(maker, **rights)
        new = create_api_key(
            tenant=tenant,
            name=old.name,
            scopes=old.scopes,
            rate_limits=old.rate_limits,
            expires_at=old.expires_at,
            actor=actor,
        )
        ends_at = timezone.now() + dt.timedelta(seconds=overlap_s)
        old.revoked_at = (
            min(ends_at, old.revoked_at) if old.revoked_at else ends_at
        )  # never later than before
        old.save(update_fields=["revoked_at"])
        record_audit(
            tenant=tenant, actor=actor, action="api_key.rotated", target=key_id, data={"new": new.key_id}
        )
    return new


class WidgetKeyFields(TypedDict, total=False):
    name: str
    allowed_origins: list[str]
    settings: dict[str, Any]


def create_widget_key(
    *,
    tenant: TenantRef,
    allowed_origins: list[str] | None = None,
    name: str = "Website",
    actor: str = "platform",
) -> WidgetKeyView:
    """Issue a public widget key with the secret that signs its customers' identities; raises InvalidInput."""
    cleaned = _clean_widget_fields({"name": name, "allowed_origins": allowed_origins or []})
    key = f"wk_{random.token_hex(12)}"
    sealed = seal(_new_identity_secret(), tenant.id)
    with in_tenant(tenant):
        row = WidgetKey(key=key, tenant_id=tenant.id, identity_secret=sealed, **cleaned)
        row.save(force_insert=True)
        record_audit(tenant=tenant, actor=actor, action="widget.created", target=key, data={"name": row.name})
        return selectors.view_widget_key(tenant, row)


def update_widget_key(
    *, tenant: TenantRef, key: str, version: int, actor: str, **fields: Unpack[WidgetKeyFields]
) -> WidgetKeyView:
    """Change the given fields of the `version` that the editor saw; audited with before and after.

    Raises InvalidInput, NotFoundError, and ConflictError where somebody else has changed it meanwhile.
    """
    cleaned = _clean_widget_fields(fields)
    with in_tenant(tenant):
        row = _lock_widget_key(key)
        if row.version != version:
            raise ConflictError(
                f"{row.changed_by or 'Somebody'} has changed this widget meanwhile, so nothing was saved. "
                "Your input is still here; look it over and save again to put it over theirs."
            )
        _change_widget_key(tenant, row, cleaned, actor)
        return selectors.view_widget_key(tenant, row)


def allow_widget_origin(*, tenant: TenantRef, key: str, origin: str, actor: str) -> None:
    """Add a domain to those that may show the widget; again, or where every domain may, changes nothing.

    Raises InvalidInput, NotFoundError.
    """
    with in_tenant(tenant):
        row = _lock_widget_key(key)
        if not row.allowed_origins:
            return
        cleaned = _clean_widget_fields({"allowed_origins": [*row.allowed_origins, origin]})
        _change_widget_key(tenant, row, cleaned, actor)


def set_widget_key_active(*, tenant: TenantRef, key: str, is_active: bool, actor: str) -> None:
    """Switch a widget off or on again; raises NotFoundError."""
    with in_tenant(tenant):
        row = _lock_widget_key(key)
        if row.is_active == is_active:
            return
        row.is_active = is_active
        row.save(update_fields=["is_active"])
        action = "widget.activated" if is_active else "widget.deactivated"
        record_audit(tenant=tenant, actor=actor, action=action, target=key)
    selectors.forget_widget_key(key)


def reveal_identity_secret(*, tenant: TenantRef, key: str, actor: str) -> str:
    """Return the secret that signs customers' identities, once; raises NotFoundError, ConflictError."""
    with in_tenant(tenant):
        row = _lock_widget_key(key)
        if row.secret_shown_at is not None:
            raise ConflictError("This secret was shown before and cannot be shown again; make a new one.")
        row.secret_shown_at = timezone.now()
        row.save(update_fields=["secret_shown_at"])
        record_audit(tenant=tenant, actor=actor, action="widget.secret_shown", target=key)
        return unseal(row.identity_secret, tenant.id)


def rotate_identity_secret(
    *, tenant: TenantRef, key: str, secret_version: int, overlap_s: int, actor: str
) -> str:
    """Replace the secret and return the new one, once; the old one signs for `overlap_s` more seconds.

    Raises NotFoundError, and ConflictError where `secret_version` was replaced before.
    """
    secret, now = _new_identity_secret(), timezone.now()
    with in_tenant(tenant):
        row = _lock_widget_key(key)
        if row.secret_version != secret_version:
            raise ConflictError("A new secret was made meanwhile; open the page again.")
        row.secret_version += 1
        row.previous_secret, row.identity_secret = row.identity_secret, seal(secret, tenant.id)
        row.previous_secret_ends_at = now + dt.timedelta(seconds=overlap_s)
        row.secret_shown_at = now
        row.save()
        data = {"overlap_s": overlap_s}
        record_audit(tenant=tenant, actor=actor, action="widget.secret_rotated", target=key, data=data)
    selectors.forget_widget_key(key)
    return secret


def _new_identity_secret() -> str:
    return random.token_urlsafe(32)


def _clean_widget_fields(fields: WidgetKeyFields) -> dict[str, Any]:
    cleaned: dict[str, Any] = {**fields}
    name = str(cleaned.get("name", "Website")).strip()
    if not name or len(name) > 100 or "\x00" in name:
        raise InvalidInput({"name": ["Give a name of 1 to 100 characters."]})
    if "name" in cleaned:
        cleaned["name"] = name
    if "allowed_origins" in cleaned:
        try:
            cleaned["allowed_origins"] = clean_origins(cleaned["allowed_origins"])
        except ValueError as error:
            raise InvalidInput({"allowed_origins": [str(error)]}) from None
    return cleaned


def _lock_widget_key(key: str) -> WidgetKey:
    row = WidgetKey.objects.select_for_update().filter(key=key).first() if "\x00" not in key else None
    if row is None:
        raise NotFoundError("There is no such widget.")
    return row


def _change_widget_key(tenant: TenantRef, row: WidgetKey, cleaned: dict[str, Any], actor: str) -> None:
    after = {name: value for name, value in cleaned.items() if getattr(row, name) != value}
    if not after:
        return
    before = {name: getattr(row, name) for name in after}
    for name, value in after.items():
        setattr(row, name, value)
    row.version += 1
    row.changed_by = actor[:100]
    row.save(update_fields=[*after, "version", "changed_by"])
    data = {"before": before, "after": after}
    record_audit(tenant=tenant, actor=actor, action="widget.changed", target=row.key, data=data)
    transaction.on_commit(partial(selectors.forget_widget_key, row.key), robust=True)


def note_widget_embedded(*, tenant: TenantRef, key: str) -> None:
    """Note that a page that is not ours has shown the widget; the first time counts."""
    with in_tenant(tenant):
        WidgetKey.objects.filter(key=key, embedded_at__isnull=True).update(embedded_at=timezone.now())


def authenticate_api_key(token: str) -> Principal | None:
    """Return who an API key stands for, or None for one that is wrong, expired or revoked."""
    return credentials.authenticate(token)


def principal_of(*, user_id: UUID, name: str, tenant: TenantRef, role: Role) -> Principal:
    """Build the principal of a member."""
    return Principal(
        kind=PrincipalKind.USER,
        id=str(user_id),
        tenant=tenant,
        name=name,
        roles=(role.value,),
        permissions=ROLE_PERMISSIONS[role],
    )
