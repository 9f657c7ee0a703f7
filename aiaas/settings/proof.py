"""Settings of `prove_isolation`: throwaway servers of its own, and nothing outside is ever called."""

from aiaas.settings.base import *  # noqa: F403

ALLOWED_HOSTS = ["*"]
OPENAI_API_KEY = OPENAI_BASE_URL = OTEL_EXPORTER_OTLP_ENDPOINT = ""
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = True
LOGGING = {"format": "text", "level": "CRITICAL"}
