"""HTTP entry point (granian, RSGI)."""

from aiaas.wsgi import application as wsgi  # isort: skip - sets up Django

from django.conf import settings

from aiaas.serving import Doorway

application = Doorway(wsgi, threads=settings.WEB_THREADS)
