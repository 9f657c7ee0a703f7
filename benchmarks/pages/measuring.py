"""Ask for pages one after the other, and say which were too slow."""

import os
import statistics
import time
from collections.abc import Iterable
from typing import Any, TextIO

from django.contrib.auth import get_user_model
from django.test import Client

from apps.tenants.contracts import Role, TenantRef
from apps.tenants.services import add_member
from benchmarks.pages.addresses import Address

REQUESTS, WARM = 30, 3
TARGET_MS, OVERVIEW_MS = 300, 200
BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
OWNER_EMAIL = "owner@bench.example"


def measure(tenant: TenantRef, addresses: Iterable[Address], stdout: TextIO) -> dict[str, Any]:
    """Print and return p50 and p95 of every page, and `failures`: what was too slow or no page."""
    client, pages, left_out, failures = _log_in(tenant), {}, {}, []
    stdout.write(f"load {os.getloadavg()[0]:.1f}\n{'page':<62}{'p50 ms':>9}{'p95 ms':>9}\n")
    for address in addresses:
        if address.reason:
            left_out[address.route] = address.reason
            continue
        trouble = _look(client, address.url)
        if trouble:
            failures.append(f"{address.route}: {trouble}")
            continue
        p50_ms, p95_ms = _time(client, address.url)
        limit_ms = OVERVIEW_MS if address.url.partition("?")[0] == "/app/" else TARGET_MS
        mark = "" if p95_ms <= limit_ms else "  SLOW"
        if mark:
            failures.append(f"{address.route}: p95 {p95_ms:.0f} ms, at most {limit_ms}")
        stdout.write(f"{address.route:<62}{p50_ms:>9.1f}{p95_ms:>9.1f}{mark}\n")
        stdout.flush()
        pages[address.route] = {"p50_ms": round(p50_ms, 1), "p95_ms": round(p95_ms, 1)}
    stdout.write(f"load {os.getloadavg()[0]:.1f}; {len(pages)} measured, {len(left_out)} are no pages\n")
    worst = max(page["p95_ms"] for page in pages.values())
    return {"pages": pages, "left_out": left_out, "worst_p95_ms": worst, "failures": failures}


def _log_in(tenant: TenantRef) -> Client:
    add_member(tenant=tenant, email=OWNER_EMAIL, role=Role.OWNER, name="Owner")
    client = Client(headers={"Accept": "text/html"})
    client.force_login(get_user_model().objects.get(email=OWNER_EMAIL), backend=BACKEND)
    session = client.session
    session["tenant"] = tenant.slug
    session.save()
    return client


def _look(client: Client, url: str) -> str:
    """Return what is wrong with a page, an empty string for nothing."""
    answer = client.get(url)
    kind = answer.headers.get("Content-Type", "")
    if answer.status_code != 200:
        return f"{url} answered {answer.status_code}"
    return "" if kind.startswith("text/html") else f"{url} is {kind or 'nothing'}, say why in NOT_PAGES"


def _time(client: Client, url: str) -> tuple[float, float]:
    """Return p50 and p95 in milliseconds."""
    timings = []
    for _ in range(WARM + REQUESTS):
        started = time.perf_counter()
        client.get(url)
        timings.append((time.perf_counter() - started) * 1000)
    timings = timings[WARM:]
    return statistics.median(timings), statistics.quantiles(timings, n=20)[-1]
