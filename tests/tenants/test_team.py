"""The team: invitations work once, the last owner stays, strangers change nothing."""

import re
import threading
import uuid

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.db import connections
from django.test import Client

from apps.gateway import families
from apps.gateway.tokens import issue_tokens
from apps.resilience.errors import ConflictError, NotFoundError
from apps.tenants import members
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role, TenantRef
from apps.tenants.models import Invitation, Membership
from apps.tenants.selectors import list_audit_events, list_memberships
from apps.tenants.services import principal_of
from tests.pages import log_in, member_of

pytestmark = pytest.mark.usefixtures("valkey")


def invite(tenant: TenantRef, email: str = "new@team.example", role: str = "agent") -> str:
    return members.invite_member(tenant=tenant, email=email, role=role, actor="test")[1]


def accept_page(token: str) -> str:
    return f"/accounts/invitations/{token}/"


def test_an_owner_invites_and_a_colleague_joins(acme: TenantRef):
    owner = log_in(acme)
    assert owner.post("/app/team/", {"email": "New@Team.example", "role": "agent"}).status_code == 302
    link = re.search(r"http\S+/accounts/invitations/\S+/", mail.outbox[0].body)[0]
    assert mail.outbox[0].to == ["new@team.example"]
    shown = re.search(r"http\S+/accounts/invitations/[^\"]+/", owner.get("/app/team/").content.decode())[0]
    assert link.startswith(shown.rstrip("/"))
    assert link != shown, "only the mail proves whose mailbox it is"
    assert shown not in owner.get("/app/team/").content.decode(), "shown once"
    stranger = Client()
    path = link[link.index("/accounts") :]
    assert b"Join Acme" in stranger.get(path).content
    weak = stranger.post(path, {"name": "Nia", "password": "123"})
    assert weak.status_code == 422
    assert stranger.post(path, {"name": "Nia", "password": "a long enough one"}).status_code == 302
    assert stranger.get("/app/profile/").status_code == 200
    assert Client().post(path, {"name": "Nia", "password": "a long enough one"}).status_code == 404
    actions = [event.action for event in list_audit_events(tenant=acme)]
    assert "member.invited" in actions
    assert "member.added" in actions


def test_an_account_that_exists_must_be_logged_in(acme: TenantRef, globex: TenantRef):
    email = member_of(globex)
    token = invite(acme, email)
    assert b"Log in" in Client().get(accept_page(token)).content
    assert Client().post(accept_page(token), {"name": "x", "password": "another password"}).status_code == 200
    user = get_user_model().objects.get(email=email)
    assert len(list_memberships(user_id=user.id)) == 1
    own = Client()
    own.force_login(user, "allauth.account.auth_backends.AuthenticationBackend")
    assert own.post(accept_page(token)).status_code == 302
    assert len(list_memberships(user_id=user.id)) == 2


@pytest.mark.parametrize("change", ["expired", "revoked", "used", "forged"])
def test_an_invitation_that_is_over_leads_nowhere(acme: TenantRef, change: str):
    token = invite(acme)
    with in_tenant(acme):
        rows = Invitation.objects.all()
        if change == "expired":
            rows.update(expires_at="2020-01-01T00:00Z")
        elif change == "revoked":
            members.revoke_invitation(tenant=acme, invitation_id=rows.get().id, actor="test")
        elif change == "used":
            rows.update(accepted_at="2020-01-01T00:00Z")
        else:
            token = token[:-1] + ("A" if token[-1] != "A" else "B")
    with pytest.raises(NotFoundError):
        members.accept_invitation(token=token, name="x", password="a long enough one")
    assert Client().get(accept_page(token)).status_code == 404


def test_the_last_owner_stays(acme: TenantRef):
    client = log_in(acme)
    with in_tenant(acme):
        Membership.objects.exclude(user__email__endswith="never").exclude(
            id=Membership.objects.order_by("-created_at").first().id
        ).delete()
        own = Membership.objects.get()
    remove = client.post(f"/app/team/members/{own.id}/remove/")
    demote = client.post(f"/app/team/members/{own.id}/role/", {"role": "viewer"})
    assert (remove.status_code, demote.status_code) == (409, 409)
    assert client.get("/app/team/").status_code == 200


def test_two_owners_cannot_remove_each_other_at_once(live_db, acme: TenantRef):
    first, second = member_of(acme), member_of(acme)
    with in_tenant(acme):
        ids = list(Membership.objects.filter(user__email__in=[first, second]).values_list("id", flat=True))
        Membership.objects.exclude(id__in=ids).delete()
    outcomes = []

    def remove(membership_id: uuid.UUID) -> None:
        try:
            members.remove_member(tenant=acme, membership_id=membership_id, actor="test")
            outcomes.append("removed")
        except ConflictError:
            outcomes.append("refused")
        connections.close_all()

    threads = [threading.Thread(target=remove, args=[membership_id]) for membership_id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused", "removed"]


def test_a_removal_is_undone(acme: TenantRef):
    client, email = log_in(acme), member_of(acme, Role.AGENT)
    with in_tenant(acme):
        membership = Membership.objects.get(user__email=email)
    page = client.post(f"/app/team/members/{membership.id}/remove/", follow=True).content.decode()
    undo = re.search(r'action="(/app/team/restore/[^"]+)"', page)[1].replace("&amp;", "&")
    assert client.post(undo).status_code == 302
    with in_tenant(acme):
        assert Membership.objects.get(user__email=email).role == "agent"


@pytest.mark.parametrize("role", [Role.AGENT, Role.ANALYST, Role.VIEWER])
def test_only_owners_and_admins_change_the_team(acme: TenantRef, role: Role):
    client = log_in(acme, role)
    assert client.post("/app/team/", {"email": "x@y.example", "role": "owner"}).status_code == 403
    assert client.get("/app/audit/").status_code == 403


def test_settings_are_kept_audited_and_checked(acme: TenantRef):
    client = log_in(acme)
    good = {"name": "Acme Ltd", "time_zone": "Asia/Kolkata", "silence_hours": "24"}
    bad = [("time_zone", "Nowhere"), ("silence_hours", "0"), ("silence_hours", "x"), ("name", "")]
    for field, value in bad:
        answer = client.post("/app/settings/", {**good, field: value})
        assert answer.status_code == 422
        assert "errorlist" in answer.content.decode()
    assert client.post("/app/settings/", good).status_code == 302
    event = list_audit_events(tenant=acme)[0]
    assert event.action == "settings.changed"
    assert event.data["after"] == {"name": "Acme Ltd", "time_zone": "Asia/Kolkata", "silence_hours": 24}


def test_the_audit_trail_is_filtered_and_exported(acme: TenantRef, globex: TenantRef):
    client = log_in(acme)
    invite(acme, "=cmd@x.example")
    invite(globex, "secret@globex.example")
    page = client.get("/app/audit/", {"action": "member.invited"}).content.decode()
    assert "=cmd@x.example" in page
    assert "secret@globex" not in page
    assert "member.added" not in page.partition("<tbody>")[2]
    body = b"".join(client.get("/app/audit/export/", {"action": "member.invited"}).streaming_content).decode()
    assert "'=cmd@x.example" in body


def membership_of(tenant: TenantRef, email: str) -> Membership:
    with in_tenant(tenant):
        return Membership.objects.get(user__email=email)


@pytest.mark.parametrize(("email", "role"), [("", "agent"), ("nobody", "agent"), ("a@b.example", "king")])
def test_wrong_words_in_an_invitation_are_told_at_their_field(acme: TenantRef, email: str, role: str):
    answer = log_in(acme).post("/app/team/", {"email": email, "role": role})
    assert answer.status_code == 422
    assert "errorlist" in answer.content.decode()
    with in_tenant(acme):
        assert not Invitation.objects.exists()


def test_an_admin_makes_and_touches_no_owner(acme: TenantRef):
    admin, owner = log_in(acme, Role.ADMIN), membership_of(acme, member_of(acme))
    page = admin.get("/app/team/").content.decode()
    assert f"/members/{owner.id}/remove/" not in page
    assert admin.post("/app/team/", {"email": "x@y.example", "role": "owner"}).status_code == 422
    assert admin.post(f"/app/team/members/{owner.id}/remove/").status_code == 403
    assert admin.post(f"/app/team/members/{owner.id}/role/", {"role": "viewer"}).status_code == 403
    viewer = membership_of(acme, member_of(acme, Role.VIEWER))
    assert admin.post(f"/app/team/members/{viewer.id}/role/", {"role": "owner"}).status_code == 403
    assert admin.post(f"/app/team/members/{viewer.id}/role/", {"role": "agent"}).status_code == 302


def test_only_who_was_removed_comes_back_and_as_what_they_were(acme: TenantRef, globex: TenantRef):
    owner, admin, stranger = log_in(acme), log_in(acme, Role.ADMIN), member_of(globex)
    assert admin.post("/app/team/restore/", {"email": stranger, "role": "admin"}).status_code == 404
    gone = member_of(acme, Role.OWNER)
    members.remove_member(tenant=acme, membership_id=membership_of(acme, gone).id, actor="test")
    assert admin.post("/app/team/restore/", {"email": gone}).status_code == 403
    assert owner.post("/app/team/restore/", {"email": gone}).status_code == 302
    assert membership_of(acme, gone).role == Role.OWNER


def test_a_removed_members_session_and_tokens_end_within_a_second(acme: TenantRef, globex: TenantRef):
    client = log_in(acme, Role.ADMIN)
    user = get_user_model().objects.get(id=client.session["_auth_user_id"])
    (own,) = list_memberships(user_id=user.id)
    principal = principal_of(user_id=user.id, name="", tenant=acme, role=own.role)
    api = Client(headers={"Authorization": f"Bearer {issue_tokens(principal).access}"})
    membership = membership_of(acme, user.email)
    assert api.get("/api/v1/api-keys").status_code == 200
    members.change_role(tenant=acme, membership_id=membership.id, role="agent", actor="test")
    families.forget_all()  # a second later
    assert api.get("/api/v1/api-keys").status_code == 403
    assert client.get("/app/audit/").status_code == 403
    members.remove_member(tenant=acme, membership_id=membership.id, actor="test")
    families.forget_all()
    assert api.get("/api/v1/orders").status_code == 401
    assert client.get("/app/orders/").headers["Location"] == "/accounts/start/"


def test_a_deactivated_person_is_out_everywhere(acme: TenantRef):
    client = log_in(acme)
    user = get_user_model().objects.get(id=client.session["_auth_user_id"])
    principal = principal_of(user_id=user.id, name="", tenant=acme, role=Role.OWNER)
    api = Client(headers={"Authorization": f"Bearer {issue_tokens(principal).access}"})
    get_user_model().objects.filter(id=user.id).update(is_active=False)
    assert api.get("/api/v1/orders").status_code == 401
    assert client.get("/app/").headers["Location"].startswith("/accounts/login/")


def test_a_member_leaves_but_not_the_last_owner(acme: TenantRef):
    owner, viewer = log_in(acme), log_in(acme, Role.VIEWER)
    with in_tenant(acme):
        Membership.objects.exclude(user_id__in=[c.session["_auth_user_id"] for c in (owner, viewer)]).delete()
    assert owner.post("/app/team/leave/").status_code == 409
    assert viewer.post("/app/team/leave/").status_code == 302
    assert viewer.get("/app/").headers["Location"] == "/accounts/start/"
    assert list_audit_events(tenant=acme)[0].action == "member.left"


def test_a_link_opened_by_somebody_else_changes_nobody(acme: TenantRef, globex: TenantRef):
    other = log_in(globex)
    for email in ("new@team.example", member_of(globex)):
        page = accept_page(invite(acme, email))
        shown = other.get(page)
        assert "Log out and go on" in shown.content.decode()
        assert other.get("/app/profile/").status_code == 200
    assert other.post(page, {"name": "x", "password": "a long enough one"}).status_code == 302
    assert other.get("/app/profile/").status_code == 302
    assert len(list_memberships(user_id=get_user_model().objects.get(email=email).id)) == 1


def test_the_audit_trail_says_from_where(acme: TenantRef):
    client = log_in(acme)
    client.post("/app/team/", {"email": "a@b.example", "role": "agent"}, REMOTE_ADDR="203.0.113.7")
    assert list_audit_events(tenant=acme)[0].address == "203.0.113.7"
    assert "203.0.113.7" in client.get("/app/audit/").content.decode()
    invite(acme, "without@request.example")
    assert list_audit_events(tenant=acme)[0].address is None


@pytest.mark.parametrize("query", [{"since": "2026-02-30"}, {"since": "2026-02-02", "until": "2026-02-01"}])
def test_a_filter_that_is_none_is_told(acme: TenantRef, query: dict[str, str]):
    client = log_in(acme)
    assert client.get("/app/audit/", query).status_code == 422
    assert client.get("/app/audit/export/", query).status_code == 400
