"""A company sets its widget and sees it at once; its visitors meet what was set."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.journeys.conftest import BOOKKEEPING, PATIENCE_MS, log_in
from tests.product import Product, wait_for

pytestmark = [pytest.mark.journey, pytest.mark.browser]
PICTURES = Path(settings.ROOT) / "docs" / "pictures"
GREETING = "Ahoy! We <3 questions: about orders, delivery or how to care for your things."
BROWN = "rgb(136, 68, 0)"
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@pytest.fixture(autouse=True)
def _patience() -> None:
    expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture
def owner(browser: Browser, product: Product) -> Page:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.add_init_script(BOOKKEEPING)
    page = log_in(context, product)
    page.on("dialog", lambda dialog: dialog.accept())  # leave what is unsaved
    page.goto(f"{product.url}/app/channels/")
    page.get_by_role("link", name="Website").click()
    expect(page.get_by_role("heading", name="Preview")).to_be_visible()
    return page


def picture(page: Page, name: str) -> None:
    """Keep a screenshot for the guides, when SCREENSHOTS=1 asks for it."""
    if os.environ.get("SCREENSHOTS") == "1":
        PICTURES.mkdir(exist_ok=True)
        page.screenshot(path=PICTURES / f"{name}.png")


def save(page: Page) -> None:
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#notice")).to_contain_text("Saved")


def tab(page: Page, name: str) -> None:
    page.get_by_role("link", name=name, exact=True).click()
    expect(page.get_by_role("link", name=name, exact=True)).to_have_attribute("aria-current", "page")


def color_of(node: Locator) -> str:
    return node.evaluate("node => getComputedStyle(node).backgroundColor")


def visit(browser: Browser, url: str, is_settled: Callable[[Page], bool]) -> Page:
    """Open the site's chat as a new visitor, until the processes have heard of the settings."""
    found: list[BrowserContext] = []

    def opens() -> bool:
        if found:
            found.pop().close()
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        context.add_init_script(BOOKKEEPING)
        found.append(context)
        page = context.new_page()
        page.goto(url)
        page.get_by_role("button", name="Open chat").click()
        page.wait_for_timeout(300)
        return is_settled(page)

    wait_for(opens, "the settings reach the site")
    return found[0].pages[0]


def shows(text: str | re.Pattern[str]) -> Callable[[Page], bool]:
    return lambda page: page.locator("aiaas-chat").get_by_text(text).first.is_visible()


def violations(page: Page) -> list[str]:
    return page.evaluate("window.__kept.violations")


def test_what_is_typed_shows_in_the_preview_and_what_is_saved_on_the_site(
    browser: Browser, product: Product, owner: Page
):
    preview = owner.locator("#preview aiaas-chat")
    owner.get_by_label("Brand colour").fill("#884400")
    owner.get_by_label("Smile").check()
    owner.get_by_label("Bottom left").check()
    expect(preview.locator("header")).to_have_css("background-color", BROWN)
    tab(owner, "Look")  # a look at another page without saving leaves no trace
    expect(preview.locator("header")).not_to_have_css("background-color", BROWN)
    owner.get_by_label("Brand colour").fill("#884400")
    owner.get_by_label("Smile").check()
    save(owner)
    tab(owner, "Texts and languages")
    owner.get_by_label("Title").fill("Captain's desk")
    owner.get_by_label("Greeting").fill(GREETING)
    owner.get_by_label("Words on the button").fill("Need a hand?")
    expect(preview.get_by_role("heading", name="Captain's desk")).to_be_visible()
    expect(preview.get_by_text(GREETING)).to_be_visible()
    expect(preview.locator(".launcher")).to_contain_text("Need a hand?")
    picture(owner, "channels-widget")
    save(owner)
    assert violations(owner) == []
    kept = owner.evaluate("[...Object.keys(localStorage), ...Object.keys(sessionStorage)]")
    assert [name for name in kept if name.startswith("aiaas")] == []
    assert owner.evaluate("__kept.sockets.size") == 0

    guest = visit(browser, f"{product.url}/demo/shop/?guest", shows(GREETING))
    chat = guest.locator("aiaas-chat")
    expect(chat.get_by_role("heading", name="Captain's desk")).to_be_visible()
    assert color_of(chat.locator("header")) == BROWN
    guest.keyboard.press("Escape")
    expect(guest.get_by_role("button", name="Need a hand?, Open chat")).to_contain_text("Need a hand?")
    guest.evaluate("AIaaSWidget.update({ title: 'Ours', color: '#0000ff', lang: 'de' })")  # the tag wins
    expect(chat.locator("h2")).to_have_text("Ours")
    assert color_of(chat.locator("header")) == "rgb(0, 0, 255)"
    guest.evaluate("AIaaSWidget.destroy()")
    wait_for(lambda: guest.evaluate("__kept.sockets.size") == 0, "the socket is closed")
    assert guest.evaluate("__kept.timers.size") == 0
    assert not {"online", "offline", "click"} & set(guest.evaluate("[...__kept.listeners.values()]"))
    assert violations(guest) == []


def test_who_is_asked_first_writes_then_and_a_customer_is_not_asked(
    browser: Browser, product: Product, owner: Page
):
    tab(owner, "Forms and rating")
    owner.get_by_label("Ask for a name and an email address").check()
    owner.get_by_label("Name", exact=True).check()
    owner.get_by_label("Email address", exact=True).check()
    owner.get_by_label("Ask for consent").check()
    preview = owner.locator("#preview aiaas-chat")
    expect(preview.get_by_label("Your email address")).to_be_visible()
    save(owner)

    url = f"{product.url}/demo/shop/"
    guest = visit(browser, f"{url}?guest", lambda page: page.get_by_label("Your name").is_visible())
    guest.get_by_role("button", name="How long do I have to return an item?").click()  # it waits
    expect(guest.locator("aiaas-chat").get_by_text("Sending…")).to_be_visible()
    guest.get_by_label("Your name").focus()
    guest.keyboard.press("Enter")
    expect(guest.get_by_label("Your name")).to_be_focused()
    expect(guest.get_by_text("Please fill this in.")).to_have_count(2)
    guest.get_by_label("Your name").fill("Vera Visitor")
    guest.get_by_label("Your email address").fill("vera")
    guest.get_by_label("I agree").check()
    guest.get_by_role("button", name="Start chatting").click()
    expect(guest.get_by_label("Your email address")).to_be_focused()
    expect(guest.get_by_text("name@example.com")).to_be_visible()
    guest.get_by_label("Your email address").fill("vera@visitor.example")
    guest.get_by_role("button", name="Start chatting").click()
    expect(guest.locator("aiaas-chat .thread .msg.ai").last).to_contain_text(
        "30 days", timeout=2 * PATIENCE_MS
    )
    expect(guest.get_by_label("Write a message")).to_be_focused()
    assert violations(guest) == []

    ada = visit(browser, url, lambda page: page.get_by_label("Write a message").is_visible())
    expect(ada.get_by_label("Your name")).to_have_count(0)

    owner.goto(f"{product.url}/app/customers/?q=vera")
    owner.get_by_role("link", name="Vera Visitor").click()
    expect(owner.get_by_text("vera@visitor.example")).to_be_visible()
    owner.go_back()


def test_a_message_outside_of_hours_becomes_a_lead(browser: Browser, product: Product, owner: Page):
    tab(owner, "Hours")
    owner.get_by_label("The team keeps opening hours").check()
    owner.get_by_label("Monday").fill("00:00-00:01")
    owner.get_by_label("Closed on").fill("\n".join(f"2026-{month:02}-30" for month in (11, 12)))
    for day in DAYS[1:]:
        owner.get_by_label(day).fill("")
    owner.get_by_label("Visitors leave a message").check()
    save(owner)

    visible = shows(re.compile("Our team is back"))
    guest = visit(browser, f"{product.url}/demo/shop/?guest", visible)
    chat = guest.locator("aiaas-chat")
    expect(guest.get_by_label("Write a message")).to_be_hidden()
    guest.get_by_label("Your name").fill("Otto Offline")
    guest.get_by_label("Your email address").fill("otto@offline.example")
    guest.get_by_label("Your message").fill("Please call me about 40 lanterns.")
    if guest.get_by_label("I agree").count():
        guest.get_by_label("I agree").check()
    product.kill("realtime")  # it was sent, but nobody has acknowledged it
    guest.get_by_role("button", name="Leave the message").click()
    product.start("realtime")
    expect(chat.get_by_role("status").filter(has_text="Your message is with our team")).to_be_visible()
    assert violations(guest) == []

    owner.goto(f"{product.url}/app/leads/")
    expect(owner.get_by_role("row").filter(has_text="Otto Offline")).to_have_count(1)
    owner.get_by_role("link", name="Otto Offline").click()
    expect(owner.get_by_text("Please call me about 40 lanterns.").first).to_be_visible()

    owner.goto(f"{product.url}/app/channels/")
    owner.get_by_role("link", name="Website").click()
    tab(owner, "Hours")
    owner.get_by_label("The AI answers as always").check()
    save(owner)


def test_a_page_that_is_not_allowed_is_seen_and_allowed(browser: Browser, product: Product, owner: Page):
    stranger = product.url.replace("127.0.0.1", "localhost")
    tab(owner, "Name and domains")
    expect(owner.get_by_text("Every website may show this widget.")).to_be_visible()
    owner.get_by_label("Domains").fill("not a domain")
    owner.get_by_role("button", name="Save", exact=True).click()
    expect(owner.get_by_text("“not a domain” is no domain")).to_be_visible()
    owner.get_by_label("Domains").fill("Shop.Example/cart")
    save(owner)
    expect(owner.get_by_label("Domains")).to_have_value("https://shop.example")

    visit(browser, f"{stranger}/demo/shop/?guest", shows("Chat is not available on this page."))
    tab(owner, "Install and check")
    owner.get_by_role("button", name=f"Allow {stranger}").click()
    expect(owner.locator("#notice")).to_contain_text("may show the widget now")
    allowed = lambda page: page.get_by_label("Write a message").or_(page.get_by_label("Your name")).first  # noqa: E731
    guest = visit(browser, f"{stranger}/demo/shop/?guest", lambda page: allowed(page).is_enabled())
    assert violations(guest) == []
