"""WebSocket entry point (granian, ASGI); plain HTTP stays with the WSGI process."""

import os

import django
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path, re_path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aiaas.settings.local")
django.setup()

from apps.realtime.consumer import ChatConsumer, refuse_unknown_path  # noqa: E402 - needs the apps
from apps.realtime.hub import Hub  # noqa: E402
from apps.realtime.operations import Lifespan, serve_operations  # noqa: E402

hub = Hub()
application = ProtocolTypeRouter(
    {
        "websocket": URLRouter(
            [path("ws/chat/", ChatConsumer(hub)), re_path("", refuse_unknown_path)]  # type: ignore[arg-type]
        ),
        "http": serve_operations,
        "lifespan": Lifespan(hub),
    }
)
