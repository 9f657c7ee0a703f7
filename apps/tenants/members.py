"""Who belongs to a tenant: invitations, roles, leaving; each act is audited with before and after."""

import datetime as dt
import hashlib
import secrets
from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.signing import BadSignature, Signer
from django.db import connections
from django.db.models import QuerySet
from django.utils import timezone

from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.tenants.context import APP, in_tenant
from apps.tenants.contracts import Role, TenantRef
from apps.tenants.identity.addresses import keep_address
from apps.tenants.models import AuditEvent, Invitation, Membership, Tenant, User
from apps.tenants.permissions import assert_may_assign
from apps.tenants.services import add_member, clean_email, record_audit

INVITATION_LASTS = dt.timedelta(days=7)
RESTORABLE_FOR = dt.timedelta(days=1)
MAX_WAITING = 100
MAILED = Signer(salt="apps.tenants.members.mailed")


@dataclass(frozen=True)
class InvitationView:
    """What an invitation's link leads to; `has_account` when its address can log in already."""

    id: UUID
    tenant: TenantRef
    tenant_name: str
    email: str
    role: Role
    has_account: bool
    is_mailed: bool  # whether the link is the one that only the invited person's mailbox holds


def invite_member(
    *, tenant: TenantRef, email: str, role: str, actor: str, actor_role: Role = Role.OWNER
) -> tuple[Invitation, str]:
    """Invite a person and return the invitation with the token of its link, which is kept nowhere.

    An earlier invitation of the same address ends. Raises InvalidInput, ConflictError, and NotAllowed where
    somebody else than an owner would make an owner.
    """
    address, wanted = clean_email(email), _role(role)
    assert_may_assign(actor_role, wanted)
    token = secrets.token_urlsafe(32)
    with in_tenant(tenant):
        if Membership.objects.filter(user__email=address).exists():
            raise InvalidInput({"email": ["This person is a member already."]})
        if waiting_invitations().count() >= MAX_WAITING:
            raise ConflictError(f"{MAX_WAITING} invitations wait already; revoke some first.")
        waiting_invitations().filter(email=address).update(revoked_at=timezone.now())
        invitation = Invitation.objects.create(
            tenant_id=tenant.id,
            email=address,
            role=wanted,
            token_hash=_hash(token),
            invited_by=actor[:100],
            expires_at=timezone.now() + INVITATION_LASTS,
        )
        data = {"role": wanted.value}
        record_audit(tenant=tenant, actor=actor, action="member.invited", target=address, data=data)
    return invitation, token


def sign_for_mailbox(token: str) -> str:
    """Return the token of the link that is mailed: who comes with it reads the invited address's mails."""
    return MAILED.sign(token)


def revoke_invitation(*, tenant: TenantRef, invitation_id: UUID, actor: str) -> None:
    """Take an invitation back; raises NotFoundError for one that does not wait."""
    with in_tenant(tenant):
        found = waiting_invitations().select_for_update().filter(id=invitation_id).first()
        if found is None:
            raise NotFoundError("There is no such invitation, or it was used already.")
        found.revoked_at = timezone.now()
        found.save(update_fields=["revoked_at"])
        record_audit(tenant=tenant, actor=actor, action="invitation.revoked", target=found.email)


def find_invitation(token: str) -> InvitationView:
    """Return what a link leads to; raises NotFoundError for a used, revoked, expired or forged one."""
    bare, is_mailed = _read(token)
    with connections[APP].cursor() as cursor:
        cursor.execute("SELECT * FROM resolve_invitation(%s)", [_hash(bare)])
        row = cursor.fetchone()
    if row is None:
        raise NotFoundError(GONE)
    tenant = TenantRef(row[1], row[2], row[3])
    has_account = User.objects.filter(email=row[5]).exists()
    return InvitationView(row[0], tenant, row[4], row[5], Role(row[6]), has_account, is_mailed)


def accept_invitation(*, token: str, name: str = "", password: str = "") -> UUID:
    """Make the invited person a member, once, and return the user's id; a new person needs a password.

    Whoever calls this for an existing account has checked that its owner is logged in.
    Raises NotFoundError, InvalidInput.
    """
    invitation = find_invitation(token)
    if not invitation.has_account:
        _check_password(password, User(email=invitation.email, name=name))
    with in_tenant(invitation.tenant):
        used = waiting_invitations().filter(id=invitation.id).update(accepted_at=timezone.now())
        if not used:
            raise NotFoundError(GONE)
        if not invitation.has_account and User.objects.filter(email=invitation.email).exists():
            raise ConflictError("This address has an account by now: open the link again and log in.")
        user_id = add_member(
            tenant=invitation.tenant,
            email=invitation.email,
            role=invitation.role,
            name=name.strip()[:200],
            password=password,
            is_verified=invitation.is_mailed,
        )
        if invitation.is_mailed:
            keep_address(user_id=user_id, email=invitation.email, is_verified=True)
        return user_id


def change_role(
    *, tenant: TenantRef, membership_id: UUID, role: str, actor: str, actor_role: Role = Role.OWNER
) -> Role:
    """Give a member another role and return the former one.

    Raises NotFoundError, ConflictError, NotAllowed.
    """
    with in_tenant(tenant):
        membership, wanted = _lock(tenant, membership_id), _role(role)
        former = Role(membership.role)
        assert_may_assign(actor_role, former, wanted)
        if former is Role.OWNER and wanted is not Role.OWNER:
            _require_another_owner(membership)
        membership.role = wanted
        membership.save(update_fields=["role"])
        data = {"before": former.value, "after": wanted.value}
        email = membership.user.email
        record_audit(tenant=tenant, actor=actor, action="member.role_changed", target=email, data=data)
    return former


def remove_member(
    *, tenant: TenantRef, membership_id: UUID, actor: str, actor_role: Role = Role.OWNER
) -> tuple[str, Role]:
    """Take a person's membership and return their address and role; what they have open ends with it.

    Raises NotFoundError, ConflictError, NotAllowed.
    """
    with in_tenant(tenant):
        membership = _lock(tenant, membership_id)
        assert_may_assign(actor_role, Role(membership.role))
        return _remove(tenant, membership, "member.removed", actor)


def leave_company(*, tenant: TenantRef, user_id: UUID) -> None:
    """Give up one's own membership; raises NotFoundError, and ConflictError for the last owner."""
    with in_tenant(tenant):
        own = Membership.objects.filter(user_id=user_id).first()
        if own is None:
            raise NotFoundError("You are no member of this company.")
        membership = _lock(tenant, own.id)
        _remove(tenant, membership, "member.left", membership.user.email)


def restore_member(*, tenant: TenantRef, email: str, actor: str, actor_role: Role = Role.OWNER) -> None:
    """Undo a removal, with the role of then.

    Raises NotFoundError for somebody who was not removed within a day, and NotAllowed.
    """
    with in_tenant(tenant):
        since = timezone.now() - RESTORABLE_FOR
        removals = AuditEvent.objects.filter(action="member.removed", occurred_at__gte=since)
        removal = removals.filter(target=clean_email(email)).order_by("-occurred_at").first()
        if removal is None:
            raise NotFoundError("Nobody with this address was removed within a day; invite them anew.")
        role = Role(removal.data["before"])
        assert_may_assign(actor_role, role)
        add_member(tenant=tenant, email=removal.target, role=role)
        record_audit(tenant=tenant, actor=actor, action="member.restored", target=removal.target)


def list_members(*, tenant: TenantRef) -> list[Membership]:
    """Return the members with their users, by name."""
    with in_tenant(tenant):
        return list(Membership.objects.select_related("user").order_by("user__name", "user__email"))


def waiting_invitations() -> QuerySet[Invitation]:
    """Return the invitations that can still be accepted; must run inside `in_tenant`."""
    return Invitation.objects.filter(
        accepted_at__isnull=True, revoked_at__isnull=True, expires_at__gt=timezone.now()
    )


GONE = "This invitation was used, taken back or has expired. Ask whoever invited you for a new one."


def _lock(tenant: TenantRef, membership_id: UUID) -> Membership:
    """Return a membership, with the tenant's row locked: two owners cannot remove each other at once."""
    Tenant.objects.select_for_update().get(id=tenant.id)
    found = Membership.objects.select_related("user").filter(id=membership_id).first()
    if found is None:
        raise NotFoundError("There is no such member.")
    return found


def _remove(tenant: TenantRef, membership: Membership, action: str, actor: str) -> tuple[str, Role]:
    if membership.role == Role.OWNER:
        _require_another_owner(membership)
    email, role = membership.user.email, Role(membership.role)
    membership.delete()
    record_audit(tenant=tenant, actor=actor, action=action, target=email, data={"before": role.value})
    return email, role


def _require_another_owner(membership: Membership) -> None:
    if not Membership.objects.filter(role=Role.OWNER).exclude(id=membership.id).exists():
        raise ConflictError("A company needs an owner: make somebody else one first.")


def _role(role: str) -> Role:
    try:
        return Role(role)
    except ValueError:
        raise InvalidInput({"role": [f"Choose one of {', '.join(Role)}."]}) from None


def _check_password(password: str, user: User) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise InvalidInput({"password": list(error.messages)}) from error


def _read(token: str) -> tuple[str, bool]:
    """Return the token itself, and whether the link that holds it was mailed."""
    if len(token) > 200 or "\x00" in token:
        raise NotFoundError(GONE)
    try:
        return (MAILED.unsign(token), True) if MAILED.sep in token else (token, False)
    except BadSignature as error:
        raise NotFoundError(GONE) from error


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
