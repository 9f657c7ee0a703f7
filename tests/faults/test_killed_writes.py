"""Kill a process between any two steps of a write with an Idempotency-Key: one effect, and its answer."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connections
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone

from apps.crm.models import Customer
from apps.gateway.models import IdempotencyRecord
from apps.orchestration.models import AgentRun
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.services import create_api_key
from tests.live import LiveDatabase

pytestmark = pytest.mark.fault
KEY = "the-same-key"
CUSTOMERS = ("/api/v1/customers", '{"name": "Once"}')
RUNS = ("/api/v1/runs?wait=1", '{"workflow": "order_cancellation", "input": {"order_number": "77"}}')

# Where the process dies: before or after the call of a function of the chain.
POINTS = {
    "claimed": "apps.gateway.middleware.keyed_writes.KeyedWriteMiddleware.__call__ before",
    "done": "apps.gateway.middleware.keyed_writes.settle_write before",
    "remembered": "apps.gateway.middleware.keyed_writes.settle_write after",
    "committed": "apps.gateway.middleware.keyed_writes.KeyedWriteMiddleware.__call__ after",
}
DYING = """
import os, signal, sys
from importlib import import_module
import django
django.setup()
from django.test import Client
path, body, token, key, point = sys.argv[1:]
place, when = point.split()
owner, _, name = place.rpartition(".")
try:
    owner = import_module(owner)
except ModuleNotFoundError:
    module, _, holder = owner.rpartition(".")
    owner = getattr(import_module(module), holder)
real = getattr(owner, name)
def die(): os.kill(os.getpid(), signal.SIGKILL)
def mortal(*args, **kwargs):
    if when == "before": die()
    real(*args, **kwargs)
    die()
setattr(owner, name, mortal)
headers = {"Authorization": f"Api-Key {token}", "Idempotency-Key": key}
Client(headers=headers).post(path, body, content_type="application/json")
"""


def die_while_posting(live: LiveDatabase, token: str, request: tuple[str, str], point: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DYING, *request, token, KEY, point],
        env={**os.environ, **live.environment(), "DJANGO_SETTINGS_MODULE": "aiaas.settings.local"},
        cwd=settings.ROOT,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def end_leases(tenant: TenantRef) -> None:
    with in_tenant(tenant):
        IdempotencyRecord.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        AgentRun.objects.update(due_at=timezone.now())


def new_client(token: str, key: str = KEY) -> Client:
    return Client(headers={"Authorization": f"Api-Key {token}", "Idempotency-Key": key})


@pytest.fixture
def token(live_db: LiveDatabase, acme: TenantRef) -> str:
    return create_api_key(tenant=acme, name="fault", scopes=["api:read", "api:write"]).token


@pytest.mark.parametrize("point", POINTS)
def test_a_repeat_after_kill_9_finds_the_effect_or_makes_it(live_db, acme, token: str, point: str):
    die_while_posting(live_db, token, CUSTOMERS, POINTS[point])
    end_leases(acme)
    with in_tenant(acme):
        assert Customer.objects.filter(name="Once").count() == int(point == "committed")
    again, once_more = (
        new_client(token).post(CUSTOMERS[0], CUSTOMERS[1], content_type="application/json") for _ in range(2)
    )
    assert (again.status_code, again.content) == (201, once_more.content)
    assert ("Idempotent-Replayed" in again) == (point == "committed")
    with in_tenant(acme):
        assert Customer.objects.filter(name="Once").count() == 1


def test_a_run_that_is_waited_for_is_started_once(live_db, acme, token: str):
    die_while_posting(live_db, token, RUNS, "apps.gateway.middleware.idempotency.settle_write before")
    end_leases(acme)
    again = new_client(token).post(RUNS[0], RUNS[1], content_type="application/json")
    assert again.status_code == 201
    with in_tenant(acme):
        assert [str(id_) for id_ in AgentRun.objects.values_list("id", flat=True)] == [again.json()["id"]]


def test_the_same_key_at_the_same_moment_has_one_effect(live_db, acme, token: str):
    def post(_number: int) -> tuple[int, bytes]:
        try:
            told = new_client(token).post(CUSTOMERS[0], CUSTOMERS[1], content_type="application/json")
            return told.status_code, told.content
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        told = list(threads.map(post, range(16)))
    assert len({body for status, body in told if status == 201}) == 1
    assert {status for status, _ in told} <= {201, 409}
    with in_tenant(acme):
        assert Customer.objects.filter(name="Once").count() == 1


def test_a_request_whose_lease_has_ended_has_no_effect(live_db, acme, token: str, monkeypatch):
    from apps.crm.api import customers

    real = customers.services.create_customer

    def slow(**given):
        made = real(**given)
        with in_tenant(acme):  # another took the key over meanwhile
            IdempotencyRecord.objects.update(lease_token="01935c1e-0000-7000-8000-000000000000")
        return made

    monkeypatch.setattr(customers.services, "create_customer", slow)
    told = new_client(token).post(CUSTOMERS[0], CUSTOMERS[1], content_type="application/json")
    assert told.status_code == 409
    with in_tenant(acme):
        assert not Customer.objects.filter(name="Once").exists()


# Views that wait for something outside, or write nothing; each says by what a repeat is known.
KEYED_BY_THEMSELVES = {
    "ChatCompletionsView",
    "ConversationViewSet",
    "DryRunView",
    "HookView",
    "RouteView",
    "RouterModelsView",
    "RunsView",
    "Search",
}


def test_every_other_write_is_one_transaction_with_its_answer():
    found = set()

    def walk(patterns):
        for entry in patterns:
            if hasattr(entry, "url_patterns"):
                walk(entry.url_patterns)
            elif getattr(getattr(entry.callback, "cls", None), "keys_itself", False):
                found.add(entry.callback.cls.__name__)

    walk(get_resolver().url_patterns)
    assert found == KEYED_BY_THEMSELVES
