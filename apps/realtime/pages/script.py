"""The widget's script, with the public settings of the key that it is asked for with."""

import hashlib
from functools import cache
from typing import Any

import orjson
import structlog
from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import condition, require_safe

from apps.realtime.widget_settings.selectors import find_widget
from apps.realtime.widget_settings.texts import WIDGET_DIR, read_texts

logger = structlog.get_logger(__name__)

WIDGET_PARTS = (
    "styles", "nodes", "drawer", "settings", "messages", "connection", "preview", "forms", "thread", "entry",
    "chat", "mount",
)  # fmt: skip
PLAIN_CACHE = "public, max-age=300, stale-while-revalidate=86400"
KEYED_CACHE = "public, max-age=60, stale-while-revalidate=300"  # a change of settings is seen soon


def build_widget(realtime_url: str, public: dict[str, Any] | None = None) -> str:
    """Join the widget's parts into one script that knows where to connect, and how one key is set."""
    constants = {"REALTIME_URL": realtime_url, "SETTINGS": public, "TEXTS": read_texts()}
    lines = [f"const {name} = {orjson.dumps(value).decode()};" for name, value in constants.items()]
    return "\n".join(['(() => {\n"use strict";', *lines, _parts(), "})();\n"])


@cache
def _parts() -> str:
    return "\n".join((WIDGET_DIR / f"{name}.js").read_text() for name in WIDGET_PARTS)


def _script(request: HttpRequest) -> str:
    key = request.GET.get("key", "")
    try:
        widget = find_widget(key) if key else None
    except DatabaseError:  # the launcher shows all the same; its socket will tell more
        logger.exception("widget_settings_not_read")
        widget = None
    return build_widget(settings.REALTIME_URL, widget.public if widget else None)


def _etag(request: HttpRequest) -> str:
    return f'"{hashlib.sha256(_script(request).encode()).hexdigest()[:32]}"'


@gzip_page
@require_safe
@condition(etag_func=_etag)
def show_widget(request: HttpRequest) -> HttpResponse:
    """Return the widget's script, for pages of any origin."""
    return HttpResponse(
        _script(request),
        content_type="text/javascript; charset=utf-8",
        headers={
            "Cache-Control": KEYED_CACHE if "key" in request.GET else PLAIN_CACHE,
            "Access-Control-Allow-Origin": "*",
            "Cross-Origin-Resource-Policy": "cross-origin",
        },
    )
