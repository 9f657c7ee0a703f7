"""The demo shop with its processes, and a real browser that looks at it."""

import json
import os
import re
import shutil
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.utils import timezone
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from psycopg.sql import SQL, Identifier

from aiaas.demo.companies import Company, order_fields, read_companies
from apps.billing.models import UsageBucket
from apps.billing.periods import bucket_start
from apps.conversations.services import start_conversation
from apps.crm.services import create_order, find_or_create_customer
from apps.events.services import bury
from apps.ingestion.services import add_document, process_document
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role, TenantRef
from apps.tenants.lifecycle import begin_visit
from apps.tenants.services import add_member, provision_tenant
from tests.conftest import clone_database, drop_database, superuser, use_database
from tests.isolation.test_pages import PAGES, address
from tests.live import LiveDatabase
from tests.product import Product, running
from tests.staff.test_admin import usage_envelope

ARTICLES = {"Returns and refunds", "Delivery outside the European Union", "Track your parcel"}
FULL_OWNER = "owner@full.example"
LAMPS_OWNER, UNHEARD = "owner@lamps.example", "Kindly expedite the dispatch of PO 77-B"
OWNER, PASSWORD = "owner@shop.example", "a long enough password"
STAFF = "staff@platform.example"
COLLEAGUE = "cora@shop.example"
FURNISHED, BEING_FURNISHED = "journeys_furnished", "journeys_being_furnished"
TOLD = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"
DOWNLOADS = (".csv", ".pdf", "export/")
PATIENCE_MS = 30_000
LOG_LINES = 60
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

# What destroy() must leave as it was (timers, the page's listeners, sockets), and what the policy forbade.
BOOKKEEPING = """
(() => {
  const kept = { timers: new Set(), listeners: new Map(), sockets: new Set(), violations: [] };
  window.__kept = kept;
  const { setTimeout: set, clearTimeout: clear, WebSocket: Socket } = window;
  window.setTimeout = (run, ms, ...rest) => {
    const id = set(() => { kept.timers.delete(id); run(...rest); }, ms);
    kept.timers.add(id);
    return id;
  };
  window.clearTimeout = (id) => { kept.timers.delete(id); clear(id); };
  window.WebSocket = class extends Socket {
    constructor(...rest) {
      super(...rest);
      kept.sockets.add(this);
      Socket.prototype.addEventListener.call(this, "close", () => kept.sockets.delete(this));
    }
  };
  for (const target of [window, document]) {
    const { addEventListener: add, removeEventListener: remove } = target;
    target.addEventListener = (type, run, options) => {
      kept.listeners.set(run, type);
      if (options && options.signal) add.call(options.signal, "abort", () => kept.listeners.delete(run));
      add.call(target, type, run, options);
    };
    target.removeEventListener = (type, run, options) => {
      kept.listeners.delete(run);
      remove.call(target, type, run, options);
    };
  }
  EventTarget.prototype.addEventListener.call(document, "securitypolicyviolation", (event) =>
    kept.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
})();
"""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the processes had to say when a journey fails."""
    report = yield
    product = getattr(item, "funcargs", {}).get("product")
    if report.failed and isinstance(product, Product):
        for name in sorted(product.running):
            last = product.log_of(name).splitlines()[-LOG_LINES:]
            report.sections.append((f"log of {name}", "\n".join(last)))
    return report


def find_browser() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="session")
def furnished(django_db_setup: None, django_db_blocker: Any) -> list[str]:
    """Furnish a database to clone, once for all workers; return where everything is that a member sees."""
    with superuser() as admin:
        admin.execute("SELECT pg_advisory_lock(4243)")
        if admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [FURNISHED]).fetchone() is None:
            drop_database(BEING_FURNISHED)
            clone_database(BEING_FURNISHED)
            with django_db_blocker.unblock():
                use_database(BEING_FURNISHED)
                pages = _furnish()
                use_database(f"test_{settings.WORKER}")
            admin.execute(
                SQL("COMMENT ON DATABASE {} IS {}").format(Identifier(BEING_FURNISHED), json.dumps(pages))
            )
            admin.execute(f"ALTER DATABASE {BEING_FURNISHED} RENAME TO {FURNISHED}")
        [told] = admin.execute(TOLD, [FURNISHED]).fetchone() or [""]
        return json.loads(told)


def _furnish() -> list[str]:
    shop = _open_shop()
    _fill_up()
    _be_asked_oddly()
    return [address(route, shop) for route in sorted(PAGES) if _can_be_looked_at(route)]


@pytest.fixture(scope="module")
def product(furnished: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """The processes that a visitor meets, with Harbor Goods on a database of the module's own."""
    name = f"journeys_{settings.WORKER}"
    drop_database(name)
    clone_database(name, FURNISHED)
    folder = tmp_path_factory.mktemp("journeys")
    with running(LiveDatabase(name), folder, "web", "realtime", "worker") as product:
        product.pages = furnished
        yield product
    drop_database(name)


def _can_be_looked_at(route: str) -> bool:
    return not PAGES[route].post_only and not route.endswith(DOWNLOADS)


def _open_shop() -> TenantRef:
    company = next(company for company in read_companies() if company.slug == "shop")
    tenant = provision_tenant(slug=company.slug, name=company.name)
    for article in company.articles:
        if article.title in ARTICLES:
            document = add_document(tenant=tenant, title=article.title, text=article.text)
            process_document(tenant=tenant, document_id=document.id)
    _add_ada(tenant, company)
    add_person(tenant, OWNER, Role.OWNER, "Olga Owner")
    _employ_staff(tenant)
    add_person(tenant, COLLEAGUE, Role.AGENT, "Cora Colleague")
    return tenant


def _employ_staff(tenant: TenantRef) -> None:
    """Make a member of the staff, and something for them to look at."""
    get_user_model().objects.create_superuser(STAFF)
    _set_password(STAFF)
    begin_visit(tenant=tenant, role=Role.VIEWER, reason="A question", actor=f"staff:{STAFF}")
    with in_tenant(tenant):
        letter = usage_envelope(tenant)
        bury(consumer="usage_projection", envelope=letter, cause="ValueError: x", deliveries=3)


def _fill_up() -> None:
    """Make a company whose plan takes no more messages."""
    tenant = provision_tenant(slug="full", name="Full House")
    add_person(tenant, FULL_OWNER, Role.OWNER, "Fay Full")
    with in_tenant(tenant):
        UsageBucket.objects.create(kind="message", starts_at=bucket_start(timezone.now()), quantity=2_000)


def _be_asked_oddly() -> None:
    """Make a company that hears what its router has not learnt."""
    tenant = provision_tenant(slug="lamps", name="Lamp Lovers")
    add_person(tenant, LAMPS_OWNER, Role.OWNER, "Lia Lamp")
    start_conversation(tenant=tenant, channel="api", text=UNHEARD)


def add_person(tenant: TenantRef, email: str, role: Role, name: str) -> None:
    """Add a member who can log in to the real processes, whose hasher is not the tests' quick one."""
    add_member(tenant=tenant, email=email, role=role, name=name)
    _set_password(email)


def _set_password(email: str) -> None:
    hasher = PBKDF2PasswordHasher()
    get_user_model().objects.filter(email=email).update(password=hasher.encode(PASSWORD, hasher.salt()))


def _add_ada(tenant: TenantRef, company: Company) -> None:
    ada = next(customer for customer in company.customers if customer["external_id"] == "ada")
    find_or_create_customer(tenant=tenant, **ada)
    for order in company.orders:
        if order["customer"] == ada["email"]:
            fields = order_fields(order, timezone.now())
            create_order(tenant=tenant, customer_email=ada["email"], **fields)


@pytest.fixture
def browser(product: Product) -> Iterator[Browser]:
    """Chromium; it comes after the product, because its driver keeps Django off this thread."""
    path = find_browser()
    if path is None:
        missing = "needs Chromium: install it or name it in CHROMIUM"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


def log_in(context: BrowserContext, product: Product, email: str = OWNER, then: str = "/app/") -> Page:
    """Log in as a person does, and return the page on which they land."""
    page = context.new_page()
    page.goto(f"{product.url}/accounts/login/?next={then}")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name=re.compile("Log in|Sign In")).click()
    page.wait_for_url(f"**{then}**")
    return page


@pytest.fixture
def page(browser: Browser, product: Product) -> Iterator[Page]:
    """A page that fails the test when it breaks its security policy or throws."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.add_init_script(BOOKKEEPING)
    page.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    yield page
    assert page.evaluate("window.__kept.violations") == []
    assert complaints == []
