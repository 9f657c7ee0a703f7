"""Every example of docs/api.md, run as it stands against the product's processes."""

import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings

from apps.orchestration.hooks.services import create_endpoint
from apps.tenants.contracts import Role, TenantRef
from apps.tenants.selectors import get_widget_key
from apps.tenants.services import add_member, create_api_key
from tests.live import LiveDatabase
from tests.product import Product, running, wait_for

pytestmark = pytest.mark.journey
EXAMPLE = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INTERPRETERS = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}


def examples() -> list[tuple[str, str]]:
    page = (Path(django_settings.ROOT) / "docs" / "api.md").read_text()
    return [(found[1], found[2]) for found in EXAMPLE.finditer(page)]


def run(language: str, code: str, environment: dict[str, str]) -> str:
    command = [*INTERPRETERS[language], code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def environment_of(product: Product, tenant: TenantRef) -> dict[str, str]:
    hook = create_endpoint(tenant=tenant, name="support", action="workflows", actor="docs")
    return {
        "PATH": os.environ["PATH"],
        "AIAAS_URL": product.url,
        "AIAAS_WS": product.socket_url.removesuffix("/ws/chat/"),
        "AIAAS_KEY": create_api_key(tenant=tenant, name="docs", scopes=["api:read", "api:write"]).token,
        "AIAAS_WIDGET_KEY": get_widget_key(tenant=tenant).key,
        "AIAAS_HOOK": f"{product.url}/hooks/{tenant.slug}/support",
        "AIAAS_HOOK_SECRET": hook.secret,
    }


def knows_how_to_return_a_parcel(product: Product, key: str) -> bool:
    with product.client(key) as client:
        return bool(client.post("/api/v1/search", json={"query": "return a parcel"}).json().get("results"))


def test_every_example_does_what_the_page_says(
    live_db: LiveDatabase, acme: TenantRef, tmp_path: Path, settings: Any
):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]  # as the processes have
    password = "correct horse battery staple"
    add_member(tenant=acme, email="ada@acme.example", role=Role.OWNER, password=password)
    with running(live_db, tmp_path, "web", "realtime", "worker") as product:
        environment = environment_of(product, acme)
        printed: list[str] = []
        for language, code in examples():
            printed.append(run(language, code, environment))
            if "api/v1/documents" in code:
                find = partial(knows_how_to_return_a_parcel, product, environment["AIAAS_KEY"])
                wait_for(find, "the document is searchable")
    check(printed)


def check(printed: list[str]) -> None:
    me, token, ended, keys, key, acts, _lines, _document, *rest = printed
    started, listed, usage, whole, streamed, socket, hooked, _, found = rest
    assert json.loads(me)["kind"] == "api_key"
    assert json.loads(token)["token_type"] == "Bearer"
    assert ended.strip() == "204"
    assert "RS256" in keys
    assert json.loads(key)["scopes"] == ["read:usage"]
    assert json.loads(acts)["results"][0]["action"] == "api_key.created"
    assert "slip" in json.loads(started)["reply"]["text"]
    assert len(json.loads(listed)["results"]) == 1
    assert "results" in json.loads(usage)
    assert "customer_support_workflow" in whole
    assert "slip" in whole
    assert "30 days" in streamed
    assert re.search(r"\d+ tokens", streamed)
    assert "slip" in socket
    [run] = json.loads(hooked)["runs"]
    assert run["workflow"] == "customer_support_workflow"
    assert run["conversation"]
    assert json.loads(found)["results"][0]["title"] == "Returns"
