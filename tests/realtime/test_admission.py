"""Who may open a socket, and whose conversation it opens."""

import datetime as dt
from uuid import uuid4

import jwt
import pytest
from django.utils import timezone

from apps.realtime.threads import in_thread
from apps.tenants.selectors import get_widget_key
from apps.tenants.services import create_widget_key


def sign(widget, subject: str, **claims: object) -> str:
    expires = timezone.now() + dt.timedelta(minutes=5)
    return jwt.encode({"sub": subject, "exp": expires, **claims}, widget.identity_secret, algorithm="HS256")


def reopening(welcome: dict) -> dict:
    return {name: welcome[name] for name in ("conversation_id", "session", "epoch")}


@pytest.mark.parametrize("key", ["wk_unknown", "x" * 500, "nul\x00"])
async def test_an_unknown_key_is_turned_away(browse, key):
    browser = await browse(key=key)
    assert (await browser.hear())["code"] == "unknown_key"
    assert await browser.close_code() == 4401


LOOK_ALIKES = [
    "https://shop.example.evil.example",
    "https://evil-shop.example",
    "https://www.shop.example",
    "https://shop.example:8443",
    "https://shop.example.",
    "https://shop.example@evil.example",
    "https://evil.example#https://shop.example",
    "https://shop.example/",
    "https://shop.example/path",
    "https://shop.example https://evil.example",
    "https://sh\u043ep.example",  # a Cyrillic o
    "https://xn--shp-0ed.example",
    "https://",
    "shop.example",
    "file://",
]


@pytest.mark.parametrize(
    "origin", [None, "https://evil.example", "http://shop.example", "null", *LOOK_ALIKES]
)
async def test_a_page_of_another_origin_is_turned_away(browse, acme, origin):
    key = await in_thread(create_widget_key, tenant=acme, allowed_origins=["https://shop.example"])
    browser = await browse(key=key.key, origin=origin)
    assert (await browser.hear())["code"] == "origin_not_allowed"
    assert await browser.close_code() == 4403


@pytest.mark.parametrize(
    "origin", ["https://shop.example", "HTTPS://Shop.Example", "http://our.example:8000"]
)
async def test_an_allowed_page_and_our_own_are_let_in(browse, acme, settings, origin):
    settings.PUBLIC_URL = "http://our.example:8000/"
    key = await in_thread(create_widget_key, tenant=acme, allowed_origins=["https://shop.example"])
    browser = await browse(key=key.key, origin=origin)
    assert (await browser.hello())["type"] == "welcome"


async def test_a_forged_token_is_turned_away(browse, globex):
    other = await in_thread(get_widget_key, tenant=globex)
    browser = await browse(token=sign(other, "ada"))
    assert (await browser.hear())["code"] == "token_invalid"
    assert await browser.close_code() == 4401


async def test_the_session_reopens_an_anonymous_conversation(browse):
    browser = await browse()
    welcome = await browser.hello()
    await browser.say("Hi")
    again = await browse()
    reopened = await again.hello(**reopening(welcome), last_seq=0)
    assert reopened["conversation_id"] == welcome["conversation_id"]
    assert (await again.hear("message"))["text"] == "Hi"


@pytest.mark.parametrize("session", [None, "", "forged:x:y"])
async def test_a_guessed_conversation_opens_nothing(browse, session):
    welcome = await (await browse()).hello()
    thief = await browse()
    error = await thief.hello(conversation_id=welcome["conversation_id"], session=session)
    assert error["code"] == ("invalid" if session == "" else "not_found")
    assert (await thief.hello())["conversation_id"] != welcome["conversation_id"]


async def test_an_unknown_conversation_is_not_found(browse):
    assert (await (await browse()).hello(conversation_id=str(uuid4())))["code"] == "not_found"


async def test_the_session_of_another_conversation_opens_nothing(browse):
    mine, theirs = await (await browse()).hello(), await (await browse()).hello()
    error = await (await browse()).hello(conversation_id=theirs["conversation_id"], session=mine["session"])
    assert error["code"] == "not_found"


async def test_another_tenant_opens_nothing(browse, globex):
    welcome = await (await browse()).hello()
    other = await in_thread(get_widget_key, tenant=globex)
    error = await (await browse(key=other.key)).hello(**reopening(welcome))
    assert error["code"] == "not_found"


async def test_a_customer_reopens_their_conversation_from_anywhere(browse, widget):
    welcome = await (await browse(token=sign(widget, "ada", email="ada@example.com"))).hello()
    assert welcome["session"] is None
    elsewhere = await browse(token=sign(widget, "ada", email="ada@example.com"))
    reopened = await elsewhere.hello(**reopening(welcome))
    assert reopened["conversation_id"] == welcome["conversation_id"]


async def test_nobody_else_reopens_a_customers_conversation(browse, widget):
    welcome = await (await browse(token=sign(widget, "ada"))).hello()
    for query in ({"token": sign(widget, "bob")}, {}):
        error = await (await browse(**query)).hello(**reopening(welcome))
        assert error["code"] == "not_found"


async def test_a_customer_does_not_open_a_strangers_anonymous_conversation(browse, widget):
    welcome = await (await browse()).hello()
    ada = await browse(token=sign(widget, "ada"))
    assert (await ada.hello(conversation_id=welcome["conversation_id"]))["code"] == "not_found"


async def test_a_name_in_another_script_is_let_in_as_browsers_write_it(browse, acme):
    key = await in_thread(create_widget_key, tenant=acme, allowed_origins=["https://b\u00fccher.example"])
    browser = await browse(key=key.key, origin="https://xn--bcher-kva.example")
    assert (await browser.hello())["type"] == "welcome"


async def test_an_email_in_a_token_opens_nobody_elses_history(browse, widget):
    """The token says who: `sub`. What somebody typed as their address at the shop opens nothing."""
    ada = await browse(token=sign(widget, "ada", email="ada@example.com"))
    welcome = await ada.hello()
    await ada.say("My card ends in 4242")
    bob = await browse(token=sign(widget, "bob", email="ada@example.com"))
    error = await bob.hello(**reopening(welcome))
    assert error["code"] == "not_found"
    assert (await bob.hello())["conversation_id"] != welcome["conversation_id"]


async def test_an_id_that_nobody_signed_opens_nothing(browse, widget):
    """Neither as a parameter, nor in the hello, nor in what visitors say about themselves."""
    welcome = await (await browse(token=sign(widget, "ada", email="ada@example.com"))).hello()
    thief = await browse(external_id="ada", customer="ada", user_id="ada", email="ada@example.com")
    claims = {"external_id": "ada", "customer": {"external_id": "ada"}, "email": "ada@example.com"}
    error = await thief.hello(conversation_id=welcome["conversation_id"], **claims)
    assert error["code"] == "not_found"
    begun = await thief.hello(**claims)
    assert (begun["known"], begun["head_seq"]) == (False, 0)
    assert begun["conversation_id"] != welcome["conversation_id"]


async def test_the_token_of_another_widget_is_none_here(browse, acme, widget):
    other = await in_thread(create_widget_key, tenant=acme)
    browser = await browse(token=sign(widget, "ada", aud=other.key))
    assert (await browser.hear())["code"] == "token_invalid"
    browser = await browse(token=sign(widget, "ada", aud=widget.key))
    assert (await browser.hello())["type"] == "welcome"
