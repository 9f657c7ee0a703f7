"""Settings of an installation: refuses to start without real secrets."""

from django.core.exceptions import ImproperlyConfigured

from aiaas.settings.base import *  # noqa: F403
from aiaas.settings.base import ALLOWED_HOSTS, SECRET_KEY, SECRETS_KEYS

if len(SECRET_KEY) < 50 or SECRET_KEY.startswith(("local-", "test-", "change-me")):
    raise ImproperlyConfigured("SECRET_KEY must be a random string of at least 50 characters")
if any(len(key) < 32 for key in SECRETS_KEYS):
    raise ImproperlyConfigured("SECRETS_KEYS must be random strings of at least 32 characters")
if not ALLOWED_HOSTS:
    raise ImproperlyConfigured("ALLOWED_HOSTS must name the hosts that this installation serves")

SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = True
SECURE_HSTS_SECONDS = 31_536_000
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
