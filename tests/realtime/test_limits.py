"""How much is taken from visitors: by visitor, by address, in all processes together."""

import pytest
import redis

from apps.gateway import limits as gateway_limits
from apps.realtime.admission import _address_of
from apps.realtime.limits import _site_of
from apps.realtime.threads import in_thread
from apps.tenants.selectors import get_widget_key
from tests.realtime.test_admission import reopening, sign


async def refused(browser) -> dict:
    frame = await browser.hear("error")
    assert 1 <= frame["retry_after_s"] <= 60
    assert str(frame["retry_after_s"]) in frame["detail"]
    return frame


async def test_a_visitor_writes_so_much_a_minute_over_all_their_sockets(browse, settle, acme, valkey):
    await settle(messages_per_minute=3)
    first = await browse()
    welcome = await first.hello()
    for _ in range(2):
        await first.say("Hi")
    second = await browse(address="192.0.2.77")
    await second.hello(**reopening(welcome))
    await second.say("Hi")
    await second.send("message", text="Hi", client_message_id="late")
    assert (await refused(second))["client_message_id"] == "late"
    assert all(str(acme.id).encode() in key for key in valkey.keys("rate:*"))


async def test_a_signed_customer_is_one_visitor_in_all_conversations(browse, settle, widget):
    await settle(messages_per_minute=2)
    for text in ("a", "b"):
        browser = await browse(token=sign(widget, "ada"))
        await browser.hello()
        await browser.say(text)
    await browser.send("message", text="c", client_message_id="c")
    assert (await refused(browser))["code"] == "too_fast"
    other = await browse(token=sign(widget, "bob"))
    await other.hello()
    assert (await other.say("Hi"))["seq"] == 1


async def test_an_address_writes_so_much_a_minute_whoever_it_is(browse, settle):
    await settle(address_messages_per_minute=2)
    for _ in range(2):
        browser = await browse()
        await browser.hello()
        await browser.say("Hi")
    await browser.send("message", text="Hi", client_message_id="x")
    assert (await refused(browser))["code"] == "too_fast"
    elsewhere = await browse(address="198.51.100.9")
    await elsewhere.hello()
    await elsewhere.say("Hi")


async def test_an_address_begins_so_many_conversations_and_resumes_all_it_likes(browse, settle):
    await settle(address_openings_per_minute=2)
    welcome = await (await browse()).hello()
    await (await browse()).hello()
    third = await browse()
    await third.send("hello")
    assert (await refused(third))["code"] == "too_fast"
    again = await third.hello(**reopening(welcome))  # the same socket goes on
    assert again["conversation_id"] == welcome["conversation_id"]
    assert (await (await browse(address="198.51.100.9")).hello())["type"] == "welcome"


async def test_another_company_has_buckets_of_its_own(browse, settle, globex):
    await settle(address_openings_per_minute=1)
    await (await browse()).hello()
    await (await browse()).send("hello")
    theirs = await in_thread(get_widget_key, tenant=globex)
    assert (await (await browse(key=theirs.key)).hello())["type"] == "welcome"


async def test_without_valkey_a_stricter_limit_of_the_process_holds(browse, settle, monkeypatch):
    await settle(messages_per_minute=8)
    away = gateway_limits.RateLimiter(redis.Redis(port=1, socket_connect_timeout=0.1))
    monkeypatch.setattr("apps.gateway.visitors.limiter", lambda: away)
    browser = await browse()
    await browser.hello()
    for _ in range(2):  # a quarter
        await browser.say("Hi")
    await browser.send("message", text="Hi", client_message_id="x")
    assert (await refused(browser))["code"] == "too_fast"


@pytest.mark.parametrize(
    ("address", "site"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("unknown", "unknown"),
    ],
)
def test_an_ipv6_network_counts_as_one_address(address, site):
    assert _site_of(address) == site


def test_only_our_own_proxies_name_the_address(settings):
    scope = {"client": ["10.0.0.1", 4000], "headers": [(b"x-forwarded-for", b"6.6.6.6, 192.0.2.9")]}
    assert _address_of(scope) == "10.0.0.1"
    settings.TRUSTED_PROXY_COUNT = 1
    assert _address_of(scope) == "192.0.2.9"
    assert _address_of({"client": None, "headers": []}) == "unknown"
