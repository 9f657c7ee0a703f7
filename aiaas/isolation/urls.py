"""Attack every URL: another tenant's names in path, query, body, headers and cursors."""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import orjson
import redis
from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY
from allauth.account.internal.flows.login import record_authentication
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.test import Client

from aiaas.isolation.companies import Company, is_uuid
from aiaas.isolation.evidence import Watch, find_foreign, undone
from aiaas.isolation.report import Report
from aiaas.isolation.routes import (
    METHODS,
    Route,
    all_routes,
    build_body,
    control_names,
    cursors_at,
    query_names,
)
from apps.tenants.context import APP

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
# Names of the product's own, the same for every tenant: there is nothing of the victim's to ask for.
SHARED = {
    "api/v1/tools/<str:name>": "the product's tools",
    "app/tools/t/<str:name>/": "the product's tools",
    "app/overview/<str:key>/": "the product's KPIs",
    "app/plans/<slug:code>/": "the platform's plans",
    "demo/<slug:slug>/": "the demo companies",
    "accounts/oidc/<slug:provider_id>/login/": "the platform's providers of identities",
    "accounts/oidc/<slug:provider_id>/login/callback/": "the platform's providers of identities",
}
# The path's names are a credential, which only its holder knows.
SECRETS = {
    "accounts/invitations/<str:token>/": "the token of an invitation",
    "accounts/address/prove/<str:token>/": "the token of a new address",
    "accounts/signup/<str:token>/": "the token of a sign-up",
    "accounts/^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$": "the token of a reset",
}
# What a request must say before anything is looked for.
NEEDS: dict[str, dict[str, Callable[[Company], str]]] = {
    "app/inbox/<uuid:escalation_id>/give-back/": {"to": lambda company: f"user:{company.owner().pk}"},
}


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    finding: str

    @property
    def is_page(self) -> bool:
        return self.status == 200 and "<html" in self.text


class Caller:
    """A company's client: its key for the API, its owner's session for pages."""

    def __init__(self, company: Company, watch: Watch, headers: Mapping[str, str] | None = None) -> None:
        self.company, self.watch, self.headers = company, watch, dict(headers or {})
        authorization = {"Authorization": f"Api-Key {company.token}"}
        self._api = Client(raise_request_exception=False, headers=authorization)
        self._browser = Client(raise_request_exception=False, headers={"Accept": "text/html"})
        self._browser.force_login(company.owner(), backend=BACKEND)  # type: ignore[arg-type]
        self._prove_identity()
        self._session = self._browser.cookies[settings.SESSION_COOKIE_NAME].value

    def _prove_identity(self) -> None:
        """Have just shown both factors, without which the pages about them show nothing."""
        session = self._browser.session
        request: Any = SimpleNamespace(session=session)
        shown = {"type": "webauthn", "reauthenticated": True}
        record_authentication(request, self.company.owner(), "mfa", **shown)
        for record in session[AUTHENTICATION_METHODS_SESSION_KEY]:
            record["at"] += 86_400  # it holds for as long as the attack
        session.save()

    def ask(
        self, route: Route, method: str, url: str, body: Any = None, query: Mapping[str, str] = {}
    ) -> Answer:
        """Send one request whose effects are undone; an empty bucket is filled, limits are another matter."""
        query = query or {}
        answer = self._send(route, method, url, body, query)
        if answer.status == 429:
            redis.Redis.from_url(settings.REDIS_URL).flushdb()
            answer = self._send(route, method, url, body, query)
        return answer

    def _send(self, route: Route, method: str, url: str, body: Any, query: Mapping[str, str]) -> Answer:
        sent = [url, *query.values(), *_texts(body), *self.headers.values(), *url.split("/")]
        with self.watch.undone(*([APP] if method == "GET" else [])) as done:
            response, content = self._exchange(route, method, url, body, query)
        if response.headers.get("Location", "").startswith("/accounts/login/") and url.startswith("/app/"):
            raise AssertionError(f"{url} took a member for a stranger: this attacks nothing")
        told = f"{dict(response.headers)} {response.cookies.output()}".encode()
        finding = find_foreign(content, self.watch.victim, sent) or find_foreign(
            told, self.watch.victim, sent
        )
        return Answer(
            response.status_code, content.decode("utf-8", "replace"), finding or self.watch.verdict(done)
        )

    def upload(self, route: Route, file: UploadedFile, sent: Sequence[str]) -> Answer:
        """Post a file as a form; its effects are undone."""
        with self.watch.undone() as done:
            response = self._api.post(route.address(), {"file": file}, headers=self.headers)
        finding = find_foreign(response.content, self.watch.victim, sent) or self.watch.verdict(done)
        return Answer(response.status_code, response.content.decode("utf-8", "replace"), finding)

    def status_of(self, route: Route, method: str, url: str, body: Any) -> int:
        """Return how a request is answered, without looking further."""
        with undone():
            return int(self._exchange(route, method, url, body, needs_of(route, self.company))[0].status_code)

    def methods(self, route: Route, url: str) -> list[str]:
        """Return what the route takes, as it says itself when it is asked for what nobody takes."""
        with undone():
            allowed = self._exchange(route, "TRACE", url, None, {})[0].headers.get("Allow", "")
        return [method for method in METHODS if method in allowed] or list(METHODS)

    def _exchange(
        self, route: Route, method: str, url: str, body: Any, query: Mapping[str, str]
    ) -> tuple[Any, bytes]:
        client = self._api if route.is_api else self._browser
        self._browser.cookies[settings.SESSION_COOKIE_NAME] = self._session  # a page may have ended it
        given: dict[str, Any] = {"query_params": dict(query)} if query else {}
        if method not in ("GET", "TRACE") and route.is_api:
            given |= {"data": orjson.dumps(body or {}), "content_type": "application/json"}
        elif method == "POST":
            given["data"] = body or {}
        response = getattr(client, method.lower())(url, headers=dict(self.headers), **given)
        return response, b"".join(response.streaming_content) if response.streaming else response.content


def _texts(body: Any) -> list[str]:
    if isinstance(body, dict):
        return [text for value in body.values() for text in _texts(value)]
    if isinstance(body, list):
        return [text for value in body for text in _texts(value)]
    return [str(body)] if body else []


def needs_of(route: Route, company: Company) -> dict[str, str]:
    """Return the query without which a request never gets as far as looking for the thing."""
    makers = NEEDS.get(route.pattern, {})
    return {name: make(company) for name, make in makers.items()}


class UrlAttack:
    """Ask as the intruder for the victim's things and for what nobody has: there must be no difference."""

    def __init__(self, report: Report, victim: Company, intruder: Company) -> None:
        self.report, self.victim = report, victim
        watch = Watch(victim, intruder)
        told = {"X-Tenant-ID": str(victim.tenant.id), "X-Tenant": victim.tenant.slug}
        self.intruder = Caller(intruder, watch, headers=told)
        self.owner = Caller(victim, Watch(intruder, victim))
        self.uuids = [thing.value for thing in victim.things if is_uuid(thing.value)]

    def run(self, routes: Iterable[Route] | None = None) -> None:
        """Attack all routes, or some; the staff's and the signed ones have attackers of their own."""
        for route in routes or all_routes():
            if route.pattern.startswith(("admin/", "hooks/")):
                continue
            self.report.aim(_surface(route))
            if route.first and route.pattern not in SHARED | SECRETS:
                self._attack_path(route)
            else:
                self._attack_rest(route, route.address("none"))

    def _attack_path(self, route: Route) -> None:
        name = self._name_that_opens(route)
        if not name:
            self.report.miss(_surface(route), f"{route.pattern}: nothing of the tenant's own opens it")
            return
        query = needs_of(route, self.intruder.company)
        for method in self.owner.methods(route, route.address(name)):
            body = self._body(route, method)
            strange = self.intruder.ask(route, method, route.address(_nobodys(name)), body, query)
            found = self.intruder.ask(route, method, route.address(name), body, query)
            self._judge(route, f"{method} {route.pattern}", found, control=strange)
        self._attack_rest(route, route.address(name))

    def _name_that_opens(self, route: Route) -> str:
        """Return by which name the owner reaches something: an attack with any other proves nothing."""
        ranked = self._ranked(route)
        nobodys = route.address(_nobodys(next(iter(ranked), "none")))
        bodies = {method: self._body(route, method) for method in self.owner.methods(route, nobodys)}
        refusals = {m: self.owner.status_of(route, m, nobodys, body) for m, body in bodies.items()}
        for name in ranked:
            for method, body in bodies.items():
                if self.owner.status_of(route, method, route.address(name), body) != refusals[method]:
                    return name
        return ""

    def _body(self, route: Route, method: str) -> Any:
        return build_body(route, method, self._ranked(route)) if route.is_api else {}

    def _ranked(self, route: Route) -> list[str]:
        kind = route.first[0] if route.first else "uuid"
        shared = {thing.value for thing in self.intruder.company.things}
        ranked = [name for name in self.victim.ids_for(*route.hints) if name not in shared]
        if kind == "uuid":
            return [name for name in ranked if is_uuid(name) and "-" in name]
        if kind == "int":
            return [name for name in ranked if name.isdecimal()]
        return [self.victim.mark, *(name for name in ranked if not is_uuid(name) and "/" not in name)]

    def _attack_rest(self, route: Route, url: str) -> None:
        """Put the victim's names wherever a request may carry one."""
        own = self.intruder.ask(route, "GET", url)
        self._judge(route, f"GET {route.pattern}", own)
        names = query_names(route) if route.is_api else control_names(own.text) if own.is_page else []
        ranked = self.victim.ids_for(*route.hints)
        for name in names:
            for value in self._values(name):
                answer = self.intruder.ask(route, "GET", url, query={name: value})
                self._judge(route, f"GET {route.pattern}?{name}=", answer)
        if not route.first:
            for method in set(self.intruder.methods(route, url)) - {"GET"}:
                body = (
                    build_body(route, method, self.uuids) if route.is_api else dict.fromkeys(names, ranked[0])
                )
                self._judge(route, f"{method} {route.pattern}", self.intruder.ask(route, method, url, body))

    def _values(self, name: str) -> list[str]:
        fitting = next((i for i in self.victim.ids_for(name) if is_uuid(i)), self.uuids[0])
        is_cursor = name in ("cursor", "after", "before")
        return cursors_at(fitting) if is_cursor else [fitting, self.victim.mark]

    def _judge(self, route: Route, what: str, answer: Answer, control: Answer | None = None) -> None:
        surface = _surface(route)
        if answer.status >= 500 and not answer.finding:
            self.report.miss(surface, f"{what}: answers {answer.status}")
            return
        finding = answer.finding
        if control and not finding and answer.status != control.status:
            finding = f"answers {answer.status}, but {control.status} for what nobody has"
        self.report.judge(surface, what, finding)


def _surface(route: Route) -> str:
    return "api" if route.is_api else "pages"


def _nobodys(name: str) -> str:
    """Return a name of the same kind that nobody has."""
    if name.isdecimal():
        return str(2**31 - 1)
    return str(uuid.uuid4()) if is_uuid(name) else f"{name[:3]}{uuid.uuid4().hex[: max(4, len(name) - 3)]}"
