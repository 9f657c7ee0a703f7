"""What a member's page was let in by, carried to another process, and whether it still holds.

A socket outlives the request that opened it. Its pass names the session, the membership, the role and the
password of that moment; when one of them has changed, the page fetches a new pass, if it can.
"""

import datetime as dt
import json
from collections.abc import Collection
from dataclasses import astuple, dataclass, replace
from uuid import UUID

from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.utils import timezone

from apps.resilience.errors import NotAllowed
from apps.tenants.contracts import Standing
from apps.tenants.dashboard import SESSION_ACTING, MemberRequest
from apps.tenants.models import User
from apps.tenants.secrets import PLATFORM, seal, unseal
from apps.tenants.selectors import find_standing, list_standings


@dataclass(frozen=True)
class Pass:
    """Say who was let in and by what; a staff member's visit has neither membership nor stamp."""

    user_id: str
    tenant_id: str
    tenant_slug: str
    role: str
    session_key: str
    membership_id: str = ""
    password_stamp: str = ""


def issue_pass(request: MemberRequest) -> str:
    """Return the sealed pass of a request that has passed the dashboard's door."""
    given = Pass(
        user_id=str(request.user.id),
        tenant_id=str(request.tenant.id),
        tenant_slug=request.tenant.slug,
        role=request.membership.role.value,
        session_key=request.session.session_key or "",
    )
    if not request.is_acting:
        standing = find_standing(user_id=request.user.id, tenant_id=request.tenant.id)
        if standing is None:
            raise NotAllowed("You are no longer a member of this company.")
        given = _as_of(given, standing)
    return seal(json.dumps(astuple(given)), PLATFORM)


def read_pass(sealed: str) -> Pass:
    """Return the pass that this product sealed; raises NotAllowed."""
    try:
        return Pass(*json.loads(unseal(sealed, PLATFORM)))
    except (ValueError, TypeError) as error:
        raise NotAllowed("This pass is not one of ours.") from error


def list_void_passes(passes: Collection[Pass]) -> set[Pass]:
    """Return those that hold no more, of any tenants; two queries, and one more where staff visits."""
    standings = list_standings({(UUID(each.user_id), UUID(each.tenant_id)) for each in passes})
    sessions = _living_sessions({each.session_key for each in passes})
    staff = _active_staff({each.user_id for each in passes if not each.membership_id})

    def holds(held: Pass) -> bool:
        if held.session_key not in sessions:
            return False
        if not held.membership_id:
            return held.user_id in staff and _is_visiting(held, sessions[held.session_key])
        standing = standings.get((UUID(held.user_id), UUID(held.tenant_id)))
        return standing is not None and held == _as_of(held, standing)

    return {held for held in passes if not holds(held)}


def _as_of(held: Pass, standing: Standing) -> Pass:
    return replace(
        held,
        role=standing.role.value,
        membership_id=str(standing.membership_id),
        password_stamp=standing.password_stamp,
    )


def _living_sessions(keys: set[str]) -> dict[str, str]:
    alive = Session.objects.filter(session_key__in=keys, expire_date__gt=timezone.now())
    return dict(alive.values_list("session_key", "session_data"))


def _active_staff(user_ids: set[str]) -> set[str]:
    if not user_ids:
        return set()
    active = User.objects.filter(id__in=user_ids, is_staff=True, is_active=True)
    return {str(user_id) for user_id in active.values_list("id", flat=True)}


def _is_visiting(held: Pass, session_data: str) -> bool:
    acting = SessionStore().decode(session_data).get(SESSION_ACTING) or {}
    is_same = (acting.get("tenant"), acting.get("role")) == (held.tenant_slug, held.role)
    return is_same and dt.datetime.fromisoformat(acting["until"]) > timezone.now()
