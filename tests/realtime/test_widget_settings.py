"""What a company may set, what is refused at the field, and what a visitor's browser gets to know."""

import contextlib
import datetime as dt
import json

import pytest
from django.db import DatabaseError
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from apps.realtime.pages import script
from apps.realtime.widget_settings.colours import READABLE, contrast, text_on
from apps.realtime.widget_settings.contracts import LANGUAGES, TEXTS, WidgetSettings, load_settings
from apps.realtime.widget_settings.hours import clean_day, next_opening
from apps.realtime.widget_settings.selectors import find_widget
from apps.realtime.widget_settings.services import update_widget_settings
from apps.realtime.widget_settings.texts import read_texts
from apps.realtime.widget_settings.validation import RULES, change_settings
from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.tenants.origins import clean_origin
from apps.tenants.selectors import forget_widget_key, get_widget_key, list_audit_events
from apps.tenants.services import (
    allow_widget_origin,
    reveal_identity_secret,
    rotate_identity_secret,
    set_widget_key_active,
    update_widget_key,
)

BERLIN = "Europe/Berlin"
WEEK = ("09:00-12:00, 13:00-17:00",) * 5 + ("", "")
OPEN = WidgetSettings(has_hours=True, hours=WEEK, closed_dates=("2026-12-25",))

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def change(tenant, **changes: object) -> WidgetSettings:
    key = get_widget_key(tenant=tenant)
    return update_widget_settings(
        tenant=tenant, key=key.key, version=key.version, actor="olga@x.example", changes=changes
    )


# -- the values


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("color", " #ABC ", "#aabbcc"),
        ("languages", ["fr", "en"], ("en", "fr")),
        ("texts", {"en": {"title": " Help\r\n", "greeting": ""}}, {"en": {"title": "Help"}}),
        ("hours", ["9:00 \u2013 17.30", *[""] * 6], ("09:00-17:30", *[""] * 6)),
        ("hours", ["22:00-24:00", "00:00-02:00", *[""] * 5], ("22:00-24:00", "00:00-02:00", *[""] * 5)),
        ("closed_dates", ["2026-12-26", "", "2026-12-25"], ("2026-12-25", "2026-12-26")),
        ("required", ["email"], ("email",)),
    ],
)
def test_what_may_be_set_is_kept_in_one_form(name, value, kept):
    settings = change_settings(WidgetSettings(), {name: value})
    assert getattr(settings, name) == kept
    assert load_settings(json.loads(json.dumps(settings.stored()))) == settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("colour", "#000000"),
        ("color", "red"),
        ("color", "#0f5c5c; } * { display: none"),
        ("color", None),
        ("theme", "neon"),
        ("position", ["right"]),
        ("icon", "<svg>"),
        ("languages", []),
        ("languages", "en"),
        ("languages", ["en", "xx"]),
        ("default_language", "xx"),
        ("texts", {"xx": {}}),
        ("texts", {"en": {"subtitle": "x"}}),
        ("texts", {"en": {"title": "x" * 61}}),
        ("texts", {"en": {"title": "a\x00b"}}),
        ("texts", {"en": {"title": 7}}),
        ("texts", ["en"]),
        ("hours", ["09:00-17:00"] * 6),
        ("hours", ["17:00-09:00", *[""] * 6]),
        ("hours", ["09:00-25:00", *[""] * 6]),
        ("hours", ["23:00-24:30", *[""] * 6]),
        ("hours", ["09:00-12:00, 11:00-13:00", *[""] * 6]),
        ("hours", ["all day", *[""] * 6]),
        ("has_hours", True),  # of a week without any
        ("has_hours", "yes"),
        ("closed_dates", ["2026-02-30"]),
        ("closed_dates", [f"2026-{m:02}-{d:02}" for m in range(1, 6) for d in range(1, 29)]),
        ("outside_hours", "sleep"),
        ("prechat", "everything"),
        ("required", ["phone"]),
        ("rating", 1),
    ],
)
def test_what_is_wrong_is_refused_at_its_field(name, value):
    with pytest.raises(InvalidInput) as refusal:
        change_settings(WidgetSettings(), {name: value})
    assert list(refusal.value.errors) == [name]
    assert refusal.value.errors[name][0].endswith(".")


@given(st.dictionaries(st.sampled_from(sorted(RULES)), json_values, max_size=3))
def test_any_json_is_kept_or_refused(changes):
    with contextlib.suppress(InvalidInput):
        changed = change_settings(WidgetSettings(), changes)
        assert load_settings(json.loads(json.dumps(changed.stored()))) == changed


def test_text_that_could_not_be_read_is_refused_at_the_colour():
    with pytest.raises(InvalidInput) as refusal:
        change_settings(WidgetSettings(), {"color": "#ffee00", "text_color": "light"})
    assert "1.2 to 1" in refusal.value.errors["color"][0]
    assert text_on("#ffee00") == "#000000"


@given(st.integers(0, 0xFFFFFF))
def test_automatic_text_can_be_read_on_every_colour(number):
    color = f"#{number:06x}"
    assert contrast(color, text_on(color)) >= READABLE


def test_every_language_has_every_text():
    texts = read_texts()
    assert tuple(texts) == LANGUAGES
    assert all(set(words) == set(texts["en"]) for words in texts.values())
    assert set(TEXTS) <= set(texts["en"])


# -- hours


@pytest.mark.parametrize(
    ("now", "back"),
    [
        ("2026-12-23T09:30+01:00", None),
        ("2026-12-23T12:00+01:00", "2026-12-23T13:00+01:00"),
        ("2026-12-23T17:00+01:00", "2026-12-24T09:00+01:00"),
        ("2026-12-24T18:00+01:00", "2026-12-28T09:00+01:00"),  # a holiday, then a weekend
        ("2026-12-25T10:00+01:00", "2026-12-28T09:00+01:00"),
        ("2026-03-27T17:30+01:00", "2026-03-30T09:00+02:00"),  # the clocks change in between
    ],
)
def test_the_team_is_back_when_its_own_clock_says_so(now, back):
    opens_at = next_opening(OPEN, now=dt.datetime.fromisoformat(now), time_zone=BERLIN)
    assert opens_at == (dt.datetime.fromisoformat(back) if back else None)


def test_without_hours_somebody_is_always_there():
    assert next_opening(WidgetSettings(), now=dt.datetime.now(dt.UTC), time_zone=BERLIN) is None


def test_a_night_is_written_as_two_days():
    night = WidgetSettings(has_hours=True, hours=("22:00-24:00", "00:00-02:00", "", "", "", "", ""))
    for clock, is_open in (("23T23:59", True), ("24T00:00", True), ("24T02:00", False)):
        now = dt.datetime.fromisoformat(f"2026-11-{clock}+00:00")
        assert (next_opening(night, now=now, time_zone="UTC") is None) is is_open


def test_hours_are_written_in_order():
    assert clean_day("13:00-17:00,9:00-12:00") == "09:00-12:00, 13:00-17:00"


# -- domains


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("shop.example", "https://shop.example"),
        (" HTTPS://Shop.Example/cart?x=1 ", "https://shop.example"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("https://shop.example:443", "https://shop.example"),
        ("http://192.168.1.7", "http://192.168.1.7"),
        ("https://[::1]:8443", "https://[::1]:8443"),
        ("bücher.example", "https://xn--bcher-kva.example"),
    ],
)
def test_a_domain_is_kept_as_browsers_send_it(text, origin):
    assert clean_origin(text) == origin


@pytest.mark.parametrize(
    "text",
    [
        "shop", "ftp://shop.example", "javascript:alert(1)", "https://", "https://a b.example", "*",
        "https://*.example", "https://*.*.shop.example", "https://user@shop.example",
        "https://shop.example:99999", "a..example",
        "-a.example", "https://[::1", "x" * 300 + ".example", "1.2.3", "shop.example\x00", "<script>.example",
    ],
)  # fmt: skip
def test_what_is_no_domain_is_refused(text):
    with pytest.raises(ValueError, match="is no domain; write a domain such as"):
        clean_origin(text)


# -- kept with the key


def test_changes_are_kept_versioned_and_audited(acme):
    change(acme, color="#3949ab", texts={"de": {"title": "Hilfe"}})
    change(acme, texts={"en": {"title": "Help"}})
    key = get_widget_key(tenant=acme)
    settings = load_settings(key.settings)
    assert (settings.color, key.version) == ("#3949ab", 2)
    assert settings.texts == {"de": {"title": "Hilfe"}, "en": {"title": "Help"}}
    audit = list_audit_events(tenant=acme)[0]
    assert (audit.action, audit.actor, audit.target) == ("widget.changed", "olga@x.example", key.key)
    assert audit.data["before"]["settings"] == {"color": "#3949ab", "texts": {"de": {"title": "Hilfe"}}}
    change(acme, color="#3949ab")
    assert get_widget_key(tenant=acme).version == 2


def test_a_second_editor_is_told(acme):
    key = get_widget_key(tenant=acme)
    change(acme, color="#3949ab")
    with pytest.raises(ConflictError, match=r"olga@x\.example has changed this widget"):
        update_widget_settings(
            tenant=acme, key=key.key, version=key.version, actor="ben", changes={"theme": "dark"}
        )
    assert load_settings(get_widget_key(tenant=acme).settings).theme == "auto"


def test_another_tenants_widget_is_not_found(acme, globex):
    key = get_widget_key(tenant=acme)
    given = {"tenant": globex, "key": key.key, "actor": "x"}
    attempts = [
        lambda: update_widget_settings(**given, version=0, changes={"theme": "dark"}),
        lambda: update_widget_key(**given, version=0, name="Mine"),
        lambda: allow_widget_origin(**given, origin="https://x.example"),
        lambda: set_widget_key_active(**given, is_active=False),
        lambda: reveal_identity_secret(**given),
        lambda: rotate_identity_secret(**given, secret_version=0, overlap_s=0),
    ]
    for attempt in attempts:
        with pytest.raises(NotFoundError):
            attempt()
    assert get_widget_key(tenant=acme) == key


def test_a_refused_domain_is_allowed_once(acme):
    key = get_widget_key(tenant=acme)
    allow_widget_origin(tenant=acme, key=key.key, origin="https://shop.example", actor="x")
    assert get_widget_key(tenant=acme).allowed_origins == ()
    update_widget_key(tenant=acme, key=key.key, version=0, actor="x", allowed_origins=["a.example"])
    for _ in range(2):
        allow_widget_origin(tenant=acme, key=key.key, origin="https://shop.example", actor="x")
    assert get_widget_key(tenant=acme).allowed_origins == ("https://a.example", "https://shop.example")


def test_the_secret_is_shown_once_and_audited(acme):
    key = get_widget_key(tenant=acme)
    assert reveal_identity_secret(tenant=acme, key=key.key, actor="olga") == key.identity_secret
    with pytest.raises(ConflictError):
        reveal_identity_secret(tenant=acme, key=key.key, actor="olga")
    audit = list_audit_events(tenant=acme)[0]
    assert audit.action == "widget.secret_shown"
    assert key.identity_secret not in str(audit.data)


def test_the_same_rotation_twice_makes_one_secret(acme):
    key = get_widget_key(tenant=acme)
    given = {"tenant": acme, "key": key.key, "actor": "olga", "secret_version": 0, "overlap_s": 60}
    secret = rotate_identity_secret(**given)
    with pytest.raises(ConflictError):
        rotate_identity_secret(**given)
    widget = find_widget(key.key)
    assert widget is not None
    assert (widget.key.identity_secret, widget.key.previous_secret) == (secret, key.identity_secret)
    rotate_identity_secret(**{**given, "secret_version": 1, "overlap_s": -1})
    widget = find_widget(key.key)
    assert widget is not None
    assert widget.key.previous_secret == ""  # its time is over


# -- what a browser gets


def settings_in(source: str) -> object:
    line = next(line for line in source.splitlines() if line.startswith("const SETTINGS = "))
    return json.loads(line.removeprefix("const SETTINGS = ").rstrip(";"))


def test_the_script_carries_the_public_settings_of_its_key(client: Client, acme):
    key = get_widget_key(tenant=acme)
    update_widget_key(
        tenant=acme, key=key.key, version=0, actor="x", allowed_origins=["https://private.example"]
    )
    change(acme, color="#ffee00", hours=WEEK, has_hours=True, prechat="name_email", required=["email"])
    forget_widget_key(key.key)
    source = client.get(f"/widget.js?key={key.key}").content.decode()
    shown = settings_in(source)
    assert isinstance(shown, dict)
    assert (shown["key"], shown["color"], shown["on_color"]) == (key.key, "#ffee00", "#000000")
    assert shown["prechat"] == [{"name": "name", "required": False}, {"name": "email", "required": True}]
    for private in (
        "private.example",
        key.identity_secret,
        "09:00",
        "outside_hours",
        acme.slug,
        str(acme.id),
    ):
        assert private not in source


@pytest.mark.parametrize("query", ["", "?key=", "?key=wk_unknown", "?key=" + "x" * 500])
def test_a_script_without_a_known_key_is_the_plain_one(client: Client, acme, query):
    answer = client.get(f"/widget.js{query}")
    assert answer.status_code == 200
    assert settings_in(answer.content.decode()) is None


def test_the_script_is_cached_until_the_settings_change(client: Client, acme):
    address = f"/widget.js?key={get_widget_key(tenant=acme).key}"
    first = client.get(address)
    assert "max-age=60," in first["Cache-Control"]
    unchanged = client.get(address, headers={"If-None-Match": first["ETag"]})
    assert unchanged.status_code == 304
    change(acme, color="#3949ab")
    forget_widget_key(get_widget_key(tenant=acme).key)
    assert client.get(address, headers={"If-None-Match": first["ETag"]}).status_code == 200


def test_a_widget_that_is_off_tells_nothing(client: Client, acme):
    key = get_widget_key(tenant=acme)
    set_widget_key_active(tenant=acme, key=key.key, is_active=False, actor="x")
    assert settings_in(client.get(f"/widget.js?key={key.key}").content.decode()) is None


def test_a_database_that_is_away_costs_the_settings_not_the_script(client: Client, monkeypatch):
    def fail(key: str) -> None:
        raise DatabaseError

    monkeypatch.setattr(script, "find_widget", fail)
    assert settings_in(client.get("/widget.js?key=wk_1").content.decode()) is None


def test_settings_are_looked_up_once_in_two_seconds(acme, django_assert_num_queries):
    key = get_widget_key(tenant=acme).key
    find_widget(key)
    with django_assert_num_queries(0):
        assert find_widget(key) is not None
