"""A complaint from the widget through the inbox to a rating, by keyboard; on a phone; what is learnt."""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import settings
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from tests.journeys.conftest import (
    BOOKKEEPING,
    COLLEAGUE,
    LAMPS_OWNER,
    OWNER,
    PATIENCE_MS,
    UNHEARD,
    log_in,
)
from tests.product import Product, wait_for

pytestmark = [pytest.mark.journey, pytest.mark.browser]
COMPLAINT = "My storm lantern arrived broken and nobody answers me. I want to complain!"
ENGRAVINGS = [
    "Can you engrave my name on the lantern?",
    "Do you engrave mugs?",
    "I want initials on the jacket",
    "Is engraving possible before Christmas?",
    "How much is engraving?",
    "Please engrave a date on it",
]
TYPING_SENT_EVERY_MS = 3_000
DEAFEN = "() => { window.fetch = () => new Promise(() => {}) }"
PICTURES = Path(settings.ROOT) / "docs" / "pictures"


@pytest.fixture(autouse=True)
def _patience() -> None:
    expect.set_options(timeout=PATIENCE_MS)


def picture(page: Page, name: str) -> None:
    """Keep a screenshot for the guides, when SCREENSHOTS=1 asks for it."""
    if os.environ.get("SCREENSHOTS") == "1":
        PICTURES.mkdir(exist_ok=True)
        page.screenshot(path=PICTURES / f"{name}.png")


def complain(context: BrowserContext, product: Product, text: str = COMPLAINT) -> Page:
    page = context.new_page()
    page.goto(f"{product.url}/demo/shop/?guest")
    page.get_by_role("button", name="Open chat").click()
    page.get_by_label("Write a message").fill(text)
    page.keyboard.press("Enter")
    expect(page.locator("aiaas-chat").locator(".thread .msg.ai")).to_have_count(2)
    return page


def type_until_seen(customer: Page, agent: Page, text: str) -> None:
    """Type as slowly as it takes: a hint that somebody types may be lost, but not every one of them."""
    field = customer.get_by_label("Write a message")
    field.press_sequentially(text)
    for _ in range(5):
        with suppress(AssertionError):
            expect(agent.get_by_text("is typing…")).to_be_visible(timeout=TYPING_SENT_EVERY_MS + 500)
            return
        field.press_sequentially(" ")
    expect(agent.get_by_text("is typing…")).to_be_visible()


def save_note_late(agent: Page, text: str, meanwhile: Callable[[], None]) -> None:
    """Save a note whose answer comes only when something else was done."""
    held: list[Route] = []
    agent.route("**/notes/", lambda route: held.append(route))
    agent.get_by_role("button", name="Private note").click()
    agent.get_by_label("Private note", exact=True).fill(text)
    with agent.expect_request("**/notes/"):
        agent.keyboard.press("Control+Enter")
    agent.get_by_role("button", name="Reply", exact=True).click()
    meanwhile()
    held[0].continue_()
    expect(agent.get_by_role("log").get_by_text(text)).to_be_visible()
    expect(agent.get_by_label("Private note", exact=True)).to_have_value("")


def complaints_of(page: Page) -> list[str]:
    heard: list[str] = []
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("console", lambda message: heard.append(message.text) if message.type == "error" else None)
    return heard


def test_a_complaint_is_served_by_keyboard_alone(browser: Browser, product: Product):
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.add_init_script(BOOKKEEPING)
    agent = log_in(context, product)
    heard = complaints_of(agent)
    agent.keyboard.press("g")
    agent.keyboard.press("i")
    expect(agent.get_by_role("heading", name="Inbox")).to_be_visible()

    which = uuid4().hex[:6]
    customer = complain(browser.new_context(), product, f"{COMPLAINT} It is the {which}.")
    chat = customer.locator("aiaas-chat")
    waiting = agent.get_by_role("link", name=re.compile(which))
    expect(waiting).to_be_visible()  # by itself
    press = agent.keyboard.press
    for _ in range(agent.locator(".queue-list a").count()):  # who waits longest comes first
        press("j")
    expect(waiting).to_be_focused()
    press("Enter")
    expect(agent.get_by_role("heading", name=re.compile(which))).to_be_focused()
    expect(agent.get_by_role("button", name="Claim")).to_be_visible()
    press("c")
    reply = agent.get_by_label("Reply", exact=True)
    expect(reply).to_be_focused()
    expect(chat.get_by_text("You are talking to our team")).to_be_visible()

    type_until_seen(customer, agent, "Hello?")
    customer.keyboard.press("Enter")
    expect(agent.get_by_role("log").get_by_text("Hello?")).to_have_count(1)

    press("Escape")
    press("n")
    agent.keyboard.type("Send a new one with express.")
    press("Control+Enter")
    expect(agent.get_by_role("log").get_by_text("Send a new one")).to_be_visible()
    press("Escape")
    press("r")
    agent.keyboard.type("I am sorry! A new lantern leaves today.")
    picture(agent, "inbox")
    press("Control+Enter")
    expect(chat.get_by_text("A new lantern leaves today")).to_be_visible()
    expect(reply).to_be_focused()
    expect(reply).to_have_value("")
    assert customer.get_by_text("express").count() == 0

    press("Escape")
    press("e")
    agent.keyboard.type("Replacement sent")
    press("Control+Enter")
    expect(agent.get_by_text("Replacement sent")).to_be_visible()
    customer.get_by_role("button", name="5 of 5").or_(chat.locator(".rating button").last).first.click()
    expect(chat.get_by_text(re.compile("Thank", re.IGNORECASE)).first).to_be_visible()
    agent.reload()
    expect(agent.get_by_text("rated 5 of 5")).to_be_visible()
    assert agent.evaluate("window.__kept.violations") == []
    assert heard == []


def test_an_agent_on_a_phone(browser: Browser, product: Product):
    complain(browser.new_context(), product, "I am furious about my broken order, this is a complaint!")
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    agent = log_in(context, product)
    heard = complaints_of(agent)
    agent.goto(f"{product.url}/app/inbox/?show=unclaimed")
    waiting = agent.get_by_role("link", name=re.compile("furious"))
    expect(agent.locator("#panel")).to_be_hidden()
    waiting.tap()
    expect(waiting).to_be_hidden()  # list and conversation are separate views
    agent.get_by_role("button", name="Claim").tap()
    expect(agent.get_by_text("you have it")).to_be_visible()
    agent.get_by_label("Reply", exact=True).fill("We will make it right.")
    picture(agent, "inbox-phone")
    agent.get_by_role("button", name="Send").tap()
    expect(agent.get_by_role("log").get_by_text("We will make it right.")).to_be_visible()
    wide = agent.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0
    agent.get_by_role("link", name="Back to the queue").tap()
    expect(agent.get_by_role("link", name=re.compile("^Unclaimed"))).to_be_visible()
    assert heard == []


def test_a_correction_is_learnt_compared_and_used(browser: Browser, product: Product):
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.add_init_script(BOOKKEEPING)
    agent = log_in(context, product, LAMPS_OWNER)
    heard = complaints_of(agent)
    row = agent.get_by_role("row").filter(has_text=UNHEARD)

    def is_listed() -> bool:
        agent.goto(f"{product.url}/app/router/decisions/")
        return row.count() == 1

    wait_for(is_listed, "the question is routed and answered")
    row.get_by_label("Should have been").select_option("order_change")
    row.get_by_role("button", name="Correct").click()
    expect(row.get_by_text("corrected to order_change")).to_be_visible()

    agent.get_by_role("link", name="Intents and examples").click()
    agent.get_by_label("Name").and_(agent.get_by_role("textbox")).fill("engraving")
    agent.get_by_label("Examples, one a line").fill("\n".join(ENGRAVINGS))
    agent.get_by_role("button", name="Add", exact=True).click()
    expect(agent.get_by_role("heading", name="engraving")).to_be_visible()

    agent.get_by_role("link", name="Router").click()
    expect(agent.get_by_text("7 examples changed")).to_be_visible()
    agent.get_by_role("button", name="Train a candidate").click()
    better = agent.get_by_role("heading", name="Better on")
    expect(better).to_be_visible(timeout=4 * PATIENCE_MS)  # by itself
    picture(agent, "router")
    agent.get_by_role("button", name="Use this model").click()
    expect(agent.get_by_text("v1 routes from now on.")).to_be_visible()
    agent.get_by_label("What would a customer write?").fill(UNHEARD)
    agent.keyboard.press("Enter")
    expect(agent.locator(".decision").get_by_text("order_change")).to_be_visible()
    expect(agent.get_by_text("Routed by").locator("xpath=following-sibling::dd[1]")).to_contain_text("v1")
    agent.get_by_role("button", name="Undo").click()
    expect(agent.get_by_text("The shipped model routes again.")).to_be_visible()
    assert agent.evaluate("window.__kept.violations") == []
    assert heard == []


def test_two_colleagues_and_a_customer_who_writes_meanwhile(browser: Browser, product: Product):
    which = uuid4().hex[:6]
    customer = complain(browser.new_context(), product, f"{COMPLAINT} Mine is the {which}.")
    first, second = (log_in(browser.new_context(), product, email) for email in (OWNER, COLLEAGUE))
    for page in (first, second):
        page.goto(f"{product.url}/app/inbox/")
        page.get_by_role("link", name=re.compile(which)).click()
    expect(first.get_by_text("Cora Colleague is viewing this")).to_be_visible()
    first.get_by_role("button", name="Claim").click()
    expect(second.get_by_text("Olga Owner has it")).to_be_visible()
    reply = first.get_by_label("Reply", exact=True)
    save_note_late(first, "Ask the workshop", meanwhile=lambda: reply.press_sequentially("We look into it."))
    expect(reply).to_be_focused()
    expect(reply).to_have_value("We look into it.")

    first.evaluate(DEAFEN)  # what comes from here on is not shown in time
    customer.get_by_label("Write a message").fill("Found it, forget it!")
    customer.keyboard.press("Enter")
    expect(second.get_by_role("log").get_by_text("Found it, forget it!")).to_be_visible()
    first.get_by_role("button", name="Send").click()
    expect(first.get_by_text("The customer wrote meanwhile: “Found it, forget it!”")).to_be_visible()
    expect(reply).to_have_value("We look into it.")

    second.get_by_role("button", name="Take over").click()
    expect(second.get_by_text("You took this over from Olga Owner.")).to_be_visible()
    second.get_by_label("Reply", exact=True).fill("Good to hear!")
    second.get_by_role("button", name="Send").click()
    expect(customer.locator("aiaas-chat").get_by_text("Good to hear!")).to_be_visible()
    second.get_by_role("button", name="Hand back to the AI").click()
    second.get_by_role("button", name="Hand back", exact=True).click()
    expect(customer.locator("aiaas-chat").get_by_text("Our assistant goes on from here.")).to_be_visible()
    customer.get_by_label("Write a message").fill("May I return a pot?")
    customer.keyboard.press("Enter")
    expect(customer.locator("aiaas-chat").locator(".thread .msg.ai")).to_have_count(3)
    assert customer.get_by_text("We look into it.").count() == 0
