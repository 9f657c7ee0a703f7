"""Settings of a laptop: what `manage.py up` runs with."""

from aiaas.settings.base import *  # noqa: F403
from aiaas.settings.base import env

ALLOWED_HOSTS = ["*"]
DEMO_PAGES = True
STAFF_REQUIRES_MFA = False
WHITENOISE_USE_FINDERS = True
LOGGING = {"format": env.str("LOG_FORMAT", default="text"), "level": env.str("LOG_LEVEL", default="INFO")}
