"""The pages of channels: what is saved, what is refused, and what nobody gets to see."""

import re

import pytest
from bs4 import BeautifulSoup
from django.test import Client

from apps.realtime import sightings
from apps.realtime.valkey import client as valkey_client
from apps.realtime.widget_settings.contracts import WidgetSettings, load_settings
from apps.tenants.contracts import Role, TenantRef
from apps.tenants.selectors import get_widget_key, list_audit_events, resolve_widget_key
from apps.tenants.services import create_widget_key, update_widget_key
from tests.dashboard.test_hostile_forms import forms_of
from tests.pages import log_in

HOURS = dict.fromkeys(("monday", "tuesday", "wednesday", "thursday", "friday"), "09:00-17:00")


@pytest.fixture(autouse=True)
def _valkey(valkey: object) -> None:
    valkey_client.cache_clear()
    sightings._noted.clear()


def url_of(tenant: TenantRef, section: str = "") -> str:
    return f"/app/channels/widgets/{get_widget_key(tenant=tenant).key}/{section}"


def settings_of(tenant: TenantRef) -> WidgetSettings:
    return load_settings(get_widget_key(tenant=tenant).settings)


def filled(client: Client, url: str) -> dict[str, str]:
    """Return what a browser would send of the page's form as it is."""
    soup = BeautifulSoup(client.get(url).content, "html.parser")
    sent: dict[str, list[str]] = {}
    for control in soup.select("#widget-form [name]:not([type=submit])"):
        if control.get("type") in ("checkbox", "radio") and not control.has_attr("checked"):
            continue
        options = control.select("option[selected]") if control.name == "select" else [control]
        blank = "on" if control.get("type") == "checkbox" else ""
        value = control.text.strip() if control.name == "textarea" else options[0].get("value", blank)
        sent.setdefault(control["name"], []).append(value)
    return {name: values if len(values) > 1 else values[0] for name, values in sent.items()}


@pytest.mark.parametrize(
    ("section", "given", "kept"),
    [
        ("", {"color": "#3949ab", "icon": "smile"}, {"color": "#3949ab", "icon": "smile"}),
        (
            "texts/?lang=de",
            {"title": "Hilfe", "languages": ["de", "en"], "default_language": "de"},
            {"texts": {"de": {"title": "Hilfe"}}, "languages": ("en", "de"), "default_language": "de"},
        ),
        (
            "hours/",
            {**HOURS, "has_hours": "on", "closed_dates": "2026-12-25\r\n2026-12-26", "outside_hours": "form"},
            {
                "has_hours": True, "hours": (*HOURS.values(), "", ""), "outside_hours": "form",
                "closed_dates": ("2026-12-25", "2026-12-26"),
            },
        ),
        (
            "forms/",
            {"prechat": "name_email", "required": ["email"], "ask_consent": "on", "rating": "on"},
            {"prechat": "name_email", "required": ("email",), "ask_consent": True, "rating": True},
        ),
        (
            "limits/",
            {"messages_per_minute": "5", "address_messages_per_minute": "50"},
            {"messages_per_minute": 5, "address_messages_per_minute": 50},
        ),
    ],
)  # fmt: skip
def test_each_section_saves_its_own_and_nothing_else(acme: TenantRef, section, given, kept):
    client, url = log_in(acme), url_of(acme, section)
    answer = client.post(url, {**filled(client, url), **given})
    assert answer.status_code == 302, BeautifulSoup(answer.content, "html.parser").select(".errorlist")
    after = settings_of(acme)
    assert {name: getattr(after, name) for name in kept} == kept
    assert set(after.stored()) <= set(kept)
    audit = list_audit_events(tenant=acme)[0]
    assert (audit.action, audit.target) == ("widget.changed", get_widget_key(tenant=acme).key)
    assert audit.actor.startswith("owner-")


@pytest.mark.parametrize("section", ["", "texts/", "hours/", "forms/", "limits/", "general/"])
def test_saving_what_is_shown_changes_nothing(acme: TenantRef, section: str):
    client, url = log_in(acme), url_of(acme, section)
    assert client.post(url, filled(client, url)).status_code == 302
    assert get_widget_key(tenant=acme).version == 0


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("", "color", "red"),
        ("", "color", "#00000000"),
        ("", "theme", "neon"),
        ("texts/", "languages", []),
        ("texts/", "default_language", "xx"),
        ("texts/", "title", "x" * 61),
        ("texts/", "greeting", "a\x00b"),
        ("hours/", "tuesday", "9-17"),
        ("hours/", "closed_dates", "tomorrow"),
        ("hours/", "has_hours", "on"),
        ("forms/", "prechat", "all"),
        ("forms/", "required", ["phone"]),
        *(("limits/", "messages_per_minute", value) for value in ("", "0", "-1", "601", "1.5", "NaN")),
        ("limits/", "address_openings_per_minute", "10001"),
        ("general/", "name", " "),
        ("general/", "allowed_origins", "https://shop.example\nnot a domain"),
    ],
)
def test_wrong_input_is_told_at_the_field_and_changes_nothing(acme: TenantRef, section, field, value):
    client, url = log_in(acme), url_of(acme, section)
    before = get_widget_key(tenant=acme)
    answer = client.post(url, {**filled(client, url), field: value})
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]
    assert get_widget_key(tenant=acme) == before


def test_white_text_on_yellow_is_refused_at_the_colour(acme: TenantRef):
    client, url = log_in(acme), url_of(acme)
    answer = client.post(url, {**filled(client, url), "color": "#ffee00", "text_color": "light"})
    assert answer.status_code == 422
    assert "contrast of 1.2 to 1" in answer.context["form"].errors["color"][0]


def test_domains_are_kept_in_one_form(acme: TenantRef):
    client, url = log_in(acme), url_of(acme, "general/")
    assert b"Every website may show this widget" in client.get(url).content
    lines = "shop.example\r\n\r\nHTTPS://Shop.Example/cart\r\nhttp://localhost:3000"
    client.post(url, {**filled(client, url), "name": "Shop", "allowed_origins": lines})
    assert get_widget_key(tenant=acme).allowed_origins == ("https://shop.example", "http://localhost:3000")
    assert b"Every website may show this widget" not in client.get(url).content


def test_a_second_editor_is_told_and_may_then_decide(acme: TenantRef):
    first, second, url = log_in(acme), log_in(acme), url_of(acme)
    stale = {**filled(second, url), "color": "#884400"}
    first.post(url, {**filled(first, url), "color": "#3949ab"})
    answer = second.post(url, stale)
    assert answer.status_code == 422
    assert "has changed this widget meanwhile" in answer.content.decode()
    assert settings_of(acme).color == "#3949ab"
    kept = next(forms_of(answer.content.decode(), url)).values
    assert (kept["color"], kept["version"]) == ("#884400", "1")
    assert second.post(url, {**stale, "version": kept["version"]}).status_code == 302
    assert settings_of(acme).color == "#884400"


def test_text_of_a_company_is_never_markup(acme: TenantRef):
    client, url = log_in(acme), url_of(acme, "texts/")
    evil = "</script><script>alert(1)</script>'\"><img src=x onerror=alert(1)>"
    given = {**filled(client, url), "greeting": evil}
    assert client.post(url, given).status_code == 302
    for section in ("", "texts/"):
        page = client.get(url_of(acme, section)).content.decode()
        assert "<script>alert" not in page
        assert "<img src=x" not in page


def test_a_new_widget_is_made_switched_off_and_on_again(acme: TenantRef):
    client = log_in(acme)
    made = client.post("/app/channels/", {"name": "Help pages"})
    key = re.search(r"wk_\w+", made.headers["Location"])[0]
    assert resolve_widget_key(key) is not None
    assert client.post(f"/app/channels/widgets/{key}/switch/?to=off").status_code == 302
    assert resolve_widget_key(key) is None
    page = client.get("/app/channels/").content.decode()
    undo = re.search(r'action="(/app/channels/widgets/\w+/switch/\?to=on)"', page)[1]
    client.post(undo)
    assert resolve_widget_key(key) is not None
    actions = [event.action for event in list_audit_events(tenant=acme)][:3]
    assert actions == ["widget.activated", "widget.deactivated", "widget.created"]


def test_with_every_widget_off_the_first_steps_still_open(acme: TenantRef):
    client = log_in(acme)
    client.post(f"{url_of(acme)}switch/?to=off")
    assert client.get("/app/first-steps/").status_code == 200


def test_the_snippet_names_the_key_and_the_policy_needs_no_more(acme: TenantRef, settings):
    settings.PUBLIC_URL, settings.REALTIME_URL = "https://our.example/", "wss://chat.our.example"
    page = log_in(acme).get(url_of(acme, "install/"))
    key = get_widget_key(tenant=acme).key
    tag = f'<script src="https://our.example/widget.js?key={key}" data-key="{key}" async></script>'
    soup = BeautifulSoup(page.content, "html.parser")
    assert soup.select_one("#snippet").text == tag
    assert soup.select_one("#policy").text == (
        "script-src https://our.example; connect-src wss://chat.our.example"
    )


def test_the_secret_is_shown_once(acme: TenantRef):
    client, secret = log_in(acme), get_widget_key(tenant=acme).identity_secret
    assert secret not in client.get(url_of(acme, "install/")).content.decode()
    shown = client.post(url_of(acme, "secret/show/"))
    assert secret in shown.content.decode()
    assert "no-store" in shown["Cache-Control"]
    assert client.post(url_of(acme, "secret/show/")).status_code == 409
    assert secret not in client.get(url_of(acme, "install/")).content.decode()


def test_a_new_secret_is_made_once_for_one_press(acme: TenantRef):
    client = log_in(acme)
    given = {"secret_version": "0", "overlap_s": "3600"}
    page = client.post(url_of(acme, "secret/rotate/"), given).content.decode()
    secret = get_widget_key(tenant=acme).identity_secret
    assert secret in page
    assert client.post(url_of(acme, "secret/rotate/"), given).status_code == 409
    assert get_widget_key(tenant=acme).identity_secret == secret
    for wrong in ({"overlap_s": "-1"}, {"overlap_s": "1e9"}, {"secret_version": "x"}):
        answer = client.post(url_of(acme, "secret/rotate/"), {**given, "secret_version": "1", **wrong})
        assert answer.status_code == 422


def test_a_refused_page_is_seen_and_allowed(acme: TenantRef):
    client, key = log_in(acme), get_widget_key(tenant=acme)
    update_widget_key(tenant=acme, key=key.key, version=0, actor="x", allowed_origins=["shop.example"])
    seen = {"tenant_id": acme.id, "key": key.key}
    sightings.note_sighting(**seen, origin="https://shop.example", is_allowed=True)
    sightings.note_sighting(**seen, origin="https://blog.example", is_allowed=False)
    page = client.get(url_of(acme, "install/")).content.decode()
    assert page.index("https://shop.example") < page.index("https://blog.example")
    answer = client.post(url_of(acme, "allow/"), {"origin": "https://blog.example"})
    assert answer.status_code == 302
    assert get_widget_key(tenant=acme).allowed_origins == ("https://shop.example", "https://blog.example")
    assert list(client.get(url_of(acme, "install/")).context["refused"]) == []
    assert client.post(url_of(acme, "allow/"), {"origin": "<script>"}).status_code == 400


def test_strangers_cannot_flood_the_sightings(acme: TenantRef):
    seen = {"tenant_id": acme.id, "key": "wk_1", "is_allowed": False}
    for number in range(60):
        sightings.note_sighting(**seen, origin=f"https://{number}.example")
    for nonsense in ("null", "://", "javascript:alert(1)", "https://x.example/<b>", "https://" + "x" * 300):
        sightings.note_sighting(**seen, origin=nonsense)
    kept = sightings.list_sightings(**seen)
    assert len(kept) == sightings.KEPT_ORIGINS
    assert kept[0].origin == "https://59.example"


def test_without_valkey_the_page_says_less(acme: TenantRef, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    valkey_client.cache_clear()
    sightings.note_sighting(tenant_id=acme.id, key="wk_1", origin="https://x.example", is_allowed=True)
    assert log_in(acme).get(url_of(acme, "install/")).status_code == 200
    valkey_client.cache_clear()


def test_a_viewer_looks_and_an_agent_gets_no_secret(acme: TenantRef):
    for role in (Role.VIEWER, Role.AGENT):
        client = log_in(acme, role)
        assert b">Save<" not in client.get(url_of(acme)).content
        assert b"new secret" not in client.get(url_of(acme, "install/")).content
        assert client.post(url_of(acme, "secret/show/")).status_code == 403


def test_tabs_are_those_whose_pages_are_there(acme: TenantRef):
    tabs = BeautifulSoup(log_in(acme).get("/app/channels/").content, "html.parser").select(".tabs a")
    links = {tab.text: tab["href"] for tab in tabs}
    assert links["Chat widgets"] == "/app/channels/"
    assert links["API keys"] == "/app/api-keys/"
    viewer = log_in(acme, Role.VIEWER).get("/app/channels/")
    assert b"/app/api-keys/" not in BeautifulSoup(viewer.content, "html.parser").select_one("main").encode()


def test_another_company_finds_no_widget(acme: TenantRef, globex: TenantRef):
    stranger = log_in(globex)
    for section in ("", "texts/", "general/", "hours/", "forms/", "limits/", "install/"):
        assert stranger.get(url_of(acme, section)).status_code == 404
    assert get_widget_key(tenant=acme).key.encode() not in stranger.get("/app/channels/").content


def test_the_list_asks_as_little_for_fifty_widgets_as_for_one(acme: TenantRef, django_assert_max_num_queries):
    for number in range(55):
        create_widget_key(tenant=acme, name=f"Site {number}")
    client = log_in(acme)
    client.get("/app/channels/")
    with django_assert_max_num_queries(7):
        page = client.get("/app/channels/").context["page"]
    assert len(page.items) == 50
    assert len(client.get("/app/channels/", {"cursor": page.next_cursor}).context["page"].items) == 6
