"""Settings of a laptop: what `manage.py up` runs with."""

from aiaas.settings.base import *  # noqa: F403

ALLOWED_HOSTS = ["*"]
WHITENOISE_USE_FINDERS = True
