"""What is metered beside runs and messages: searches and documents, each once."""

from collections import Counter

from django.test import Client

from apps.events.models import OutboxEvent
from apps.ingestion.services import add_document, process_document
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.services import create_api_key


def metered(tenant: TenantRef) -> Counter[str]:
    with in_tenant(tenant):
        told = OutboxEvent.objects.filter(type="billing.usage.recorded").values_list("envelope", flat=True)
        return Counter(envelope["data"]["kind"] for envelope in told)


def test_a_search_over_the_api_counts_once(acme, globex):
    token = create_api_key(tenant=acme, name="k", scopes=["api:read"]).token
    client = Client(headers={"Authorization": f"Api-Key {token}"})
    for body, status in (({"query": "returns"}, 200), ({"query": ""}, 400)):
        answer = client.post("/api/v1/search", body, content_type="application/json")
        assert answer.status_code == status
    assert metered(acme) == {"search": 1}
    assert metered(globex) == {}


def test_a_document_counts_once_when_it_can_be_found(acme, globex):
    document = add_document(tenant=acme, title="Returns", text="Return it within 30 days.")
    assert metered(acme) == {}
    for _ in range(2):
        process_document(tenant=acme, document_id=document.id)
    assert metered(acme) == {"document": 1}
    assert metered(globex) == {}
