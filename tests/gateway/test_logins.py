"""Log-ins: refreshes that work once, and ends that are for good."""

import datetime as dt
from uuid import UUID

import jwt
import pytest
from django.utils import timezone

from apps.gateway import families
from apps.gateway.models import TokenFamily
from apps.gateway.tokens import issue_tokens, renew_tokens
from apps.tenants import members
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.models import Membership, User
from apps.tenants.selectors import list_audit_events
from tests.gateway.tokens import at_once, forge, forget, me, member, post


def test_a_refresh_token_works_once(ada, acme):
    first = issue_tokens(ada)
    answer = post("token/refresh", refresh=first.refresh)
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    second = answer.json()
    assert me(second["access"]).status_code == 200
    _grow_old(acme)
    assert post("token/refresh", refresh=first.refresh).status_code == 401
    forget()
    for token in (first.access, second["access"]):
        assert me(token).status_code == 401
    assert post("token/refresh", refresh=second["refresh"]).status_code == 401
    event = list_audit_events(tenant=acme)[0]
    assert (event.action, event.actor) == ("token.reused", ada.id)
    assert event.data == {"generation": 0, "current": 1}


def _grow_old(tenant: TenantRef) -> None:
    with in_tenant(tenant):
        TokenFamily.objects.update(renewed_at=timezone.now() - families.GRACE - dt.timedelta(seconds=1))


def test_a_lost_answer_may_be_asked_for_againat_once(ada, acme):
    first = issue_tokens(ada)
    twice = [post("token/refresh", refresh=first.refresh).json() for _ in range(2)]
    generations = {jwt.decode(t["refresh"], options={"verify_signature": False})["gen"] for t in twice}
    assert generations == {1}
    third = post("token/refresh", refresh=twice[1]["refresh"])
    assert third.status_code == 200
    # Two steps behind is reuse even within the grace: whoever has it, somebody else has gone on.
    assert post("token/refresh", refresh=first.refresh).status_code == 401
    assert post("token/refresh", refresh=third.json()["refresh"]).status_code == 401


def test_a_thief_within_the_grace_is_found_at_the_next_refresh(ada, acme):
    stolen = issue_tokens(ada).refresh
    owner = post("token/refresh", refresh=stolen).json()["refresh"]
    thief = post("token/refresh", refresh=stolen).json()["refresh"]
    assert post("token/refresh", refresh=owner).status_code == 200
    _grow_old(acme)
    assert post("token/refresh", refresh=thief).status_code == 401
    assert list_audit_events(tenant=acme)[0].action == "token.reused"


def test_refreshes_at_once_go_one_step_on(live_db, acme):
    ada = member(acme)
    pair = issue_tokens(ada)
    results = at_once(lambda: renew_tokens(pair.refresh), times=6)
    generations = [jwt.decode(r.refresh, options={"verify_signature": False})["gen"] for r in results]
    assert generations == [1] * 6
    with in_tenant(acme):
        assert TokenFamily.objects.get().generation == 1


def test_a_login_ends_for_good_after_ninety_days(ada, acme):
    pair = issue_tokens(ada)
    with in_tenant(acme):
        TokenFamily.objects.update(created_at=timezone.now() - dt.timedelta(days=89))
    renewed = jwt.decode(renew_tokens(pair.refresh).refresh, options={"verify_signature": False})
    assert renewed["exp"] < (timezone.now() + dt.timedelta(days=1, minutes=1)).timestamp()


@pytest.mark.parametrize("which", ["refresh", "access"])
def test_logging_out_ends_the_login_everywhere(ada, acme, which):
    pair, other = issue_tokens(ada), issue_tokens(ada)
    assert post("token/revoke", token=getattr(pair, which)).status_code == 204
    families.forget_all()
    assert me(pair.access).status_code == 401
    assert post("token/refresh", refresh=pair.refresh).status_code == 401
    assert post("token/revoke", token=pair.refresh).status_code == 204
    assert me(other.access).status_code == 200
    ended = [event for event in list_audit_events(tenant=acme) if event.action == "token.revoked"]
    assert len(ended) == 1
    assert post("token/revoke", token="x.y.z").status_code == 401


def test_a_new_password_ends_every_login(ada, acme):
    pair = issue_tokens(ada)
    user = User.objects.get(id=ada.id)
    user.set_password("another long password")
    user.save()
    families.forget_all()
    assert me(pair.access).status_code == 401
    assert post("token/refresh", refresh=pair.refresh).status_code == 401


def test_a_removed_member_stays_logged_out_also_when_they_come_back(ada, acme):
    member(acme, email="owner@acme.example")
    pair = issue_tokens(ada)
    with in_tenant(acme):
        membership = Membership.objects.get(user_id=ada.id)
    members.remove_member(tenant=acme, membership_id=membership.id, actor="owner")
    families.forget_all()
    assert me(pair.access).status_code == 401
    members.restore_member(tenant=acme, email="ada@acme.example", actor="owner")
    families.forget_all()
    assert me(pair.access).status_code == 401
    assert post("token/refresh", refresh=pair.refresh).status_code == 401


def test_a_deactivated_person_is_logged_out(ada):
    pair = issue_tokens(ada)
    User.objects.filter(id=ada.id).update(is_active=False)
    families.forget_all()
    assert me(pair.access).status_code == 401


def test_a_login_is_of_one_company(acme, globex):
    here = member(acme)
    there = member(globex)
    pair, _ = issue_tokens(here), issue_tokens(there)
    assert me(forge(pair.access, tenant_id=str(globex.id))).status_code == 401
    with in_tenant(globex):
        assert TokenFamily.objects.count() == 1
    families.end_family(tenant=globex, family_id=_sid(pair.access))
    families.forget_all()
    assert me(pair.access).status_code == 200


def _sid(token: str) -> UUID:
    return UUID(jwt.decode(token, options={"verify_signature": False})["sid"])


def test_logins_that_ended_are_forgotten(live_db, acme, globex):
    for tenant in (acme, globex):
        ada = member(tenant)
        for _ in range(3):
            issue_tokens(ada)
        with in_tenant(tenant):
            first, second, _ = TokenFamily.objects.all()
            TokenFamily.objects.filter(id=first.id).update(expires_at=timezone.now() - dt.timedelta(days=2))
            TokenFamily.objects.filter(id=second.id).update(revoked_at=timezone.now() - dt.timedelta(days=2))
    assert families.purge_families() == 4
    for tenant in (acme, globex):
        with in_tenant(tenant):
            assert TokenFamily.objects.count() == 1
