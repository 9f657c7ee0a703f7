"""Every page in a real browser: accessible in light and dark, wide and narrow, with a quiet console.

The pages are found by walking the URLs, so a page written next year is looked at too.
"""

import pytest
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup
from django.contrib import admin
from django.urls import get_resolver, reverse
from playwright.sync_api import Browser, BrowserContext, Page, Response

from tests.isolation.test_pages import patterns
from tests.journeys.conftest import BOOKKEEPING, PASSWORD, STAFF, log_in
from tests.product import Product

pytestmark = [pytest.mark.journey, pytest.mark.browser]
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"],
    "resultTypes": ["violations"],
}
SERIOUS = {"serious", "critical"}
LOOKS = {
    "light": ("light", {"width": 1280, "height": 800}),
    "dark phone": ("dark", {"width": 360, "height": 740}),
}
OPEN_PAGES = ["/accounts/login/", "/accounts/signup/", "/accounts/password/reset/", "/accounts/nowhere/"]
# A page learns of a new size in the frame that draws it; the second frame begins after that.
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))"
NOT_FOUND = "the server responded with a status of 404"


def shortcomings(page: Page, path: str, answer: Response | None, heard: list[str]) -> list[str]:
    """Return what is wrong with the page that is open, one line each."""
    found = Axe().run(page, options=RULES).response["violations"]
    violations = [
        f"{path}: {v['id']} {v['nodes'][0]['target']} {v['nodes'][0]['html'][:120]}"
        for v in found
        if v["impact"] in SERIOUS
    ]
    policy = page.evaluate("window.__kept.violations")
    width = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    wide = [f"{path}: {width[0]} px wide on a screen of {width[1]}"] if width[0] > width[1] else []
    missing = answer is None or answer.status == 404
    noise = [line for line in heard if not (missing and NOT_FOUND in line)]
    return violations + wide + [f"{path}: {line}" for line in [*policy, *noise]]


def is_a_page(context: BrowserContext, url: str) -> bool:
    """Tell a page from a fragment, from a download and from what only takes a POST."""
    answer = context.request.get(url)
    return answer.status != 405 and answer.text().lstrip().lower().startswith("<!doctype html")


def look_at(page: Page, product: Product, paths: list[str], *, reload: bool = False) -> list[str]:
    """Open each page once and look at it in every way; `reload` where its look is settled on loading."""
    page.add_init_script(BOOKKEEPING)
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: heard.append(str(error)))
    wrong = []
    for path in paths:
        if not is_a_page(page.context, f"{product.url}{path}"):
            continue
        wear(page, "light")
        heard.clear()
        answer = page.goto(f"{product.url}{path}")
        if answer is not None and answer.status >= 500:
            wrong.append(f"{path}: {answer.status}")
        for look in LOOKS:
            wear(page, look)
            if reload and look != "light":
                page.reload()
                page.evaluate(DRAWN)
            wrong += [f"{look}: {line}" for line in shortcomings(page, path, answer, heard)]
    return wrong


def wear(page: Page, look: str) -> None:
    color_scheme, size = LOOKS[look]
    page.emulate_media(color_scheme=color_scheme)
    page.set_viewport_size(size)
    page.evaluate(DRAWN)


def test_a_strangers_pages(browser: Browser, product: Product):
    wrong = look_at(browser.new_page(), product, OPEN_PAGES)
    assert not wrong, "\n".join(wrong)


def test_the_dashboards_pages(browser: Browser, product: Product):
    wrong = look_at(log_in(browser.new_context(), product), product, product.pages)
    assert not wrong, "\n".join(wrong)


def test_a_persons_own_pages(browser: Browser, product: Product):
    page = log_in(browser.new_context(), product)
    page.goto(f"{product.url}/accounts/second-step/app/add/")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    page.get_by_label("Code of the app").wait_for()
    wrong = look_at(page, product, personal_pages())
    assert not wrong, "\n".join(wrong)


def personal_pages() -> list[str]:
    """Return every page under /accounts/ that is about no single thing."""
    routes = [f"/{route}" for route, _ in patterns(get_resolver().url_patterns) if "<" not in route]
    return [route for route in routes if route.startswith("/accounts/") and route not in OPEN_PAGES]


def test_the_staffs_pages(browser: Browser, product: Product):
    context = browser.new_context()
    page = log_in(context, product, STAFF, then="/admin/")
    wrong = look_at(page, product, ["/admin/", *staff_pages(context, product)], reload=True)
    assert not wrong, "\n".join(wrong)


def staff_pages(context: BrowserContext, product: Product) -> list[str]:
    """Return every list, the page to add to it, its first row's page and what can be done to that row."""
    pages = []
    for model in admin.site._registry:
        path = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        listed = links_of(context, f"{product.url}{path}")
        pages += [path, *(link for link in listed if link == f"{path}add/")]
        for row in [link for link in listed if link.startswith(path) and link.endswith("/change/")][:1]:
            start = row.removesuffix("change/")
            doable = [link for link in links_of(context, f"{product.url}{row}") if link.startswith(start)]
            pages += [row, *doable]
    return list(dict.fromkeys(pages))


def links_of(context: BrowserContext, url: str) -> list[str]:
    soup = BeautifulSoup(context.request.get(url).text(), "html.parser")
    return [link["href"].split("?")[0] for link in soup.select("a[href]")]
