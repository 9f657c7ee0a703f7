"""HTTP entry point (granian, WSGI)."""

import os
import threading

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aiaas.settings.local")
application = get_wsgi_application()

from aiaas.observability.pulse import start_pulse  # noqa: E402 - needs the apps
from apps.orchestration.services import warm_up  # noqa: E402 - needs the apps

# Answers requests meanwhile; the first message that waits for its reply finds everything loaded.
start_pulse("web")
threading.Thread(target=warm_up, name="warm-up", daemon=True).start()
