"""Kill the process that sends webhooks at each of its steps: nothing is lost, a repeat has the same id."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import pytest
from django.conf import settings as django_settings

from apps.tenants.contracts import TenantRef
from tests.live import LiveDatabase
from tests.webhooks.conftest import Receiver, tell
from tests.webhooks.test_sending import attempts, deliveries, hurry, listen, signature, sweep

pytestmark = pytest.mark.fault
EVENTS = 3
# The function at which the process dies, before or after its work; all but the first leave something behind.
POINTS = {
    "claimed": "attempt before",
    "prepared": "_prepare after",
    "received": "_send after",
    "settling": "_finish after",
    "committed": "attempt after",
}
DYING = """
import os, signal, sys
import django
django.setup()
from apps.webhooks.services import sending
name, when = sys.argv[1:]
real = getattr(sending, name)
def die(): os.kill(os.getpid(), signal.SIGKILL)
def mortal(*args, **kwargs):
    if when == "before": die()
    real(*args, **kwargs)
    die()
setattr(sending, name, mortal)
sending.sweep_due_deliveries(limit=10, submit=lambda work: work())
"""


@pytest.fixture
def system(settings) -> Iterator[Receiver]:
    with Receiver.open() as opened:
        settings.OUTBOUND_ALLOW = [opened.url.removeprefix("http://")]
        yield opened


def die_while_sending(live: LiveDatabase, system: Receiver, point: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DYING, *point.split()],
        env={
            **os.environ,
            **live.environment(),
            "DJANGO_SETTINGS_MODULE": "aiaas.settings.local",
            "OUTBOUND_ALLOW": system.url.removeprefix("http://"),
        },
        cwd=django_settings.ROOT,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


@pytest.mark.parametrize("point", POINTS)
def test_every_event_arrives_and_a_repeat_has_the_same_id(
    live_db: LiveDatabase, acme: TenantRef, globex: TenantRef, system: Receiver, point: str
):
    secrets = {tenant.id: listen(tenant, system, f"/{tenant.slug}").secret for tenant in (acme, globex)}
    for _ in range(EVENTS):
        for tenant in (acme, globex):
            tell(tenant)
    wanted = {one.webhook_id for tenant in (acme, globex) for one in deliveries(tenant)}
    assert len(wanted) == 2 * EVENTS
    die_while_sending(live_db, system, POINTS[point])
    sent_by_the_dead = len(system.requests)
    assert sent_by_the_dead == (point in ("received", "settling", "committed"))
    assert sweep() == 0, "what was claimed is the dead process's until its lease ends"
    for tenant in (acme, globex):
        hurry(tenant)
    assert sweep() == len(wanted) - (point == "committed")
    assert_arrived(system, wanted, repeats=int(point in ("received", "settling")))
    for request in system.requests:
        owner = acme if request["path"] == "/acme" else globex
        assert request["headers"]["webhook-signature"] == signature(secrets[owner.id], request)
    for tenant in (acme, globex):
        assert {one.status for one in deliveries(tenant)} == {"delivered"}
    outcomes = Counter(one.outcome for tenant in (acme, globex) for one in attempts(tenant))
    assert outcomes["succeeded"] == len(wanted)
    assert outcomes["started"] == 0
    assert outcomes["interrupted"] == len(wanted) - (point == "committed")


def assert_arrived(system: Receiver, wanted: set[str], *, repeats: int) -> None:
    """Each arrived; what came twice is the very same, as its id says."""
    bodies: dict[str, set[bytes]] = {}
    for request in system.requests:
        bodies.setdefault(request["headers"]["webhook-id"], set()).add(request["body"])
    assert bodies.keys() == wanted
    assert {len(one) for one in bodies.values()} == {1}
    assert len(system.requests) == len(wanted) + repeats
