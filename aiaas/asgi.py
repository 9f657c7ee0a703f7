"""WebSocket entry point (granian, ASGI); plain HTTP stays with the WSGI process."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aiaas.settings.local")
application = get_asgi_application()
