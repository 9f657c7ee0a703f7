"""A person's sessions: where they are logged in, when each was last seen, and their end."""

import datetime as dt
import time
from dataclasses import dataclass
from typing import Any

from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.sessions.models import Session
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from apps.resilience.errors import NotFoundError
from apps.tenants.client_address import request_address

SEEN_EVERY_S = 300
SESSION_SEEN = "seen_at"
MAX_SHOWN = 100
BROWSERS = [
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("Chrome", "Chrome"),
    ("CriOS", "Chrome"),
    ("Safari", "Safari"),
]
SYSTEMS = [
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"),
    ("Mac OS", "macOS"), ("CrOS", "ChromeOS"), ("Linux", "Linux"),
]  # fmt: skip


@dataclass(frozen=True)
class SessionView:
    id: int
    device: str
    address: str
    created_at: dt.datetime
    last_seen_at: dt.datetime
    is_current: bool


class SessionActivityMiddleware:
    """Note every few minutes that a browser session is in use, and from where."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if settings.SESSION_COOKIE_NAME in request.COOKIES and not request.path.startswith("/api/"):
            _note_activity(request)
        response: HttpResponse = self.get_response(request)
        return response


def list_sessions(request: HttpRequest) -> list[SessionView]:
    """Return where the person who asks is logged in, the last seen first; what has ended is forgotten."""
    user: Any = request.user
    known = list(UserSession.objects.filter(user_id=user.id).order_by("-last_seen_at", "-id")[:MAX_SHOWN])
    keys = [session.session_key for session in known]
    stored = Session.objects.filter(session_key__in=keys, expire_date__gt=timezone.now())
    proof = user.get_session_auth_hash()
    alive = {
        row.session_key
        for row in stored
        if constant_time_compare(row.get_decoded().get(HASH_SESSION_KEY, ""), proof)
    }
    UserSession.objects.filter(session_key__in=set(keys) - alive).delete()
    own = request.session.session_key
    return [_view(session, own) for session in known if session.session_key in alive]


def end_session(request: HttpRequest, session_id: int) -> None:
    """End one of the asking person's sessions, at once; raises NotFoundError."""
    found = UserSession.objects.filter(user_id=request.user.pk, id=session_id).first()
    if found is None:
        raise NotFoundError("There is no such session, or it has ended.")
    found.end()


def end_other_sessions(request: HttpRequest) -> int:
    """End all of the asking person's sessions but this one, and return how many ended."""
    others = UserSession.objects.filter(user_id=request.user.pk)
    others = others.exclude(session_key=request.session.session_key)
    keys = list(others.values_list("session_key", flat=True))
    Session.objects.filter(session_key__in=keys).delete()
    others.filter(session_key__in=keys).delete()
    return len(keys)


def name_device(user_agent: str) -> str:
    """Return browser and system of a User-Agent header, as a person would say it."""
    browser = next((name for mark, name in BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in SYSTEMS if mark in user_agent), "")
    return " on ".join(part for part in (browser, system) if part) or "Unknown device"


def _note_activity(request: HttpRequest) -> None:
    if time.time() - request.session.get(SESSION_SEEN, 0) < SEEN_EVERY_S or not request.user.is_authenticated:
        return
    address = request_address()
    if address is None:
        return
    agent = request.headers.get("User-Agent", "")[: UserSession._meta.get_field("user_agent").max_length]
    fields = {"user": request.user, "ip": address, "user_agent": agent, "last_seen_at": timezone.now()}
    UserSession.objects.update_or_create(session_key=request.session.session_key, defaults=fields)
    request.session[SESSION_SEEN] = time.time()


def _view(session: UserSession, own: str | None) -> SessionView:
    return SessionView(
        id=session.id,
        device=name_device(session.user_agent),
        address=session.ip,
        created_at=session.created_at,
        last_seen_at=session.last_seen_at,
        is_current=session.session_key == own,
    )
