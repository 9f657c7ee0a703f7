"""Settings of the tests: one database, and one Valkey database number, for each pytest worker."""

from aiaas.settings.base import *  # noqa: F403
from aiaas.settings.base import CACHES, CHANNEL_LAYERS, DATABASES, REDIS_URL, env

WORKER = env.str("PYTEST_XDIST_WORKER", default="main")
ALLOWED_HOSTS = ["*"]
DEMO_PAGES = True
STAFF_REQUIRES_MFA = False  # tests that look at it switch it on
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = True
for alias in DATABASES:
    DATABASES[alias]["NAME"] = f"test_{WORKER}"
    DATABASES[alias].pop("OPTIONS", None)
REDIS_DB = 1 + int(WORKER.removeprefix("gw")) if WORKER.startswith("gw") else 0
REDIS_URL = f"{REDIS_URL.rstrip('/')}/{REDIS_DB}"
CACHES["default"]["LOCATION"] = REDIS_URL
CHANNEL_LAYERS["default"]["CONFIG"]["hosts"] = [REDIS_URL]
CELERY_BROKER_URL = REDIS_URL
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOGGING = {"format": "text", "level": "WARNING"}
LOGINS_PER_MINUTE = PAGES_PER_MINUTE = 1_000_000  # the tests all come from one address
