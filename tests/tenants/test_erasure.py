"""A customer is forgotten everywhere: no mark of theirs is left in any table, stream, key or file."""

import asyncio
import json
import re
import uuid
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connections, transaction
from django.utils import timezone

from aiaas.subscriptions import CONSUMERS
from apps.analytics.services import check_figures
from apps.conversations import services as conversations
from apps.conversations.contracts import CustomerInput
from apps.crm import services as crm
from apps.crm.models import Order
from apps.events.contracts import Envelope
from apps.events.models import OutboxEvent
from apps.events.services import bury
from apps.ingestion.models import Question
from apps.ingestion.questions import group_questions
from apps.orchestration import services as orchestration
from apps.orchestration.models import AgentRun
from apps.realtime.presence import note_present
from apps.routing.classifier.storage import from_bytes
from apps.routing.models import RouterModel
from apps.routing.services import create_intent, train_router
from apps.tenants.context import in_platform, in_tenant
from apps.tenants.contracts import Erased, Role, TenantRef
from apps.tenants.db.compiler import tenant_tables
from apps.tenants.erasing import services
from apps.tenants.exporting.archive import write_archive
from apps.tenants.exporting.services import path_of
from apps.tenants.models import Erasure
from apps.webhooks.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from tests.gateway.conftest import key_client
from tests.pages import log_in
from tests.tenants.traces import dump, publish_all, read_streams
from workers.consumers import handle_envelope

MARK = "zyxmark"
EMAIL = f"{MARK}@customer.example"
QUESTION = f"Where is the {MARK} parcel that I sent back?"
PARCELS = [f"Where did my parcel {end}?" for end in ("go", "stop", "end up", "get lost", "arrive")]


def marked(text: str) -> list[str]:
    return [line[:200] for line in text.splitlines() if MARK in line.lower()]


def consume(tenant: TenantRef) -> None:
    with in_tenant(tenant):
        envelopes = [
            Envelope.from_json(row.envelope)
            for row in OutboxEvent.objects.filter(tenant_id=tenant.id).order_by("position")
        ]
    for envelope in envelopes:
        for consumer in CONSUMERS:
            if envelope.type in consumer.subjects:
                handle_envelope(consumer, envelope)


def furnish(tenant: TenantRef) -> uuid.UUID:
    """Leave a customer's marks in every place that takes one; returns their id."""
    started = conversations.start_conversation(
        tenant=tenant, channel="api", text=QUESTION, customer=CustomerInput(name=f"Ada {MARK}", email=EMAIL)
    )
    conversation = started.conversation
    assert conversation.customer_id is not None
    assert started.received.run_id is not None
    orchestration.execute_run(tenant=tenant, run_id=started.received.run_id)
    create_intent(tenant=tenant, name="parcels", examples=[QUESTION, *PARCELS])
    conversations.rate_conversation(
        tenant=tenant, conversation_id=conversation.id, score=1, comment=f"{MARK} is sad"
    )
    conversations.add_note(
        tenant=tenant, conversation_id=conversation.id, author="user:1", text=f"{MARK} called"
    )
    conversations.open_escalation(
        tenant=tenant, conversation_id=conversation.id, reason=f"{MARK} insists", effect_key=str(uuid.uuid4())
    )
    crm.capture_lead(tenant=tenant, email=EMAIL, name=MARK, message=MARK, effect_key=str(uuid.uuid4()))
    crm.create_order(
        tenant=tenant,
        number="4711",
        total_cents=500,
        items=[{"sku": "lamp", "name": "Lamp", "quantity": 1, "unit_price_cents": 500}],
        customer_id=conversation.customer_id,
        tracking_code=MARK,
    )
    api = key_client(tenant)
    body = {"channel": "api", "customer": {"email": EMAIL}, "message": {"text": f"And {MARK}?"}}
    api.post("/api/v1/conversations", body, "application/json", headers={"Idempotency-Key": "k1"})
    note_present(
        tenant_id=tenant.id,
        conversation_id=conversation.id,
        session="s",
        agent="user:1",
        name="B",
        is_typing=False,
    )
    consume(tenant)
    group_questions(tenant=tenant)
    with in_tenant(tenant):
        told = OutboxEvent.objects.filter(envelope__data__text=QUESTION).first()
        assert told is not None
        Question.objects.create(
            run_id=uuid.uuid4(),
            conversation_id=conversation.id,
            text=QUESTION,
            is_unanswered=True,
            asked_at=timezone.now(),
        )
        endpoint = WebhookEndpoint.objects.create(
            url="https://crm.example/in", secret_hint="abcd", secret_created_at=timezone.now()
        )
        about = json.dumps({"conversation_id": str(conversation.id), "text": MARK})
        for sent, response in ((about, ""), ("{}", f"no {EMAIL} here")):
            delivery = WebhookDelivery.objects.create(endpoint=endpoint, event_id=uuid.uuid4(), body=sent)
            WebhookAttempt.objects.create(delivery=delivery, number=1, response_body=response)
        WebhookDelivery.objects.create(endpoint=endpoint, event_id=uuid.uuid4(), body='{"text": "Bob"}')
    letter = Envelope.from_json({**told.envelope, "id": str(uuid.uuid4())})
    with in_tenant(tenant):
        bury(consumer="analytics", envelope=letter, cause=f"ValueError: {MARK}", deliveries=3)
    return conversation.customer_id


@pytest.fixture
def erased_world(live_db, acme: TenantRef, nats_server, valkey, tmp_path: Path) -> uuid.UUID:
    """A marked customer in a company that also holds somebody else's conversation."""
    other = CustomerInput(name="Bo", email="bo@customer.example")
    conversations.start_conversation(tenant=acme, channel="api", text="How do I pay?", customer=other)
    customer_id = furnish(acme)
    train_router(tenant=acme)
    path = path_of(acme.id, uuid.uuid4())
    path.parent.mkdir(parents=True)
    write_archive(tenant=acme, path=path)
    asyncio.run(publish_all())
    return customer_id


def erase(tenant: TenantRef, customer_id: uuid.UUID) -> Erasure:
    erasure = crm.erase_customer(tenant=tenant, customer_id=customer_id, actor="owner@acme.example")
    assert services.carry_out_erasure(tenant=tenant, erasure_id=erasure.id)
    return services.get_erasure(tenant=tenant, erasure_id=erasure.id)


def test_no_mark_is_left_anywhere(erased_world, live_db, acme: TenantRef, valkey):
    before = marked(dump(live_db.name))
    tables = {line.partition(":")[0] for line in before}
    for place in (
        "crm_customer",
        "conversations_message",
        "crm_lead",
        "ingestion_question",
        "routing_intentexample",
    ):
        assert f"t_acme.{place}" in tables, f"the mark never was in {place}"
    for place in (
        "orchestration_agentrun",
        "orchestration_runevent",
        "events_outboxevent",
        "events_deadletter",
        "webhooks_webhookdelivery",
        "webhooks_webhookattempt",
    ):
        assert f"public.{place}" in tables, f"the mark never was in {place}"
    assert MARK in asyncio.run(read_streams())
    done = erase(acme, erased_world)
    assert done.status == "done", done.error
    asyncio.run(publish_all())  # the emptied events once more
    assert marked(dump(live_db.name)) == []
    assert MARK not in asyncio.run(read_streams())
    kept = [key + (valkey.dump(key) or b"") for key in valkey.keys("*")]
    assert not [one for one in kept if MARK.encode() in one]
    assert list(path_of(acme.id, acme.id).parent.glob("*")) == []
    with in_tenant(acme):
        for row in RouterModel.objects.all():
            model = from_bytes(bytes(row.payload))
            terms = [*model.scorer.wording.vocabulary()[0], *model.example_texts]
            assert not [term for term in terms if MARK in term.lower()]
            assert len(model.example_texts) > 2, "the others are still there"


def test_others_and_the_books_stay(erased_world, acme: TenantRef):
    done = erase(acme, erased_world)
    with in_tenant(acme):
        assert [str(c) for c in crm_customers()] == ["Bo"]
        order = Order.objects.get(number="4711")
        assert (order.total_cents, order.customer_id, order.tracking_code) == (500, None, "")
        assert order.items[0]["name"] == "Lamp"
        assert AgentRun.objects.count() == 1
    assert done.manifest is not None
    assert done.manifest["erased"]["conversations.Message"] >= 2
    assert done.manifest["erased"]["webhooks.WebhookDelivery"] == 2
    assert done.manifest["kept"]["billing.Invoice"].startswith("kept: ")
    check_figures(tenant=acme)  # raises where a figure is not what the archive says


def crm_customers() -> list:
    from apps.crm.models import Customer

    return list(Customer.objects.all())


def test_a_kill_between_any_two_steps_changes_nothing(erased_world, live_db, acme: TenantRef, monkeypatch):
    erasure = crm.erase_customer(tenant=acme, customer_id=erased_world, actor="x")
    steps = [eraser.path for eraser in services.list_erasers()]
    real = services.import_string
    killed: set[str] = set()

    def dies_after(path: str):
        act = real(path)
        if path not in steps or path in killed:
            return act

        def once(**given: object) -> Erased:
            act(**given)
            killed.add(path)
            raise KeyboardInterrupt  # what the step did in its transaction is gone with it

        return once

    monkeypatch.setattr(services, "import_string", dies_after)
    for _ in steps:
        with pytest.raises(KeyboardInterrupt):
            services.carry_out_erasure(tenant=acme, erasure_id=erasure.id)
        assert not services.carry_out_erasure(tenant=acme, erasure_id=erasure.id), (
            "the dead one's lease holds"
        )
        with connections["owner"].cursor() as cursor:
            cursor.execute("UPDATE tenants_erasure SET leased_until = now() - interval '1 s'")
        assert services.list_due_erasures() == [(acme.id, erasure.id)]
    assert killed == set(steps)
    assert services.carry_out_erasure(tenant=acme, erasure_id=erasure.id)
    assert services.get_erasure(tenant=acme, erasure_id=erasure.id).status == "done"
    assert marked(dump(live_db.name)) == []


def test_without_nats_it_waits(live_db, acme: TenantRef, settings, valkey):
    customer_id = furnish(acme)
    with in_tenant(acme):
        OutboxEvent.objects.update(published_at=timezone.now())
    settings.NATS_URL = "nats://127.0.0.1:1"
    pending = erase(acme, customer_id)
    assert (pending.status, pending.error) == ("running", "BrokerUnavailable")
    assert pending.manifest is None


def test_the_manifest_is_signed_names_nobody_and_is_verified(
    live_db, acme: TenantRef, tmp_path: Path, capsys
):
    customer = crm.create_customer(tenant=acme, name=MARK, email=EMAIL)
    call_command("erase_customer", tenant="acme", customer=EMAIL)
    text = capsys.readouterr().out
    assert MARK not in text
    assert str(customer.id) not in text
    file = tmp_path / "proof.json"
    file.write_text(text)
    call_command("erase_customer", verify=file)
    document = json.loads(text)
    document["manifest"]["erased"] = {}
    file.write_text(json.dumps(document))
    with pytest.raises(CommandError, match="not as it was signed"):
        call_command("erase_customer", verify=file)
    for broken in ("[]", "{}", '{"manifest": 1, "signature": ""}', "no json"):
        file.write_text(broken)
        with pytest.raises(CommandError):
            call_command("erase_customer", verify=file)
    with pytest.raises(CommandError, match="no customer"):
        call_command("erase_customer", tenant="acme", customer=EMAIL)


def test_over_the_api_once(live_db, acme: TenantRef, globex: TenantRef, valkey):
    customer = crm.create_customer(tenant=acme, name="Ada")
    url = f"/api/v1/customers/{customer.id}/erase"
    assert key_client(globex).post(url).status_code == 404
    assert key_client(acme, "api:read").post(url).status_code == 403
    first, again = key_client(acme).post(url), key_client(acme).post(url)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    assert key_client(acme).get(f"/api/v1/customers/{customer.id}").json()["name"] == ""
    assert erase(acme, customer.id).status == "done", "nothing but a name was known"


def test_on_the_customers_page_it_is_typed(live_db, acme: TenantRef):
    customer = crm.create_customer(tenant=acme, name="Ada", email="ada@x.example")
    url, agent = f"/app/customers/{customer.id}/erase/", log_in(acme, Role.AGENT)
    assert agent.post(url, {"typed": "Ada"}).status_code == 422
    assert agent.post(url, {"typed": "ada@x.example"}).status_code == 302
    page = agent.get(url).content.decode()
    assert "is being erased" in page
    assert agent.post(url, {"typed": "ada@x.example"}).status_code == 409
    [(_, erasure_id)] = [(e.tenant_id, e.id) for e in erasures(acme)]
    services.carry_out_erasure(tenant=acme, erasure_id=erasure_id)
    assert "What stays, and why" in agent.get(url).content.decode()


def erasures(tenant: TenantRef) -> list[Erasure]:
    with in_tenant(tenant):
        return list(Erasure.objects.all())


def test_every_model_says_what_becomes_of_it():
    rules = services.collect_rules()
    wanted = {
        model._meta.label
        for model in apps.get_models()
        if model._meta.db_table in tenant_tables() or model._meta.label in ("tenants.User", "accounts.SignUp")
    }
    assert wanted - set(rules) == set(), "say in the app's erasing.RULES what becomes of these"
    assert set(rules) - wanted == set(), "these are no models any more"
    for label, rule in rules.items():
        assert rule in ("erased", "emptied") or re.fullmatch("kept: .{5,}", rule), label


def test_what_may_erase_history_serves_the_current_tenant_alone(live_db, acme: TenantRef, globex: TenantRef):
    """The two functions run as the owner of append-only tables, so they have to hold by themselves."""
    started = conversations.start_conversation(tenant=globex, channel="api", text=QUESTION)
    orchestration.execute_run(tenant=globex, run_id=started.received.run_id)
    conversations.open_escalation(
        tenant=globex, conversation_id=started.conversation.id, reason="insists", effect_key="e"
    )
    consume(globex)
    calls = {
        "SELECT erase_run_events(%s)": [started.received.run_id],
        "SELECT forget_escalation_reasons(%s)": [started.conversation.id],
    }
    for statement, ids in calls.items():
        with transaction.atomic(), connections["default"].cursor() as cursor:
            assert cursor.execute(statement, [ids]).fetchone() == (0,), "without a tenant"
        with in_tenant(acme), connections["default"].cursor() as cursor:
            assert cursor.execute(statement, [ids]).fetchone() == (0,), "as another tenant"
        with in_platform() as alias, pytest.raises(ProgrammingError, match="permission denied"):
            connections[alias].cursor().execute(statement, [ids])
        with in_tenant(globex), connections["default"].cursor() as cursor:
            assert cursor.execute(statement, [ids]).fetchone()[0] > 0, "as the tenant itself"
