"""Who visitors say they are, messages while nobody is there, and other manners that a company has set."""

import asyncio
import datetime as dt
from uuid import UUID

import jwt
import pytest
from django.utils import timezone

from apps.conversations import services as conversations
from apps.conversations.models import Conversation
from apps.crm import services as crm
from apps.crm.models import Customer, Lead
from apps.realtime import services, session
from apps.realtime.threads import in_thread
from apps.realtime.widget_settings.services import update_widget_settings
from apps.tenants.context import in_tenant
from apps.tenants.models import Tenant
from apps.tenants.selectors import forget_all, get_widget_key
from apps.tenants.services import create_widget_key, set_widget_key_active, update_widget_key

ROUND_THE_CLOCK = ["00:00-24:00"] * 7
ASKED = {"prechat": "name_email", "required": ["name", "email"]}
AWAY = {"has_hours": True, "outside_hours": "form"}
LETTER = {"client_message_id": "o1", "name": "Vera", "email": "vera@x.example", "text": "Call me"}
ME = {"name": "Vera", "email": "vera@x.example"}


def hours_without_today() -> list[str]:
    """Be open every day but yesterday, today and tomorrow, so that no clock matters."""
    today = timezone.now().weekday()
    return ["" if (day - today) % 7 in (6, 0, 1) else "00:00-24:00" for day in range(7)]


@pytest.fixture
def settle(widget, acme):
    """Set the widget of the socket's company."""

    async def settle(**changes: object) -> None:
        key = await in_thread(get_widget_key, tenant=acme)
        await in_thread(
            update_widget_settings,
            tenant=acme, key=key.key, version=key.version, actor="test", changes=changes,
        )  # fmt: skip
        forget_all()

    return settle


def read(tenant, query):
    def run():
        with in_tenant(tenant):
            return query()

    return in_thread(run)


def signed(widget, subject: str = "ada") -> str:
    expires = timezone.now() + dt.timedelta(minutes=5)
    return jwt.encode({"sub": subject, "exp": expires}, widget.identity_secret, algorithm="HS256")


# -- settings with the welcome


async def test_the_welcome_tells_the_settings_and_nothing_private(browse, settle):
    await settle(color="#3949ab", **ASKED, **AWAY, hours=ROUND_THE_CLOCK)
    welcome = await (await browse()).hello()
    assert welcome["settings"]["color"] == "#3949ab"
    assert [field["name"] for field in welcome["settings"]["prechat"]] == ["name", "email"]
    assert (welcome["known"], welcome["opens_at"], welcome["form_only"]) == (False, None, False)
    assert not {"hours", "closed_dates", "allowed_origins", "outside_hours"} & set(welcome["settings"])


async def test_outside_of_hours_the_welcome_says_when_the_team_is_back(browse, settle):
    await settle(**AWAY, hours=hours_without_today())
    welcome = await (await browse()).hello()
    assert welcome["form_only"] is True
    assert dt.datetime.fromisoformat(welcome["opens_at"]) > timezone.now() + dt.timedelta(days=1)


async def test_hours_are_the_companys_own(browse, settle, acme):
    """At the same moment it is Monday in one zone and Tuesday in another."""
    await settle(**AWAY, hours=["00:00-12:00", *[""] * 6])
    now = dt.datetime(2026, 11, 23, 11, 30, tzinfo=dt.UTC)
    found = await in_thread(services.find_widget, (await in_thread(get_widget_key, tenant=acme)).key)
    assert not found.takes_forms_only(now)

    def move() -> None:
        with in_tenant(acme):
            Tenant.objects.filter(id=acme.id).update(time_zone="Pacific/Auckland")

    await in_thread(move)
    forget_all()
    found = await in_thread(services.find_widget, (await in_thread(get_widget_key, tenant=acme)).key)
    assert found.takes_forms_only(now)


async def test_an_escalation_outside_of_hours_says_when_the_team_is_back(browse, settle, acme):
    await settle(has_hours=True, outside_hours="handover", hours=hours_without_today())
    browser = await browse()
    welcome = await browser.hello()
    assert welcome["form_only"] is False
    await browser.say("I want to complain")
    conversation_id = UUID(welcome["conversation_id"])
    await in_thread(
        conversations.open_escalation,
        tenant=acme, conversation_id=conversation_id, reason="complaint", effect_key="e1",
    )  # fmt: skip
    status = await browser.hear("status")
    assert (status["state"], status["opens_at"]) == ("escalated", welcome["opens_at"])


# -- who a visitor says they are


async def test_a_required_profile_comes_before_the_first_message(browse, settle, acme):
    await settle(**ASKED)
    browser = await browse()
    welcome = await browser.hello()
    await browser.send("message", client_message_id="m1", text="Hi")
    error = await browser.hear()
    assert (error["code"], error["client_message_id"]) == ("profile_first", "m1")
    assert "name, email" in error["detail"]
    await browser.send("profile", **ME)
    assert await browser.hear("profile") == {"type": "profile", "known": True}
    assert (await browser.say("Hi", "m1"))["seq"] == 1
    again = await browse()
    fields = {name: welcome[name] for name in ("conversation_id", "session")}
    assert (await again.hello(**fields))["known"] is True


async def test_what_is_not_required_may_be_skipped(browse, settle):
    await settle(prechat="name_email", required=[])
    browser = await browse()
    await browser.hello()
    assert (await browser.say("Hi"))["seq"] == 1


async def test_a_stated_address_opens_nobodys_history(browse, settle, acme, widget):
    """It becomes a customer of its own."""
    ada = await in_thread(crm.create_customer, tenant=acme, email="ada@example.com", name="Ada")
    await settle(**ASKED)
    browser = await browse()
    welcome = await browser.hello()
    await browser.send("profile", name="Mallory", email="Ada@Example.com")
    await browser.hear("profile")
    stated = await read(acme, lambda: Conversation.objects.get(id=welcome["conversation_id"]).customer)
    assert stated.id != ada.id
    assert (stated.name, stated.email, stated.metadata) == (
        "Mallory", None, {"stated_email": "ada@example.com"},
    )  # fmt: skip
    assert (await read(acme, lambda: Customer.objects.get(id=ada.id))).name == "Ada"


async def test_a_stated_address_is_not_there_before_its_owner(browse, settle, acme):
    await settle(**ASKED)
    browser = await browse()
    welcome = await browser.hello()
    await browser.send("profile", name="Mallory", email="grace@example.com")
    await browser.hear("profile")
    grace = await in_thread(crm.find_or_create_customer, tenant=acme, email="grace@example.com")
    stated = await read(acme, lambda: Conversation.objects.get(id=welcome["conversation_id"]).customer_id)
    assert grace.id != stated


async def test_the_profile_twice_is_one_customer(browse, settle, acme):
    await settle(**ASKED)
    browser = await browse()
    await browser.hello()
    for name in ("Vera", "Vera Lind"):
        await browser.send("profile", name=name, email="vera@x.example")
        await browser.hear("profile")
    stated = await read(acme, lambda: list(Customer.objects.values_list("name", flat=True)))
    assert stated == ["Vera Lind"]


async def test_a_signed_in_customer_is_not_asked(browse, settle, widget):
    await settle(**ASKED)
    browser = await browse(token=signed(widget))
    assert (await browser.hello())["known"] is True
    assert (await browser.say("Hi"))["seq"] == 1
    await browser.send("profile", **ME)
    assert (await browser.hear("error"))["code"] == "refused"


async def test_who_is_not_asked_cannot_introduce_themselves(browse, acme):
    browser = await browse()
    await browser.hello()
    await browser.send("profile", **ME)
    assert (await browser.hear("error"))["code"] == "refused"
    assert await read(acme, Customer.objects.count) == 0


WRONG_PROFILES = [
    ({**ME, "email": ""}, "email"),
    ({**ME, "name": "  "}, "name"),
    ({**ME, "name": 7}, "name"),
    ({**ME, "email": "nobody"}, "email"),
    ({**ME, "email": "a@b.example\nBcc: all@x.example"}, "email"),
    ({**ME, "name": "a\x00b"}, "name"),
    ({**ME, "name": "x" * 201}, "name"),
    ({**ME, "consent": "yes"}, "consent"),
    ({**ME, "consent": False}, "consent"),
]


async def test_a_wrong_profile_is_told_at_its_field_and_keeps_nothing(browse, settle, acme):
    await settle(**ASKED, ask_consent=True)
    for given, field in WRONG_PROFILES:
        browser = await browse()
        await browser.hello()
        await browser.send("profile", **{"consent": True, **given})
        assert (await browser.hear("error"))["field"] == field
        await browser.send("message", client_message_id="m1", text="Hi")
        assert (await browser.hear("error"))["code"] == "profile_first"
    assert await read(acme, Customer.objects.count) == 0


# -- messages while nobody is there


@pytest.fixture
async def closed(browse, settle):
    await settle(**AWAY, hours=hours_without_today())
    browser = await browse()
    browser.welcome = await browser.hello()
    return browser


async def test_a_message_outside_of_hours_is_a_lead_once_also_when_sent_again(closed, browse, acme):
    await closed.send("offline", **LETTER)
    assert await closed.hear() == {"type": "ack", "client_message_id": "o1"}
    again = await browse()
    fields = {name: closed.welcome[name] for name in ("conversation_id", "session")}
    await again.hello(**fields)
    await again.send("offline", **LETTER)
    assert (await again.hear("ack"))["client_message_id"] == "o1"
    (lead,) = await read(acme, lambda: list(Lead.objects.all()))
    assert (lead.name, lead.email, lead.message, lead.source) == (
        "Vera", "vera@x.example", "Call me", "widget",
    )  # fmt: skip


async def test_the_same_id_in_another_conversation_is_another_lead(closed, browse, acme):
    await closed.send("offline", **LETTER)
    await closed.hear("ack")
    other = await browse()
    await other.hello()
    await other.send("offline", **{**LETTER, "text": "Me too"})
    await other.hear("ack")
    assert await read(acme, Lead.objects.count) == 2


async def test_the_ack_comes_after_the_lead_is_stored(closed, acme, monkeypatch):
    def fail(**_: object) -> None:
        raise session.OperationalError

    monkeypatch.setattr(services, "capture_lead", fail)
    await closed.send("offline", **LETTER)
    error = await closed.hear()
    assert (error["type"], error["code"], error["client_message_id"]) == ("error", "try_again", "o1")
    assert error["retry_after_s"] > 0
    assert await read(acme, Lead.objects.count) == 0


async def test_chatting_is_refused_while_only_the_form_is_open(closed, acme):
    await closed.send("message", client_message_id="m1", text="Anybody?")
    error = await closed.hear()
    assert (error["code"], error["client_message_id"]) == ("closed_now", "m1")
    assert error["opens_at"] == closed.welcome["opens_at"]


async def test_who_talks_with_a_person_goes_on_after_hours(browse, settle, acme):
    browser = await browse()
    welcome = await browser.hello()
    conversation_id = UUID(welcome["conversation_id"])
    await in_thread(
        conversations.take_over_conversation, tenant=acme, conversation_id=conversation_id, agent="user:1"
    )
    await browser.hear("status")
    await settle(**AWAY, hours=hours_without_today())
    assert (await browser.say("One more thing"))["seq"] == 1
    fields = {name: welcome[name] for name in ("conversation_id", "session")}
    assert (await (await browse()).hello(**fields))["form_only"] is False


WRONG_LETTERS = [
    ({"email": ""}, "email"),
    ({"email": "nobody"}, "email"),
    ({"text": " "}, "text"),
    ({"text": "x" * 4001}, "text"),
    ({"name": ["Vera"]}, "name"),
    ({"text": "a\x00b"}, "text"),
    ({"consent": 1}, "consent"),
]


async def test_a_wrong_message_is_told_at_its_field_and_keeps_nothing(closed, acme):
    for given, field in WRONG_LETTERS:
        await closed.send("offline", **{**LETTER, **given})
        error = await closed.hear("error")
        assert (error["field"], error["client_message_id"]) == (field, "o1")
    assert await read(acme, Lead.objects.count) == 0


async def test_consent_is_asked_for_by_the_server_too(closed, settle, acme):
    await settle(ask_consent=True)
    await closed.send("offline", **LETTER)
    assert (await closed.hear("error"))["field"] == "consent"
    await closed.send("offline", **LETTER, consent=True)
    assert (await closed.hear("ack"))["client_message_id"] == "o1"


async def test_messages_for_later_are_not_taken_where_the_ai_answers(browse, settle, acme):
    await settle(has_hours=True, outside_hours="handover", hours=hours_without_today())
    browser = await browse()
    await browser.hello()
    await browser.send("offline", **LETTER)
    assert (await browser.hear("error"))["code"] == "not_offline"
    assert await read(acme, Lead.objects.count) == 0


async def test_forms_are_paced(closed):
    for number in range(6):
        await closed.send("offline", **{**LETTER, "client_message_id": f"o{number}"})
    error = await closed.hear("error")
    assert (error["code"], error["client_message_id"]) == ("too_fast", "o5")


async def test_forms_wait_for_hello(browse):
    browser = await browse()
    for kind, fields in (("profile", ME), ("offline", LETTER)):
        await browser.send(kind, **fields)
        assert (await browser.hear())["code"] == "hello_first"


# -- while a socket is open


SPEECH = [
    ("message", {"client_message_id": "m1", "text": "Hi"}),
    ("profile", ME),
    ("offline", LETTER),
    ("rating", {"score": 5}),
]


async def test_a_page_that_loses_its_permission_is_heard_no_more(browse, settle, acme):
    await settle(**ASKED, **AWAY, hours=hours_without_today())
    browser = await browse(origin="https://was.example")
    await browser.hello()
    key = await in_thread(get_widget_key, tenant=acme)
    given = {"tenant": acme, "key": key.key, "actor": "x"}
    await in_thread(update_widget_key, **given, version=key.version, allowed_origins=["https://is.example"])
    forget_all()
    for kind, fields in SPEECH:
        await browser.send(kind, **fields)
        assert (await browser.hear("error"))["code"] == "origin_not_allowed"
    await in_thread(set_widget_key_active, **given, is_active=False)
    for kind, fields in SPEECH:
        await browser.send(kind, **fields)
        assert (await browser.hear("error"))["code"] == "unknown_key"


async def test_ratings_can_be_off_and_without_comments(browse, settle):
    await settle(rating_comment=False)
    browser = await browse()
    await browser.hello()
    await browser.send("rating", score=4, comment="quick")
    assert (await browser.hear("error"))["field"] == "comment"
    await browser.send("rating", score=4)
    assert (await browser.hear("status"))["rating"] == 4
    await settle(rating=False)
    await browser.send("rating", score=1)
    assert (await browser.hear("error"))["code"] == "refused"


async def test_settings_of_another_tenant_do_not_matter(browse, settle, globex):
    await settle(**ASKED)
    other = await in_thread(get_widget_key, tenant=globex)
    browser = await browse(key=other.key)
    assert (await browser.hello())["settings"]["prechat"] == []
    assert (await browser.say("Hi"))["seq"] == 1


async def test_many_at_once_with_one_id_make_one_lead(closed, browse, acme):
    fields = {name: closed.welcome[name] for name in ("conversation_id", "session")}
    tabs = [await browse() for _ in range(4)]
    for tab in tabs:
        await tab.hello(**fields)
    await asyncio.gather(*(tab.send("offline", **LETTER) for tab in tabs))
    for tab in tabs:
        assert (await tab.hear("ack"))["client_message_id"] == "o1"
    assert await read(acme, Lead.objects.count) == 1


async def test_a_second_widget_has_settings_of_its_own(browse, settle, acme):
    await settle(color="#3949ab")
    second = await in_thread(create_widget_key, tenant=acme, name="Help pages")
    assert (await (await browse(key=second.key)).hello())["settings"]["color"] == "#0f5c5c"
