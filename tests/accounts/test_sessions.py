"""Where a person is logged in, and the end of it; a second company."""

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.test import Client

from apps.accounts import services
from apps.accounts.models import SignUp
from apps.accounts.sessions import name_device
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import list_memberships
from tests.accounts.test_log_in import LOGIN
from tests.pages import PASSWORD, log_in, member_of

pytestmark = pytest.mark.usefixtures("valkey")
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Safari/604.1"
)
EDGE = "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/126.0 Safari/537.36 Edg/126.0"


@pytest.fixture(autouse=True)
def _fresh_limits(valkey: object):
    cache.clear()


def browser(email: str, agent: str, address: str) -> Client:
    client = Client(headers={"User-Agent": agent, "Accept": "text/html"}, REMOTE_ADDR=address)
    assert client.post(LOGIN, {"login": email, "password": PASSWORD}).status_code == 302
    return client


def listed(client: Client) -> list[int]:
    answer = client.get("/accounts/sessions/")
    return [session.id for session in answer.context["sessions"]]


def test_sessions_are_listed_and_ended_at_once(acme: TenantRef):
    email = member_of(acme)
    desk, phone = browser(email, FIREFOX, "203.0.113.5"), browser(email, IPHONE, "198.51.100.7")
    browser(member_of(acme), EDGE, "192.0.2.1")
    page = desk.get("/accounts/sessions/").content.decode()
    assert "Firefox on Linux" in page
    assert "203.0.113.5" in page
    assert "Safari on iPhone" in page
    assert "192.0.2.1" not in page, "somebody else's"
    answer = desk.get("/accounts/sessions/")
    [other] = [session for session in answer.context["sessions"] if not session.is_current]
    assert phone.get("/app/profile/").status_code == 200
    assert desk.post(f"/accounts/sessions/{other.id}/end/").status_code == 302
    assert phone.get("/app/profile/").headers["Location"].startswith(LOGIN)
    assert desk.get("/app/profile/").status_code == 200
    assert len(listed(desk)) == 1


def test_nobody_ends_somebody_elses_session(acme: TenantRef, globex: TenantRef):
    victim = browser(member_of(acme), FIREFOX, "203.0.113.5")
    [session_id] = listed(victim)
    stranger = browser(member_of(globex), FIREFOX, "203.0.113.6")
    assert stranger.post(f"/accounts/sessions/{session_id}/end/").status_code == 404
    assert stranger.get(f"/accounts/sessions/{session_id}/end/").status_code == 405
    stranger.post("/accounts/sessions/end-others/")
    assert victim.get("/app/profile/").status_code == 200


def test_all_others_end(acme: TenantRef):
    email = member_of(acme)
    own, *others = (browser(email, FIREFOX, f"203.0.113.{n}") for n in range(1, 4))
    assert own.post("/accounts/sessions/end-others/").status_code == 302
    assert own.get("/app/profile/").status_code == 200
    assert {other.get("/app/profile/").status_code for other in others} == {302}
    assert len(listed(own)) == 1


def test_a_changed_password_leaves_no_dead_sessions_in_the_list(acme: TenantRef):
    email = member_of(acme)
    own, other = browser(email, FIREFOX, "203.0.113.1"), browser(email, IPHONE, "203.0.113.2")
    new = {"oldpassword": PASSWORD, "password1": "another long one", "password2": "another long one"}
    assert own.post("/accounts/password/change/", new).status_code == 302
    assert other.get("/app/profile/").status_code == 302
    assert len(listed(own)) == 1


def test_last_seen_moves_on_but_not_with_every_click(acme: TenantRef, django_assert_num_queries):
    client = browser(member_of(acme), FIREFOX, "203.0.113.1")
    client.get("/accounts/sessions/")
    [before] = client.get("/accounts/sessions/").context["sessions"]
    [after] = client.get("/accounts/sessions/").context["sessions"]
    assert before.last_seen_at == after.last_seen_at
    session = client.session
    session["seen_at"] = 0
    session.save()
    [later] = client.get("/accounts/sessions/", REMOTE_ADDR="203.0.113.99").context["sessions"]
    assert later.last_seen_at > after.last_seen_at
    assert later.address == "203.0.113.99"


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (FIREFOX, "Firefox on Linux"),
        (EDGE, "Edge on Windows"),
        ("curl/8", "Unknown device"),
        ("", "Unknown device"),
    ],
)
def test_a_device_has_a_name(agent: str, name: str):
    assert name_device(agent) == name


def test_a_person_adds_a_company_and_switches(live_db, acme: TenantRef):
    client = log_in(acme)
    user = get_user_model().objects.get(id=client.session["_auth_user_id"])
    assert client.get("/accounts/companies/new/").status_code == 200
    assert client.post("/accounts/companies/new/", {"company": "", "time_zone": "UTC"}).status_code == 422
    given = {"company": "Second Shop", "time_zone": "UTC"}
    assert client.post("/accounts/companies/new/", given).headers["Location"] == "/accounts/start/"
    assert "Making Second Shop" in client.get("/accounts/start/").content.decode()
    services.sweep_due_sign_ups()
    assert client.get("/accounts/start/").headers["Location"] == "/app/first-steps/"
    assert {m.tenant.slug for m in list_memberships(user_id=user.id)} == {"acme", "second-shop"}
    assert "Second Shop" in client.get("/app/team/").content.decode()
    assert client.post("/app/choose-tenant/", {"tenant": "acme"}).status_code == 302
    page = client.get("/app/team/").content.decode()
    assert '<option value="acme" selected' in " ".join(page.split())


def test_companies_are_added_by_who_is_verified_and_not_without_end(acme: TenantRef):
    client = log_in(acme)
    user = get_user_model().objects.get(id=client.session["_auth_user_id"])
    given = {"company": "More", "time_zone": "UTC"}
    user.emailaddress_set.update(verified=False)
    assert client.post("/accounts/companies/new/", given).headers["Location"] == "/accounts/address/"
    assert not SignUp.objects.exists()
    user.emailaddress_set.update(verified=True)
    for number in range(services.MAX_A_DAY):
        SignUp.objects.create(user=user, company="x", slug=f"x-{number}", status="done")
    assert client.post("/accounts/companies/new/", given).status_code == 422
