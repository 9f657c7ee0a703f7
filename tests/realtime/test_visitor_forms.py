"""Who visitors say they are, messages while nobody is there, and other manners that a company has set."""

import datetime as dt
from uuid import UUID

import jwt
from django.utils import timezone

from apps.conversations import services as conversations
from apps.conversations.models import Conversation
from apps.crm import services as crm
from apps.crm.models import Customer
from apps.realtime import services
from apps.realtime.threads import in_thread
from apps.tenants.context import in_tenant
from apps.tenants.models import Tenant
from apps.tenants.selectors import forget_all, get_widget_key
from apps.tenants.services import create_widget_key, set_widget_key_active, update_widget_key
from tests.realtime.visitors import ASKED, AWAY, LETTER, ME, ROUND_THE_CLOCK, hours_without_today, read


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


async def test_a_second_widget_has_settings_of_its_own(browse, settle, acme):
    await settle(color="#3949ab")
    second = await in_thread(create_widget_key, tenant=acme, name="Help pages")
    assert (await (await browse(key=second.key)).hello())["settings"]["color"] == "#0f5c5c"
