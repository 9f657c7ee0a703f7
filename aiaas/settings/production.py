"""Settings of an installation: refuses to start without real secrets."""

from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from aiaas.settings.base import *  # noqa: F403
from aiaas.settings.base import (
    ALLOWED_HOSTS,
    BEHIND_TLS_PROXY,
    CSRF_TRUSTED_ORIGINS,
    PUBLIC_URL,
    SECRET_KEY,
    SECRETS_KEYS,
    SIGN_UP_NEEDS_PROOF,
)

if len(SECRET_KEY) < 50 or SECRET_KEY.startswith(("local-", "test-", "change-me")):
    raise ImproperlyConfigured("SECRET_KEY must be a random string of at least 50 characters")
if any(len(key) < 32 for key in SECRETS_KEYS):
    raise ImproperlyConfigured("SECRETS_KEYS must be random strings of at least 32 characters")
if not ALLOWED_HOSTS:
    raise ImproperlyConfigured("ALLOWED_HOSTS must name the hosts that this installation serves")

if SIGN_UP_NEEDS_PROOF is None:
    SIGN_UP_NEEDS_PROOF = True

# Without a proxy the header is a stranger's word: whoever sent it would be taken for encrypted.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_TLS_PROXY else None
SECURE_SSL_REDIRECT = True
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)$"]  # asked for inside, past the proxy
SECURE_HSTS_SECONDS = 31_536_000
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
# The prefix makes browsers refuse such a cookie from anywhere but this very host, over TLS.
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-session", "__Host-csrf"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
CSRF_COOKIE_HTTPONLY = True  # pages carry the token themselves
CSRF_TRUSTED_ORIGINS = [
    *CSRF_TRUSTED_ORIGINS,
    *([f"https://{urlsplit(PUBLIC_URL).netloc}"] if PUBLIC_URL.startswith("https://") else []),
]
