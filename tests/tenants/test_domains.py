"""A company's own domains: proven before they lead anywhere, one company's each, gone at once."""

import datetime as dt
import threading
from collections.abc import Callable

import pytest
from django.db import connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.gateway import limits
from apps.realtime.admission import may_embed
from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.tenants import selectors
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role, TenantRef
from apps.tenants.domains import services, well_known
from apps.tenants.domains.contracts import Proof
from apps.tenants.domains.selectors import find_tenant_by_host, forget_hosts, get_domain
from apps.tenants.models import Domain, Notice, Tenant, WidgetKey
from apps.tenants.selectors import list_audit_events, list_widget_standings, resolve_widget_key
from tests.gateway.conftest import key_client
from tests.pages import log_in, member_of
from tests.staff.test_admin import staff
from workers import tasks

HELP, DESK = "help.shop.example", "desk.shop.example"
YES, NO, AWAY = Proof(True), Proof(False, True, "No line there."), Proof(False, False, "It is away.")
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


@pytest.fixture
def answer(monkeypatch) -> Callable[[Proof], None]:
    """Let every domain answer so when it is asked for its proof."""

    def go(proof: Proof) -> None:
        monkeypatch.setattr(well_known, "find_proof", lambda *, name, token: proof)

    forget_hosts()
    go(YES)
    return go


def proven(tenant: TenantRef, name: str = HELP) -> Domain:
    made = services.add_domain(tenant=tenant, name=name, actor="test")
    return services.verify_domain(tenant=tenant, domain_id=made.id, actor="test")


def actions(tenant: TenantRef) -> list[str]:
    return [e.action for e in list_audit_events(tenant=tenant) if e.action.startswith("domain.")][::-1]


def site(host: str, path: str = "/"):
    forget_hosts()
    return Client(headers={"Host": host, "Accept": "text/html"}).get(path)


def leads(host: str) -> bool:
    return site(host).status_code == 200


def test_a_claim_leads_nowhere_until_it_is_proven(acme, globex, answer):
    made = services.add_domain(tenant=acme, name=f" https://{HELP.upper()}/x ", actor="ada")
    assert services.add_domain(tenant=acme, name=HELP, actor="ada").id == made.id
    assert made.name == HELP
    assert find_tenant_by_host(HELP) is None
    assert not leads(HELP)
    answer(NO)
    assert services.verify_domain(tenant=acme, domain_id=made.id, actor="ada").problem == NO.problem
    assert not leads(HELP)
    answer(YES)
    services.verify_domain(tenant=acme, domain_id=made.id, actor="ada")
    page = site(HELP)
    assert page.status_code == 200
    assert "Acme" in page.content.decode()
    assert selectors.get_widget_key(tenant=acme).key in page.content.decode()
    assert selectors.get_widget_key(tenant=globex).key not in page.content.decode()
    assert actions(acme) == ["domain.added", "domain.verified"]
    assert actions(globex) == []


def test_a_domain_is_one_companys_whoever_proves_it_first(live_db, acme, globex, answer):
    first, second = (services.add_domain(tenant=t, name=HELP, actor="test") for t in (acme, globex))
    assert first.token != second.token
    done, refused = list[str](), list[str]()

    def work(tenant: TenantRef, domain: Domain) -> None:
        try:
            services.verify_domain(tenant=tenant, domain_id=domain.id, actor="test")
            done.append(tenant.slug)
        except ConflictError as error:
            refused.append(error.detail)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=pair) for pair in ((acme, first), (globex, second))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 1
    assert "Another company" in refused[0]
    owner, domain = (acme, first) if done == ["acme"] else (globex, second)
    assert find_tenant_by_host(HELP) == owner
    services.remove_domain(tenant=owner, domain_id=domain.id, actor="test")
    other, waiting = (globex, second) if owner == acme else (acme, first)
    services.verify_domain(tenant=other, domain_id=waiting.id, actor="test")
    assert find_tenant_by_host(HELP) == other


@pytest.mark.parametrize(
    "name",
    [
        "", "shop", "localhost", "10.0.0.1", "[::1]", "*.shop.example", "a b.example", "x" * 254,
        "a\x00.example", "testserver", "-a.example", "a..example",
    ],
)  # fmt: skip
def test_what_is_no_domain_of_a_company_is_refused(acme, name):
    with pytest.raises(InvalidInput) as refused:
        services.add_domain(tenant=acme, name=name, actor="test")
    assert list(refused.value.errors) == ["name"]
    with in_tenant(acme):
        assert not Domain.objects.exists()


def test_the_platforms_own_hosts_are_nobodys(acme, settings):
    settings.PUBLIC_URL, settings.ALLOWED_HOSTS = "https://aiaas.example", [".platform.example"]
    for name in ("aiaas.example", "x.aiaas.example", "shop.platform.example"):
        with pytest.raises(InvalidInput, match="platform's own"):
            services.add_domain(tenant=acme, name=name, actor="test")


def test_there_is_a_most(acme):
    for number in range(services.MAX_DOMAINS):
        services.add_domain(tenant=acme, name=f"d{number}.shop.example", actor="test")
    with pytest.raises(ConflictError, match="at most"):
        services.add_domain(tenant=acme, name=HELP, actor="test")


def test_removed_it_leads_nowhere_at_once(acme, globex, answer):
    domain = proven(acme)
    with pytest.raises(NotFoundError):
        services.remove_domain(tenant=globex, domain_id=domain.id, actor="test")
    with pytest.raises(NotFoundError):
        services.verify_domain(tenant=globex, domain_id=domain.id, actor="test")
    assert find_tenant_by_host(HELP) == acme
    services.remove_domain(tenant=acme, domain_id=domain.id, actor="test")
    assert find_tenant_by_host(HELP) is None
    assert not leads(HELP)
    assert actions(acme)[-1] == "domain.removed"


def test_one_that_says_no_is_lost_at_once_one_that_is_away_after_three_days(acme, answer, monkeypatch):
    member_of(acme)
    domain, now = proven(acme), timezone.now()
    answer(AWAY)
    for later in (HOUR, DAY, 3 * DAY):
        monkeypatch.setattr("django.utils.timezone.now", lambda later=later: now + later)
        services.verify_domain(tenant=acme, domain_id=domain.id, actor="platform")
        assert find_tenant_by_host(HELP) == acme, later
    monkeypatch.setattr("django.utils.timezone.now", lambda: now + 3 * DAY + 2 * HOUR)
    services.verify_domain(tenant=acme, domain_id=domain.id, actor="platform")
    assert find_tenant_by_host(HELP) is None
    answer(YES)
    services.verify_domain(tenant=acme, domain_id=domain.id, actor="platform")
    assert find_tenant_by_host(HELP) == acme
    answer(NO)
    monkeypatch.setattr("django.utils.timezone.now", lambda: now + 4 * DAY)
    services.verify_domain(tenant=acme, domain_id=domain.id, actor="platform")
    assert find_tenant_by_host(HELP) is None
    assert actions(acme) == ["domain.added", *["domain.verified", "domain.lapsed"] * 2]
    with in_tenant(acme):
        assert Notice.objects.filter(key__startswith="domain-lapsed").count() == 2


def test_the_job_asks_what_is_due_and_one_trouble_keeps_no_other_waiting(
    live_db, acme, globex, answer, monkeypatch
):
    domains = [proven(acme), proven(globex, "help.globex.example")]
    tasks.check_domains()
    asked = []

    def look(*, name: str, token: str) -> Proof:
        asked.append(name)
        if name == HELP:
            raise RuntimeError("odd")
        return NO

    monkeypatch.setattr(well_known, "find_proof", look)
    tasks.check_domains()
    assert asked == [], "nothing is due"
    for tenant, domain in zip((acme, globex), domains, strict=True):
        with in_tenant(tenant):
            Domain.objects.filter(id=domain.id).update(due_at=timezone.now() - HOUR)
    tasks.check_domains()
    assert sorted(asked) == ["help.globex.example", HELP]
    assert get_domain(tenant=acme, domain_id=domains[0].id).verified_at
    assert get_domain(tenant=globex, domain_id=domains[1].id).verified_at is None


def test_a_company_domain_serves_the_public_page_and_nothing_where_one_logs_in(acme, answer):
    proven(acme)
    key = selectors.get_widget_key(tenant=acme).key
    assert site(HELP, f"/widget.js?key={key}").status_code == 200
    assert site(f"{HELP}:8443").status_code == 200
    for path in ("/accounts/login/", "/app/", "/admin/", "/api/v1/customers", "/v1/models", "/nothing"):
        found = site(HELP, path)
        assert found.status_code == 404, path
        assert "/accounts/" not in found.content.decode()
    page = site(HELP)
    assert "frame-ancestors 'none'" in page["Content-Security-Policy"]
    assert page["Cache-Control"] == "no-store"
    with in_tenant(acme):
        WidgetKey.objects.update(is_active=False)
    assert "Nobody answers here" in site(HELP).content.decode()
    assert not leads("other.example")
    assert not leads("bad host\x00")


def test_the_platforms_own_hosts_ask_nobody_where_they_lead(acme, settings, django_assert_num_queries):
    settings.ALLOWED_HOSTS = ["aiaas.example"]
    with django_assert_num_queries(0):
        assert site("aiaas.example").status_code == 404
        assert site("localhost").status_code == 400
    assert site("other.example").status_code == 400, "Django refuses what is neither ours nor proven"


def test_a_company_page_is_limited_like_every_page(acme, answer, settings, valkey):
    proven(acme)
    settings.PAGES_PER_MINUTE = 2
    limits.limiter.cache_clear()
    assert [site(HELP).status_code for _ in range(3)] == [200, 200, 429]
    assert "/accounts/" not in site(HELP).content.decode()


def test_a_deleted_companys_domain_leads_nowhere(live_db, acme, answer):
    proven(acme)
    Tenant.objects.using("owner").filter(id=acme.id).update(status="deleted")
    forget_hosts()
    assert find_tenant_by_host(HELP) is None


def test_a_proven_domain_may_show_the_widget_and_read_the_api(acme, globex, answer):
    origin = f"https://{HELP}"
    domain = proven(acme)
    keys = {}
    for tenant in (acme, globex):
        with in_tenant(tenant):
            WidgetKey.objects.update(allowed_origins=["https://shop.example"])
            keys[tenant] = WidgetKey.objects.get().key

    def shown(tenant: TenantRef) -> tuple[bool, bool, bool]:
        selectors.forget_all()
        limits.ORIGINS.forget()
        api = key_client(tenant).get("/api/v1/customers", headers={"Origin": origin})
        standing = list_widget_standings([keys[tenant]])[keys[tenant]]
        return (
            may_embed(resolve_widget_key(keys[tenant]), origin),
            origin in standing.allowed_origins,
            api.get("Access-Control-Allow-Origin") == origin,
        )

    assert shown(acme) == (True,) * 3
    assert shown(globex) == (False,) * 3
    answer(NO)
    services.verify_domain(tenant=acme, domain_id=domain.id, actor="platform")
    assert shown(acme) == (False,) * 3
    with in_tenant(acme):
        WidgetKey.objects.update(allowed_origins=[])
    selectors.forget_all()
    assert resolve_widget_key(keys[acme]).allowed_origins == (), "every site may, as before"


def test_settings_page_adds_checks_and_removes(acme, globex, answer):
    browser, viewer = log_in(acme), log_in(acme, Role.VIEWER)
    url = reverse("domains")
    assert "No domain of your own yet" in browser.get(url).content.decode()
    refused = browser.post(url, {"name": "not a domain"})
    assert (refused.status_code, "is no domain" in refused.content.decode()) == (422, True)
    assert browser.post(url, {"name": DESK}).status_code == 302
    with in_tenant(acme):
        made = Domain.objects.get()
    page = browser.get(url).content.decode()
    assert made.token in page
    assert f"https://shop.example{'/.well-known/aiaas-domain.txt'}" in page
    assert DESK not in log_in(globex).get(url).content.decode()
    answer(NO)
    check, remove = (reverse(name, args=[made.id]) for name in ("check_domain", "remove_domain"))
    assert "is not proven: No line there." in browser.post(check, follow=True).content.decode()
    answer(YES)
    assert "is proven." in browser.post(check, follow=True).content.decode()
    for address in (check, remove):
        assert viewer.post(address).status_code == 403
        assert log_in(globex).post(address).status_code == 404
    assert "leads nowhere any more" in browser.post(remove, follow=True).content.decode()


def test_api_adds_checks_and_removes(acme, globex, answer, valkey):
    api = key_client(acme)
    assert api.post("/api/v1/domains", {"name": "x"}, "application/json").status_code == 400
    made = api.post("/api/v1/domains", {"name": HELP}, "application/json")
    assert made.status_code == 201
    one = f"/api/v1/domains/{made.json()['id']}"
    assert made.json()["proof_addresses"][1].startswith("https://shop.example/.well-known/")
    assert api.post(f"{one}/verify").json()["verified_at"]
    assert [row["name"] for row in api.get("/api/v1/domains").json()["results"]] == [HELP]
    assert key_client(globex).get("/api/v1/domains").json()["results"] == []
    assert key_client(acme, "api:read").delete(one).status_code == 403
    assert (api.delete(one).status_code, api.get(one).status_code) == (204, 404)


def test_staff_sees_every_domain_and_removes_one_with_a_reason(live_db, acme, globex, answer):
    domain = proven(acme)
    services.add_domain(tenant=globex, name=HELP, actor="test")
    client = staff(live_db)
    page = client.get(reverse("admin:tenants_domain_changelist"), {"q": HELP}).content.decode()
    assert ("acme" in page, "globex" in page) == (True, True)
    drop = reverse("admin:tenants_domain_drop", args=[domain.id])
    assert client.post(drop, {"reason": ""}).status_code == 422
    assert client.post(drop, {"reason": "Not theirs"}).status_code == 302
    event = list_audit_events(tenant=acme)[0]
    assert (event.action, event.data) == ("domain.removed", {"was_proven": True, "reason": "Not theirs"})
    assert find_tenant_by_host(HELP) is None
