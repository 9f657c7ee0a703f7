"""Every workflow that is shipped leaves a history from which its runs can be rebuilt."""

from pathlib import Path
from typing import Any

import pytest

from apps.conversations.services import start_conversation
from apps.crm import services as crm
from apps.orchestration import definitions
from apps.orchestration.dispatching import sweep_due_runs
from apps.orchestration.models import AgentRun
from apps.orchestration.verifying import verify_runs
from apps.tenants.context import in_tenant
from tests.orchestration.engine import start

pytestmark = pytest.mark.usefixtures("live_db", "no_hints", "valkey", "closed_breakers")
LIBRARY = Path(definitions.__file__).parent / "library"
# What each is started with; None where a customer's message starts it.
INPUTS: dict[str, dict[str, Any] | None] = {
    "customer_support": None,
    "lead_capture": {"text": "We want 40 lamps, write to ada@shop.example", "channel": "api"},
    "order_cancellation": {"order_number": "1042"},
    "customer_support_saga": {"text": "How long does delivery take?"},
    "order_recall": {"order_numbers": ["2001", "2002"]},
}

NAMES = {"customer_support": "customer_support_workflow"}


def test_every_shipped_example_is_tried() -> None:
    assert {path.stem for path in LIBRARY.glob("*.yaml")} == INPUTS.keys(), "say here what it is started with"


def test_the_histories_of_all_shipped_examples_are_replayed(acme, globex) -> None:
    for tenant in (acme, globex):
        for number in ("1042", "2001", "2002"):
            crm.create_order(tenant=tenant, number=number, total_cents=100, items=[])
    for name, given in INPUTS.items():
        if given is None:
            start_conversation(tenant=acme, channel="api", text="Where is my order 1042?")
        else:
            start(acme, name, **given)
    while sweep_due_runs(limit=20):
        pass
    with in_tenant(acme):
        begun = set(AgentRun.objects.values_list("workflow_name", flat=True))
        assert begun == {NAMES.get(stem, stem) for stem in INPUTS}
        assert not AgentRun.objects.exclude(status="completed").exists()
    found = verify_runs(tenant=acme)
    assert found.differences == []
    assert found.runs == len(INPUTS)
    assert verify_runs(tenant=globex).runs == 0
