"""A tenant's own router: defaults, teaching, versions, isolation."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from prometheus_client import REGISTRY

from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.routing import selectors, services
from apps.routing.contracts import Origin
from apps.routing.model_cache import ModelCache
from apps.routing.models import Intent, IntentExample, RouterModel
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

PARROTS = [
    "my parrot escaped",
    "the parrot is gone",
    "our parrot flew away",
    "have you seen a parrot",
    "parrot lost near the park",
    "a grey parrot left our balcony",
    "please help me find my parrot",
    "missing parrot since monday",
]


def decisions_counted(tenant: TenantRef) -> float:
    metrics = REGISTRY.collect()
    return sum(
        sample.value
        for metric in metrics
        if metric.name == "router_decisions"
        for sample in metric.samples
        if sample.name == "router_decisions_total" and sample.labels["tenant_id"] == str(tenant.id)
    )


def test_a_new_tenant_routes_at_once(acme: TenantRef) -> None:
    before = decisions_counted(acme)
    decision = services.route_message(tenant=acme, text="Where is my order 1042?")
    assert (decision.intent, decision.escalate) == ("order_status", False)
    assert decision.model_version.startswith("default-")
    assert decision.latency_ms > 0
    assert decisions_counted(acme) == before + 1
    services.preview_route(tenant=acme, text="hi")
    assert decisions_counted(acme) == before + 1
    with in_tenant(acme):
        assert not Intent.objects.exists()


def test_an_empty_message_is_refused(acme: TenantRef) -> None:
    with pytest.raises(InvalidInput, match="empty"):
        services.route_message(tenant=acme, text="  \n")


def test_a_decision_costs_one_query(acme: TenantRef) -> None:
    services.warm_router()
    with CaptureQueriesContext(connection) as queries:
        services.route_message(tenant=acme, text="Do you ship to Peru?")
    selects = [query["sql"] for query in queries if "routing_" in query["sql"]]
    assert len(selects) == 1
    assert "payload" not in selects[0]


def test_teaching_an_intent_and_routing_by_it(acme: TenantRef, globex: TenantRef) -> None:
    services.create_intent(
        tenant=acme, name="lost_parrot", description="Someone lost a bird.", examples=PARROTS
    )
    assert services.route_message(tenant=acme, text="we lost our parrot").intent != "lost_parrot"
    model = services.train_router(tenant=acme)
    assert (model.version, model.is_active) == (1, True)
    assert model.accuracy > 0.75
    taught = services.route_message(tenant=acme, text="we lost our parrot")
    assert (taught.intent, taught.model_version) == ("lost_parrot", "v1")
    other = services.route_message(tenant=globex, text="we lost our parrot")
    assert other.model_version.startswith("default-")
    assert selectors.list_intents(tenant=globex) == []
    assert services.train_router(tenant=acme) == model  # nothing new to learn


def test_feedback_moves_a_message_and_the_next_version_knows_it(acme: TenantRef) -> None:
    text = "Kindly expedite the dispatch of PO 77-B"
    assert services.record_feedback(tenant=acme, text=text, intent="faq").is_new
    moved = services.record_feedback(tenant=acme, text=text.upper() + " ", intent="order_change")
    assert moved.is_new
    assert not services.record_feedback(tenant=acme, text=text, intent="order_change").is_new
    with in_tenant(acme):
        kept = IntentExample.objects.get(origin=Origin.FEEDBACK)
        assert kept.intent.name == "order_change"
    first = services.train_router(tenant=acme)
    decision = services.route_message(tenant=acme, text=text)
    assert (decision.intent, decision.model_version) == ("order_change", f"v{first.version}")
    services.record_feedback(tenant=acme, text="another one, please", intent="smalltalk")
    assert services.train_router(tenant=acme).version == first.version + 1
    with in_tenant(acme):
        assert RouterModel.objects.filter(is_active=True).count() == 1


@pytest.mark.parametrize(
    ("text", "intent", "field"),
    [("", "faq", "text"), ("x" * 2_001, "faq", "text"), ("hello", "nonsense", "intent")],
)
def test_bad_feedback_changes_nothing(acme: TenantRef, text: str, intent: str, field: str) -> None:
    services.seed_default_intents(tenant=acme)
    before = selectors.list_examples(tenant=acme)
    with pytest.raises(InvalidInput) as refused:
        services.record_feedback(tenant=acme, text=text, intent=intent)
    assert field in refused.value.errors
    assert selectors.list_examples(tenant=acme) == before


def test_bad_intents_are_refused(acme: TenantRef) -> None:
    with pytest.raises(InvalidInput):
        services.create_intent(tenant=acme, name="No Spaces")
    with pytest.raises(InvalidInput):
        services.create_intent(tenant=acme, name="fine", examples=["ok", " "])
    with pytest.raises(ConflictError):
        services.create_intent(tenant=acme, name="faq")
    with pytest.raises(NotFoundError):
        services.delete_intent(tenant=acme, name="never_there")
    services.create_intent(tenant=acme, name="thin", examples=["just one"])
    with pytest.raises(InvalidInput, match="thin: give at least 5"):
        services.train_router(tenant=acme)
    services.delete_intent(tenant=acme, name="thin")
    assert "thin" not in {intent.name for intent in selectors.list_intents(tenant=acme)}


def test_seeding_is_done_once(acme: TenantRef) -> None:
    assert services.seed_default_intents(tenant=acme) > 280
    services.delete_intent(tenant=acme, name="smalltalk")
    assert services.seed_default_intents(tenant=acme) == 0


def test_an_unusable_model_falls_back_to_the_default(acme: TenantRef) -> None:
    with in_tenant(acme):
        RouterModel.objects.create(
            version=1, content_hash="x", is_active=True, intents=[], examples=0, accuracy=0,
            calibration_error=0, payload=b"damaged",
        )  # fmt: skip
    decision = services.route_message(tenant=acme, text="Where is my order 1042?")
    assert decision.model_version.startswith("default-")
    assert decision.intent == "order_status"


def test_the_cache_is_bounded_and_drops_the_least_recently_used() -> None:
    class Sized:
        size_bytes = 40

    cache = ModelCache(max_bytes=100)
    loads: list[str] = []

    def load(name: str) -> Sized:
        loads.append(name)
        return Sized()

    for name in ("a", "b", "a", "c"):
        cache.get(name, lambda name=name: load(name))  # type: ignore[arg-type, misc]
    assert loads == ["a", "b", "c"]
    assert "b" not in cache
    assert "a" in cache
    assert "c" in cache
