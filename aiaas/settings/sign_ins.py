"""Turn OIDC_PROVIDERS into allauth's configuration, or refuse to start."""

import re
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

REQUIRED = ("id", "name", "issuer", "client_id", "client_secret")
ID = re.compile(r"[a-z0-9][a-z0-9-]{0,38}")
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def build_providers(entries: Any) -> dict[str, Any]:
    """Return SOCIALACCOUNT_PROVIDERS; raises ImproperlyConfigured naming what is wrong with an entry."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ImproperlyConfigured("OIDC_PROVIDERS must be a JSON list of objects")
    apps = [_build_app(entry) for entry in entries]
    if len({app["provider_id"] for app in apps}) < len(apps):
        raise ImproperlyConfigured("OIDC_PROVIDERS: each entry needs an id of its own")
    provider = {"provider_class": "apps.accounts.oidc.provider.OidcProvider", "APPS": apps}
    return {"openid_connect": provider}


def _build_app(entry: dict[str, Any]) -> dict[str, Any]:
    missing = [key for key in REQUIRED if not isinstance(entry.get(key), str) or not entry[key]]
    unknown = sorted(set(entry) - {*REQUIRED, "trusts_email"})
    if missing or unknown:
        raise ImproperlyConfigured(f"OIDC_PROVIDERS: missing {missing}, unknown {unknown}")
    if not ID.fullmatch(entry["id"]):
        raise ImproperlyConfigured("OIDC_PROVIDERS: an id is small letters, digits and hyphens")
    address = urlsplit(entry["issuer"])
    if address.scheme != "https" and address.hostname not in LOOPBACK:
        raise ImproperlyConfigured(f"OIDC_PROVIDERS: the issuer of {entry['id']} must begin with https://")
    if not isinstance(entry.get("trusts_email", False), bool):
        raise ImproperlyConfigured("OIDC_PROVIDERS: trusts_email is true or false")
    return {
        "provider_id": entry["id"],
        "name": entry["name"],
        "client_id": entry["client_id"],
        "secret": entry["client_secret"],
        "settings": {
            "server_url": entry["issuer"].rstrip("/"),
            "email_authentication": entry.get("trusts_email", False),
        },
    }
