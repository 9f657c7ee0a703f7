"""A visitor of the demo shop and the chat widget, in a real browser."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.product import Product, wait_for

pytestmark = [pytest.mark.journey, pytest.mark.browser]
RETURNS = "How long do I have to return an item?"
ORDER = "Where is my order 1042?"


def open_shop(page: Page, product: Product, query: str = "") -> Locator:
    page.goto(f"{product.url}/demo/shop/{query}")
    expect(page.get_by_role("button", name="Open chat")).to_be_visible()
    return page.locator("aiaas-chat")


def answers(chat: Locator) -> Locator:
    return chat.locator(".thread .msg.ai")  # the first one is the greeting


def say(page: Page, text: str) -> None:
    page.get_by_label("Write a message").fill(text)
    page.keyboard.press("Enter")


def test_a_question_is_answered_with_its_sources_and_survives_reload_and_restart(
    page: Page, product: Product
):
    chat = open_shop(page, product)
    page.get_by_role("button", name=RETURNS).click()
    expect(answers(chat)).to_have_count(2)
    expect(answers(chat).last).to_contain_text("30 days")
    chat.get_by_text(re.compile(r"Sources \(\d\)")).click()
    expect(chat.locator("li blockquote").first).to_contain_text("30 days from delivery")

    page.reload()
    expect(answers(chat)).to_have_count(2)
    expect(chat.get_by_text(RETURNS)).to_have_count(1)

    product.kill("realtime")
    expect(chat.get_by_text("Connection lost")).to_be_visible()
    say(page, ORDER)
    expect(chat.get_by_text("Sending…")).to_be_visible()
    product.start("realtime")
    expect(answers(chat)).to_have_count(3)
    expect(answers(chat).last).to_contain_text("1042")
    expect(answers(chat).last).to_contain_text(re.compile("shipped|on its way", re.IGNORECASE))
    expect(chat.get_by_text("Sending…")).to_have_count(0)
    authors = chat.locator(".thread .msg").evaluate_all("all => all.map((each) => each.classList[1])")
    assert authors == ["ai", "customer", "ai", "customer", "ai"]


def test_the_keyboard_is_enough_and_destroy_leaves_nothing(page: Page, product: Product):
    chat = open_shop(page, product, "?guest")
    launcher = page.get_by_role("button", name="Open chat")
    launcher.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Write a message")).to_be_focused()
    for _ in range(12):  # the focus stays inside
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.tagName") == "AIAAS-CHAT"
    page.get_by_label("Write a message").focus()
    page.keyboard.type("first")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("second")
    page.keyboard.press("Enter")
    expect(chat.locator(".msg.customer")).to_contain_text("first\nsecond")
    page.keyboard.press("Escape")
    expect(launcher).to_be_focused()
    expect(launcher).to_have_attribute("aria-expanded", "false")

    page.evaluate("window.AIaaSWidget.destroy()")
    expect(page.locator("aiaas-chat")).to_have_count(0)
    wait_for(lambda: page.evaluate("window.__kept.sockets.size") == 0, "the socket is closed")
    left = page.evaluate(
        "({ timers: __kept.timers.size, listeners: [...__kept.listeners.values()], api: typeof AIaaSWidget })"
    )
    assert left == {"timers": 0, "listeners": [], "api": "undefined"}


def test_what_is_written_is_never_markup(page: Page, product: Product):
    chat = open_shop(page, product, "?guest")
    page.get_by_role("button", name="Open chat").click()
    say(page, "<img src=x onerror=window.hacked=1> javascript:alert(1) https://example.com/a?b=1")
    expect(chat.locator(".msg.customer .text")).to_contain_text("<img src=x")
    assert chat.locator(".msg.customer img").count() == 0
    links = chat.locator(".msg.customer a").evaluate_all("all => all.map((each) => each.href)")
    assert links == ["https://example.com/a?b=1"]
    assert page.evaluate("window.hacked") is None


def test_a_page_may_mount_update_and_remount(page: Page, product: Product):
    open_shop(page, product, "?guest")
    page.evaluate(
        "window.w = AIaaSWidget; w.update({ lang: 'de', title: 'Hilfe', color: '#884400' }); w.open()"
    )
    expect(page.get_by_role("heading", name="Hilfe")).to_be_visible()
    expect(page.get_by_label("Nachricht schreiben")).to_be_visible()
    page.evaluate("w.mount({ key: 'wk_wrong', lang: 'fr' }); w.open()")
    expect(page.get_by_text("pas disponible")).to_be_visible()
    assert page.locator("aiaas-chat").count() == 1
