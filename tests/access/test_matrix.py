"""Every page and endpoint for every role: let in or refused by the table, and offered only when let in."""

import re
import uuid
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
import redis
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import Resolver404, resolve

from aiaas.access import Doorway, list_doorways
from apps.gateway.tokens import issue_tokens
from apps.resilience.errors import ConflictError
from apps.tenants.contracts import OPEN, SIGNED_IN, Role, TenantRef
from apps.tenants.models import User
from apps.tenants.permissions import ALL, ROLE_PERMISSIONS
from apps.tenants.services import create_api_key, principal_of
from tests.isolation.test_pages import MAKERS, OTHERS, PAGES
from tests.pages import log_in, member_of

# What takes seconds when it is let in, and says nothing about rights: training within the request.
SLOW = "apps.routing.api.services.train_router"
MISSING = re.compile(r"needs the permission (\w+:\w+)")
DOORS = [door for door in list_doorways() if door.kind != "socket" and door.method != "any"]
ENDPOINTS = [door for door in DOORS if door.path.startswith(("/api/v1/", "/v1/"))]
APP = [door for door in DOORS if door.path.startswith("/app/")]


@pytest.fixture(autouse=True)
def _no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise ConflictError("Not now.")

    monkeypatch.setattr(SLOW, refuse)


def guess(path: str) -> str:
    """Return an address that leads to nothing: what is asked before anything is looked for."""
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda found: OTHERS.get(found[1], str(uuid.uuid4())), path)


def ask(client: Client, door: Doorway) -> HttpResponse:
    """Ask, and undo what the answer did."""
    with transaction.atomic():
        body = {"content_type": "application/json"} if door in ENDPOINTS and door.method != "GET" else {}
        answer = getattr(client, door.method.lower())(guess(door.path), **body)
        transaction.set_rollback(True)
    return answer


def refused_for(answer: HttpResponse) -> str:
    """Return the permission that an answer says is missing, or an empty string."""
    found = MISSING.search(answer.content.decode()) if answer.status_code == 403 else None
    return found[1] if found else ""


def expected(door: Doorway, granted: frozenset[str]) -> str:
    return "" if door.permission in granted | {OPEN, SIGNED_IN} else door.permission


def mistakes(client: Client, doors: list[Doorway], granted: frozenset[str]) -> list[tuple[Doorway, str, int]]:
    found = []
    for door in doors:
        answer = ask(client, door)
        refusal = refused_for(answer) if answer.status_code == 403 else ""
        is_let_in = answer.status_code not in (401, 405, 429) and "/login/" not in answer.get("Location", "")
        if refusal != expected(door, granted) or not is_let_in:
            found.append((door, refusal, answer.status_code))
    return found


@pytest.mark.parametrize("role", Role)
def test_pages_let_a_role_do_what_the_table_says(acme: TenantRef, role: Role):
    assert mistakes(log_in(acme, role), APP, ROLE_PERMISSIONS[role]) == []


@pytest.mark.parametrize("role", Role)
def test_endpoints_let_a_role_do_what_the_table_says(acme: TenantRef, role: Role):
    user = User.objects.get(email=member_of(acme, role))
    token = issue_tokens(principal_of(user_id=user.id, name="", tenant=acme, role=role)).access
    client = Client(headers={"Authorization": f"Bearer {token}"})
    assert mistakes(client, ENDPOINTS, ROLE_PERMISSIONS[role]) == []


def test_a_key_may_do_what_its_scopes_name_and_no_more(acme: TenantRef):
    """Each permission alone opens its own endpoints: half of them with one key, half with the other."""
    names = sorted(ALL)
    for scopes in (names[::2], names[1::2]):
        token = create_api_key(tenant=acme, name="k", scopes=scopes).token
        client = Client(headers={"Authorization": f"Api-Key {token}"})
        assert mistakes(client, ENDPOINTS, frozenset(scopes)) == []


def test_a_stranger_passes_what_is_open_and_nothing_else(db: None, valkey: redis.Redis):
    for door in DOORS:
        valkey.flushdb()  # how much a stranger may ask in a minute is another matter
        answer = ask(Client(), door)
        is_asked = answer.status_code == 401 or "/accounts/login/" in answer.get("Location", "")
        is_login = door.path.startswith("/api/v1/auth/token")  # 401 is its answer to a bad password
        assert is_login or is_asked == (door.permission != OPEN), (door, answer.status_code)


def test_a_stranger_is_asked_to_log_in_where_a_view_is_for_whoever_is_signed_in(db: None):
    """What `DECLARED` says of views that no permission guards is true of each of them."""
    signed_in = [door for door in list_doorways() if door.method == "any" and door.permission == SIGNED_IN]
    assert len(signed_in) > 15
    for door in signed_in:
        url = guess(re.sub(r"<int:\w+>", "1", door.path))
        for answer in (Client().get(url), Client().post(url)):
            is_asked = "/accounts/login/" in answer.get("Location", "")
            assert is_asked or answer.status_code == 405, (door, answer.status_code)


class Offers(HTMLParser):
    """What a page offers: (method, address) of its links, htmx attributes, and forms that can be sent."""

    def __init__(self, here: str) -> None:
        super().__init__()
        self.here, self.form, self.found = here, ("", ""), set[tuple[str, str]]()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        if tag == "form":
            self.form = (given.get("method", "get").upper(), given.get("action") or self.here)
        if tag == "button" and given.get("type", "submit") == "submit":
            self.found.add(self.form)
        for name, method in (("href", "GET"), ("hx-get", "GET"), ("hx-post", "POST")):
            if tag not in ("link", "use") and name in given:
                self.found.add((method, given[name] or self.here))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.form = ("", "")


def offers(client: Client, url: str) -> Iterator[tuple[str, str, str]]:
    """Yield method, route and needed permission of everything that a page offers under /app/."""
    answer = client.get(url)
    if answer.status_code != 200 or "text/html" not in answer["Content-Type"]:
        return
    page = Offers(url)
    page.feed(answer.content.decode())
    for method, there in page.found:
        path = there.partition("#")[0].partition("?")[0]
        if not path.startswith("/app/") or method not in ("GET", "POST"):
            continue
        try:
            match = resolve(path)
        except Resolver404:
            continue
        declared = getattr(match.func, "permissions", None)
        if declared:
            yield method, match.route, declared["read" if method == "GET" else "write"]


@pytest.fixture
def made(acme: TenantRef) -> dict[str, str]:
    """Make one thing of each kind and return the addresses of all pages that show something."""
    routes = [route for route, view in PAGES.items() if not view.post_only]
    starts = {route.split("/<")[0] for route in routes if "<" in route}
    ids = {start: MAKERS[start](acme) for start in sorted(starts)}
    return {route: filled(route, ids.get(route.split("/<")[0])) for route in routes}


def filled(route: str, made_id: object) -> str:
    url = re.sub(r"<[^>]+>", str(made_id), route, count=1)
    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda found: OTHERS[found[1]], url)


def test_a_page_offers_each_role_what_the_check_would_let_it_do(acme: TenantRef, made: dict[str, str]):
    clients = {role: log_in(acme, role) for role in Role}
    shown = {role: {url: set(offers(clients[role], url)) for url in made.values()} for role in Role}
    assert sum(len(found) for found in shown[Role.OWNER].values()) > 500
    wrong = []
    for role, url, route in ((role, url, route) for role in Role for route, url in made.items()):
        granted = ROLE_PERMISSIONS[role] | {SIGNED_IN}
        may_see = PAGES[route].permissions["read"] in granted
        due = {offer for offer in shown[Role.OWNER][url] if offer[2] in granted} if may_see else set()
        wrong += [(role.value, url, *offer, offer in due) for offer in shown[role][url] ^ due]
    assert wrong == [], "offered though refused (False), or not offered though allowed (True)"
