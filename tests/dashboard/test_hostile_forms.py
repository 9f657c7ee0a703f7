"""Every form of the dashboard with wrong, hostile and huge input: a 4xx with a message, never a 500.

The forms are found by reading the pages, so a form written next year is attacked too.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from bs4 import BeautifulSoup, Tag
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from apps.tenants.contracts import TenantRef
from tests.isolation.test_pages import PAGES, address
from tests.pages import log_in

VALUES = {
    "empty": "",
    "nul": "a\x00b",
    "huge": "x" * 1_000_000,
    "script": "<script>alert(1)</script>",
    "sql": "x' OR 1=1; --",
    "negative": "-1",
    "not a number": "NaN",
    "enormous number": "9" * 40,
    "unicode": "\u202e\ud7ff\U0001f4a9 é",
    "not a date": "2026-02-30",
    "a foreign id": "00000000-0000-7000-8000-000000000000",
}
FILES = {
    "empty": b"",
    "nul": b"\x00" * 100,
    "huge": b"x" * 1_000_000,
    "script": b"<script>alert(1)</script>",
    "not a number": b"%PDF-1.7 broken",
    "unicode": "\ufeffé;\U0001f4a9".encode("utf-16"),
    "sql": b"PK\x03\x04 not a zip",
}
# Buttons that carry no field of their own cannot be told apart by what they are sent.
IGNORED_TYPES = {"submit", "button", "reset", "image"}


@dataclass(frozen=True)
class Form:
    action: str
    method: str
    values: dict[str, str]
    files: set[str]
    open_fields: set[str] = field(default_factory=set)


def forms_of(html: str, url: str) -> Iterator[Form]:
    soup = BeautifulSoup(html, "html.parser")
    for form in soup.select("main form"):
        yield read_form(form, url)


def read_form(form: Tag, url: str) -> Form:
    controls = [c for c in form.select("[name]") if c.name in ("input", "select", "textarea")]
    values, files = {}, set()
    for control in controls:
        kind = control.get("type", "")
        if kind == "file":
            files.add(control["name"])
        elif kind not in IGNORED_TYPES and control["name"] != "csrfmiddlewaretoken":
            values[control["name"]] = present_value(control)
    posts = form.get("hx-post") or (form.get("method", "get").lower() == "post" and form.get("action"))
    target = form.get("hx-post") or form.get("action") or form.get("hx-get") or url
    is_post = bool(posts) or form.get("method", "get").lower() == "post"
    return Form(target or url, "post" if is_post else "get", values, files, set(values))


def present_value(control: Tag) -> str:
    if control.name == "textarea":
        return control.text
    if control.name == "select":
        chosen = control.select_one("option[selected]") or control.select_one("option")
        return chosen.get("value", chosen.text) if chosen else ""
    return control.get("value", "")


def attack(client: Client, form: Form, name: str, value: str) -> int:
    sent = {**form.values, name: value}
    return getattr(client, form.method)(form.action, sent).status_code


@pytest.mark.parametrize(
    "route", sorted(r for r in PAGES if "<" not in r) + sorted(r for r in PAGES if "<" in r)
)
def test_no_form_breaks(acme: TenantRef, valkey: object, route: str):
    client = log_in(acme)
    page = client.get(address(route, acme))
    if page.status_code != 200 or "text/html" not in page.headers["Content-Type"]:
        return
    for form in forms_of(page.content.decode(), page.wsgi_request.get_full_path()):
        for name in sorted(form.open_fields):
            for label, value in VALUES.items():
                status = attack(client, form, name, value)
                assert status < 500, f"{form.method} {form.action} {name} {label}: {status}"
        for name in sorted(form.files):
            for label, content in FILES.items():
                file = SimpleUploadedFile(f"../{label}\u202e.csv", content, "text/csv")
                status = client.post(form.action, {**form.values, name: file}).status_code
                assert status < 500, f"{form.action} {name} {label}: {status}"


@pytest.mark.parametrize("route", sorted(r for r in PAGES if "<" not in r))
def test_no_query_breaks(acme: TenantRef, valkey: object, route: str):
    client = log_in(acme)
    page = client.get(address(route, acme))
    if page.status_code != 200 or "text/html" not in page.headers["Content-Type"]:
        return
    forms = [f for f in forms_of(page.content.decode(), f"/{route}") if f.method == "get"]
    names = {"cursor", "q", "from", "to", "start", "end", "status", "page"} | {
        n for f in forms for n in f.values
    }
    for name in sorted(names):
        for label, value in VALUES.items():
            short = value[:3000]
            status = client.get(f"/{route}", {name: short}).status_code
            assert status < 500, f"{route}?{name}= {label}: {status}"
