"""Whoever has lost what they were let in by is sent away within about a second, in every process."""

import asyncio
import datetime as dt
import time

import jwt
import pytest
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.utils import timezone

from apps.realtime import guard
from apps.realtime.threads import in_thread
from apps.tenants import members, services
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role
from apps.tenants.dashboard import SESSION_ACTING
from apps.tenants.models import Membership, WidgetKey
from tests.pages import log_in
from tests.realtime.test_inbox import read_held, work  # noqa: F401 - a fixture

SOON_S = 1.2
PACE_S = guard.ROUND_EVERY_S


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(guard, "ROUND_EVERY_S", 0.2)


async def sent_away(browser, *, code: str, close: int) -> bool:
    """Tell whether an error frame says why and the socket is closed so, soon."""
    begin = time.monotonic()
    while (frame := await browser.hear())["type"] != "error":
        pass
    assert (frame["code"], await browser.close_code()) == (code, close)
    return time.monotonic() - begin < SOON_S


async def stays(browser) -> bool:
    while not await browser._wire.receive_nothing(timeout=guard.ROUND_EVERY_S + 0.3):
        if (await browser.hear())["type"] == "error":
            return False
    return True


# Visitors.


async def test_a_widget_that_is_switched_off_lets_everybody_go(browse, acme, widget, monkeypatch):
    monkeypatch.setattr(guard, "ROUND_EVERY_S", PACE_S)
    browser = await browse()
    await browser.hello()
    await in_thread(
        services.set_widget_key_active, tenant=acme, key=widget.key, is_active=False, actor="test"
    )
    assert await sent_away(browser, code="unknown_key", close=4401)


async def test_a_visitor_who_has_not_said_hello_goes_too(browse, acme, widget):
    browser = await browse()
    await in_thread(_change_elsewhere, acme, widget.key, is_active=False)
    assert await sent_away(browser, code="unknown_key", close=4401)


def _change_elsewhere(tenant, key: str, **fields: object) -> None:
    """Change a widget as another process would: nothing in this one hears of it."""
    with in_tenant(tenant):
        WidgetKey.objects.filter(key=key).update(**fields)


async def test_a_page_that_is_taken_off_the_list_loses_its_chats_and_others_do_not(browse, acme, globex):
    key = await in_thread(
        services.create_widget_key,
        tenant=acme,
        allowed_origins=["https://shop.example", "https://help.example"],
    )
    lost = await browse(key=key.key, origin="https://shop.example")
    kept = await browse(key=key.key, origin="https://help.example")
    other = await browse()
    for browser in (lost, kept, other):
        await browser.hello()
    await in_thread(_change_elsewhere, acme, key.key, allowed_origins=["https://help.example"])
    assert await sent_away(lost, code="origin_not_allowed", close=4403)
    assert await stays(kept)
    assert await stays(other)


@pytest.mark.parametrize("overlap_s", [0, 3600])
async def test_a_secret_that_was_replaced_at_once_ends_what_it_signed(browse, acme, widget, overlap_s):
    signed = {"sub": "ada", "exp": timezone.now() + dt.timedelta(minutes=5)}
    customer = await browse(token=jwt.encode(signed, widget.identity_secret, algorithm="HS256"))
    anonymous = await browse()
    for browser in (customer, anonymous):
        await browser.hello()
    await in_thread(
        services.rotate_identity_secret,
        tenant=acme, key=widget.key, secret_version=0, overlap_s=overlap_s, actor="test",
    )  # fmt: skip
    if overlap_s:
        assert await stays(customer)
        again = await browse(token=jwt.encode(signed, widget.identity_secret, algorithm="HS256"))
        await again.hello()
        assert await stays(again)
    else:
        assert await sent_away(customer, code="token_invalid", close=4401)
    assert await stays(anonymous)


# Colleagues.


def _remove(tenant, client) -> None:
    members.remove_member(tenant=tenant, membership_id=_membership(tenant, client).id, actor="test")


def _membership(tenant, client) -> Membership:
    with in_tenant(tenant):
        return Membership.objects.get(user_id=client.session["_auth_user_id"])


def _demote(tenant, client) -> None:
    membership = _membership(tenant, client)
    members.change_role(tenant=tenant, membership_id=membership.id, role="viewer", actor="test")


def _log_out(tenant, client) -> None:
    client.post("/accounts/logout/")


def _end_session(tenant, client) -> None:
    Session.objects.filter(session_key=client.session.session_key).delete()


def _new_password(tenant, client) -> None:
    user = get_user_model().objects.get(id=client.session["_auth_user_id"])
    user.set_password("another long password")
    user.save()


def _deactivate(tenant, client) -> None:
    get_user_model().objects.filter(id=client.session["_auth_user_id"]).update(is_active=False)


ENDS = [_remove, _demote, _log_out, _end_session, _new_password, _deactivate]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__.strip("_"))
async def test_a_colleague_is_sent_away(work, acme, end):  # noqa: F811
    client = await in_thread(log_in, acme, Role.AGENT)
    lost, kept = await work(acme, held=await in_thread(read_held, client)), await work(acme, "Bea")
    await in_thread(end, acme, client)
    assert await sent_away(lost, code="access_ended", close=4401)
    assert await stays(kept)


async def test_what_happens_in_another_company_sends_nobody_away(work, acme, globex):  # noqa: F811
    client = await in_thread(log_in, acme, Role.AGENT)
    page = await work(acme, held=await in_thread(read_held, client))
    await in_thread(_come_and_go, globex, client)
    assert await stays(page)


def _come_and_go(tenant, client) -> None:
    user = get_user_model().objects.get(id=client.session["_auth_user_id"])
    services.add_member(tenant=tenant, email=user.email, role=Role.AGENT)
    _remove(tenant, client)


@pytest.mark.parametrize("end", ["leaves", "is over", "is staff no more"])
async def test_a_visit_of_staff_ends_with_its_sockets(work, acme, end):  # noqa: F811
    client = await in_thread(_visiting, acme)
    page = await work(acme, held=await in_thread(read_held, client))
    assert await stays(page)
    await in_thread(_end_visit, client, end)
    assert await sent_away(page, code="access_ended", close=4401)


def _visiting(tenant):
    client = log_in(tenant, Role.VIEWER)
    get_user_model().objects.filter(id=client.session["_auth_user_id"]).update(is_staff=True)
    _visit(client, tenant.slug, dt.timedelta(hours=1))
    return client


def _visit(client, slug: str, left: dt.timedelta) -> None:
    session = client.session
    until = (timezone.now() + left).isoformat()
    session[SESSION_ACTING] = {"tenant": slug, "role": "agent", "until": until}
    session.save()


def _end_visit(client, how: str) -> None:
    if how == "leaves":
        client.post("/app/leave-tenant/")
    elif how == "is over":
        _visit(client, "acme", dt.timedelta(seconds=-1))
    else:
        get_user_model().objects.filter(id=client.session["_auth_user_id"]).update(is_staff=False)


async def test_a_crowd_costs_as_many_questions_as_one():
    asked = []

    def find(guests):
        asked.append(len(guests))
        return {guest: KeyError(guest) for guest in guests if guest % 2}

    watch = guard.Guard(find)
    watchers = [asyncio.create_task(watch.watch(number)) for number in range(100)]
    lost, kept = await asyncio.wait(watchers, timeout=guard.ROUND_EVERY_S + 0.5)
    assert asked[0] == 100  # all at once, and then those who are left
    assert set(asked[1:]) <= {50}
    assert (len(lost), len(kept)) == (50, 50)
    assert {type(watcher.exception()) for watcher in lost} == {KeyError}
    for watcher in kept:
        watcher.cancel()
    await asyncio.wait(kept)
    assert watch._rounds is None  # nobody is left, so nothing is asked any more


async def test_while_the_database_is_away_nobody_is_sent_away(browse, monkeypatch):
    def fail(keys: object) -> None:
        raise ConnectionError

    monkeypatch.setattr("apps.realtime.admission.list_widget_standings", fail)
    browser = await browse()
    await browser.hello()
    assert await stays(browser)
