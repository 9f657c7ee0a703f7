"""WebSocket entry point (granian, ASGI); plain HTTP stays with the WSGI process."""

import os

import django
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.urls import path, re_path
from django.utils.module_loading import import_string

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aiaas.settings.local")
django.setup()

from aiaas.observability.pulse import start_pulse  # noqa: E402 - needs the apps
from aiaas.subscriptions import IN_TRANSACTION  # noqa: E402 - needs the apps
from apps.realtime.consumer import ChatConsumer, InboxConsumer, refuse_unknown_path  # noqa: E402
from apps.realtime.hub import Hub  # noqa: E402
from apps.realtime.operations import Lifespan, serve_operations  # noqa: E402

for handler in {name for names in IN_TRANSACTION.values() for name in names}:
    import_string(handler)  # now, and not while the first customer waits

import_string(settings.VISITOR_LIMITER)

start_pulse("realtime")
hub = Hub()
application = ProtocolTypeRouter(
    {
        "websocket": URLRouter(
            [
                path("ws/chat/", ChatConsumer(hub)),  # type: ignore[arg-type]
                path("ws/inbox/", InboxConsumer(hub)),  # type: ignore[arg-type]
                re_path("", refuse_unknown_path),  # type: ignore[arg-type]
            ]
        ),
        "http": serve_operations,
        "lifespan": Lifespan(hub),
    }
)
