"""The demo's logins: passwords of this installation only, and the API keys that were issued at seeding."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

from django.conf import settings
from django.utils.crypto import salted_hmac

from aiaas.demo.companies import Company, read_companies


def demo_password(email: str) -> str:
    """Derive a person's demo password from this installation's secret: nothing to store, nothing to guess."""
    digest = salted_hmac("aiaas.demo.password", email, algorithm="sha256").digest()
    letters = base64.b32encode(digest).decode().lower()
    return "-".join(letters[start : start + 4] for start in (0, 4, 8))


def list_logins() -> list[tuple[str, str]]:
    """Return (who, how) of everybody who can log in to a seeded demo company, and its API key."""
    keys = read_api_keys()
    return [line for company in read_companies() if company.slug in keys for line in _lines(company, keys)]


def _lines(company: Company, keys: dict[str, str]) -> list[tuple[str, str]]:
    people = [
        (f"{company.name}, {person.role}", f"{person.email}  {demo_password(person.email)}")
        for person in company.people
    ]
    return [*people, (f"{company.name}, API key", keys[company.slug])]


def read_api_keys() -> dict[str, str]:
    """Return the demo companies' API keys by slug, as far as they were issued here."""
    try:
        return dict(json.loads(_path().read_text()))
    except FileNotFoundError:
        return {}


def keep_api_key(slug: str, token: str) -> None:
    """Note a demo company's API key in a file that only this user can read."""
    keys = read_api_keys() | {slug: token}
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(json.dumps(keys))
    os.replace(draft, path)


def _path() -> Path:
    return Path(settings.DATA_DIR) / "demo-api-keys.json"
