"""A first day: from signing up to a cited answer, an import that fails first, a workflow mended."""

import io
import os
import re
import time
import uuid
from pathlib import Path

import pytest
from django.conf import settings
from playwright.sync_api import Browser, Page, expect
from reportlab.pdfgen.canvas import Canvas

from tests.journeys.conftest import FULL_OWNER, PATIENCE_MS, log_in
from tests.product import Product

pytestmark = [pytest.mark.journey, pytest.mark.browser]
PICTURES = Path(settings.ROOT) / "docs" / "pictures"
FACT = "The Lighthouse lamp is guaranteed for eleven years."
WORKFLOW = """name: "greeting"
version: "1.0"
description: "Look up and answer"

triggers:
  - type: "api"

# What is looked up is cited.
steps:
  - id: "find"
    type: "tool"
    tool: "faq_serch"

  - id: "reply"
    type: "llm"
"""


def picture(page: Page, name: str) -> None:
    """Keep a picture for the docs, when asked to."""
    if os.environ.get("SCREENSHOTS"):
        PICTURES.mkdir(exist_ok=True)
        page.screenshot(path=PICTURES / f"{name}.png")


def make_pdf(text: str) -> bytes:
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    canvas.drawString(72, 720, text)
    canvas.save()
    return buffer.getvalue()


def new_page(browser: Browser) -> Page:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    return page


def test_from_signing_up_to_a_cited_answer(browser: Browser, product: Product):
    page, started = new_page(browser), time.monotonic()
    page.goto(f"{product.url}/accounts/signup/")
    page.get_by_label("Email").fill(f"nora-{uuid.uuid4().hex[:6]}@new.example")
    page.get_by_label("Password", exact=True).fill("a long enough password")
    page.get_by_label("Company name").fill("Lighthouse Lamps")
    picture(page, "sign-up")
    page.get_by_role("button", name="Create the account").click()
    expect(page.get_by_role("heading", name="First steps")).to_be_visible()
    expect(page.get_by_text("0 of 4 done")).to_be_visible()
    picture(page, "first-steps")

    page.get_by_role("link", name="Add knowledge").click()
    pdf = {"name": "guarantee.pdf", "mimeType": "application/pdf", "buffer": make_pdf(FACT)}
    page.get_by_label("Files").set_input_files(pdf)
    row = page.get_by_role("row").filter(has_text="guarantee")
    expect(row.get_by_text("Ready")).to_be_visible()
    picture(page, "knowledge")

    page.goto(f"{product.url}/app/try/")
    page.get_by_role("button", name="Open chat").click()
    page.get_by_label("Write a message").fill("How long is the Lighthouse lamp guaranteed?")
    page.keyboard.press("Enter")
    chat = page.locator("aiaas-chat")
    expect(chat.locator(".thread .msg.ai").last).to_contain_text("eleven years")
    chat.get_by_text(re.compile(r"Sources \(\d\)")).last.click()
    expect(chat.locator("li blockquote").last).to_contain_text("eleven years")
    assert time.monotonic() - started < 60
    picture(page, "first-answer")
    page.goto(f"{product.url}/app/first-steps/")
    expect(page.get_by_text("2 of 4 done")).to_be_visible()


def test_a_wrong_order_csv_is_mended_and_an_order_undone(browser: Browser, product: Product):
    page = log_in(browser.new_context(), product)
    page.goto(f"{product.url}/app/orders/import/")

    def send(text: str) -> None:
        page.get_by_label("CSV file").set_input_files(
            {"name": "orders.csv", "mimeType": "text/csv", "buffer": text.encode()}
        )
        page.get_by_role("button", name="Import").click()

    send("number,customer_email,total_cents\n9001,ada@x.example,1200\n9002,nobody,300\n")
    expect(page.get_by_role("heading", name="Rows to mend")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="customer_email")).to_contain_text("3")
    picture(page, "order-import")
    send("number,customer_email,total_cents\n9001,ada@x.example,1200\n9002,bea@x.example,300\n")
    expect(page.get_by_text("2 orders imported")).to_be_visible()
    page.get_by_role("link", name="9001").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Order 9001 is cancelled.")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Order 9001 is reinstated.")).to_be_visible()
    picture(page, "order")


def test_a_workflow_is_mended_published_and_rolled_back(browser: Browser, product: Product):
    page = log_in(browser.new_context(), product)
    page.goto(f"{product.url}/app/workflows/new/")
    editor = page.get_by_label("YAML")
    wrong = WORKFLOW.split("\n").index('    tool: "faq_serch"') + 1
    assert wrong == 12
    editor.fill(WORKFLOW)
    line = page.get_by_role("button", name="Line 12")
    expect(line).to_be_visible()
    picture(page, "workflow-error")
    line.click()
    expect(editor).to_be_focused()
    assert "faq_serch" in page.evaluate("getSelection().toString()")
    editor.fill(WORKFLOW.replace("faq_serch", "faq_search"))
    expect(page.get_by_text("No problem found")).to_be_visible()
    for number, words in (("1", "Look up and answer"), ("2", "Look it up and answer")):
        editor.fill(WORKFLOW.replace("faq_serch", "faq_search").replace("Look up and answer", words))
        page.get_by_role("button", name="Save the draft").click()
        page.get_by_role("button", name="Publish the draft").click()
        expect(page.get_by_text(f"Version {number} is published")).to_be_visible()
        if number == "1":
            page.get_by_role("link", name="Editor").click()
    expect(page.locator(".diff .added, .diff .removed").first).to_be_visible()
    picture(page, "workflow-versions")
    page.get_by_role("button", name="Roll back to version 1").click()
    expect(page.get_by_text("Version 1 is published")).to_be_visible()


def test_a_spent_quota_is_told_to_the_team_and_to_customers(browser: Browser, product: Product):
    page = log_in(browser.new_context(), product, FULL_OWNER)
    page.goto(f"{product.url}/app/usage/")
    expect(page.get_by_role("main")).to_contain_text("2,000")
    picture(page, "usage")
    page.goto(f"{product.url}/app/try/")
    page.get_by_role("button", name="Open chat").click()
    page.get_by_label("Write a message").fill("Hello?")
    page.keyboard.press("Enter")
    expect(page.locator("aiaas-chat")).to_contain_text("cannot take more messages")
