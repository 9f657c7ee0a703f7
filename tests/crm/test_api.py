import csv
import io
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from apps.crm import selectors, services
from apps.crm.models import Order, OrderAction
from apps.tenants.context import in_tenant
from tests.crm.conftest import key_client

BASE = "/api/v1"


def post(client, path, body=None, **headers):
    return client.post(f"{BASE}/{path}", body or {}, content_type="application/json", headers=headers)


def patch(client, path, body):
    return client.patch(f"{BASE}/{path}", body, content_type="application/json")


def errors_of(response, status=400) -> dict:
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    return response.json().get("errors", {})


@pytest.fixture
def order(acme):
    return services.create_order(
        tenant=acme, number="1042", total_cents=4200, customer_email="ann@example.com"
    )


def test_a_customer_from_birth_to_end(api):
    made = post(api, "customers", {"name": "Ann", "email": "Ann@Example.com", "metadata": {"tier": "gold"}})
    assert made.status_code == 201
    ann = made.json()
    assert (ann["email"], ann["metadata"], ann["external_id"]) == ("ann@example.com", {"tier": "gold"}, None)
    path = f"customers/{ann['id']}"
    assert api.get(f"{BASE}/{path}").json() == ann
    assert patch(api, path, {"phone": "+1 555 010 9999"}).json()["phone"] == "+15550109999"
    assert api.delete(f"{BASE}/{path}").status_code == 204
    errors_of(api.get(f"{BASE}/{path}"), 404)


def test_customers_are_listed_by_pages_and_filtered(api, acme):
    for n in range(3):
        services.create_customer(tenant=acme, name=f"Ann {n}", email=f"a{n}@example.com")
    first = api.get(f"{BASE}/customers?page_size=2").json()
    assert [row["name"] for row in first["results"]] == ["Ann 2", "Ann 1"]
    rest = api.get(first["next"]).json()
    assert [row["name"] for row in rest["results"]] == ["Ann 0"]
    assert rest["next"] is None
    found = api.get(f"{BASE}/customers?email=A1@example.com&name=ann").json()["results"]
    assert [row["email"] for row in found] == ["a1@example.com"]
    assert api.get(f"{BASE}/customers?external_id=7").json()["results"] == []


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("customers", {"email": "nobody"}, "email"),
        ("customers", {"metadata": "x"}, "metadata"),
        ("customers", {"name": "x" * 201}, "name"),
        ("orders", {}, "number"),
        ("orders", {"number": "1042"}, "number"),
        ("orders", {"number": "1", "status": "held"}, "status"),
        ("orders", {"number": "1", "total_cents": 1.5}, "total_cents"),
        ("orders", {"number": "1", "customer_id": str(uuid4())}, "customer_id"),
        ("orders", {"number": "1", "customer_email": "nobody"}, "customer_email"),
        ("orders", {"number": "1", "items": [{"name": "Mug"}]}, "items"),
        ("orders", {"number": "1", "placed_at": "yesterday"}, "placed_at"),
        ("leads", {"name": "Ghost"}, "email"),
    ],
)
def test_bad_bodies_are_refused_at_their_field_and_change_nothing(api, acme, order, path, body, field):
    assert any(name.split(".")[0] == field for name in errors_of(post(api, path, body)))
    with in_tenant(acme):
        assert Order.objects.count() == 1


@pytest.mark.parametrize(
    "query",
    [
        "orders?status=lost", "orders?customer_id=7", "orders?placed_after=soon", "orders?number=%20",
        "customers?page_size=0", "leads?status=x", "orders?cursor=x",
    ],
)  # fmt: skip
def test_filters_that_cannot_be_are_refused(api, order, query):
    assert errors_of(api.get(f"{BASE}/{query}"))


def test_an_order_as_it_is_made_and_listed(api, order):
    items = [{"name": "Mug", "quantity": 2, "unit_price_cents": 1250, "sku": "M"}]
    made = post(api, "orders", {"number": "7", "items": items, "customer_email": "Bob@example.com"})
    assert made.status_code == 201
    assert made.json() | {"total_cents": 2500, "customer_email": "bob@example.com"} == made.json()
    for query in (
        "number=%237", "customer_email=BOB@example.com", "status=placed&placed_after=2020-01-01T00:00:00Z",
    ):  # fmt: skip
        assert api.get(f"{BASE}/orders?{query}").json()["results"][0] == made.json()
    assert api.get(f"{BASE}/orders?placed_before=2020-01-01T00:00:00Z").json()["results"] == []


def test_an_order_is_corrected_but_not_its_status(api, order):
    path = f"orders/{order.id}"
    assert patch(api, path, {"carrier": "DHL"}).json()["carrier"] == "DHL"
    assert set(errors_of(patch(api, path, {"status": "shipped", "number": "2"}))) == {"status", "number"}


def test_what_is_done_to_an_order(api, order):
    path = f"orders/{order.id}"
    assert post(api, f"{path}/hold").json()["status"] == "held"
    assert post(api, f"{path}/release").json()["status"] == "placed"
    shipped = post(api, f"{path}/ship", {"carrier": "DHL", "tracking_code": "X1"}).json()
    assert (shipped["status"], shipped["carrier"], bool(shipped["shipped_at"])) == ("shipped", "DHL", True)
    refused = post(api, f"{path}/cancel")
    assert "only an order that is placed or held" in refused.json()["detail"]
    assert refused.status_code == 409
    assert post(api, f"{path}/deliver").json()["status"] == "delivered"
    assert post(api, f"{path}/refund").json()["status"] == "refunded"
    done = api.get(f"{BASE}/{path}/actions").json()
    assert [act["action"] for act in done] == ["hold", "release", "ship", "deliver", "refund"]
    assert done[0]["actor"].startswith("api_key:ak_")
    assert api.delete(f"{BASE}/{path}").status_code == 409


def test_an_effect_outlives_the_remembered_answer_of_its_key(api, acme, order):
    from apps.gateway.models import IdempotencyRecord

    path = f"orders/{order.id}/cancel"
    first = post(api, path, **{"Idempotency-Key": "once"})
    with in_tenant(acme):
        IdempotencyRecord.objects.all().delete()
    again = post(api, path, **{"Idempotency-Key": "once"})
    assert (again.status_code, again.json()) == (200, first.json())
    with in_tenant(acme):
        assert OrderAction.objects.count() == 1
    assert post(api, path, **{"Idempotency-Key": "twice"}).status_code == 409


def test_leads(api):
    made = post(api, "leads", {"name": "Bob", "phone": "555 0100", "source": "fair"})
    assert made.status_code == 201
    path = f"leads/{made.json()['id']}"
    assert patch(api, path, {"status": "qualified"}).json()["status"] == "qualified"
    assert errors_of(patch(api, path, {"status": "cold"}))
    assert [
        row["name"] for row in api.get(f"{BASE}/leads?status=qualified&source=fair").json()["results"]
    ] == ["Bob"]
    assert api.delete(f"{BASE}/{path}").status_code == 204
    assert api.get(f"{BASE}/{path}").status_code == 404


def upload(client, path, raw):
    return client.post(f"{BASE}/{path}", {"file": SimpleUploadedFile("rows.csv", raw, "text/csv")})


def test_import_and_export(api, acme, order):
    raw = b"number,customer_email,total_cents\n7,nobody,100\n"
    assert "line 2" in errors_of(upload(api, "orders/import", raw))
    raw = b"number,customer_email,carrier,total_cents\n7,bob@example.com,'=1+1,100\n1042,,,1\n"
    assert "line 3" in errors_of(upload(api, "orders/import", raw))
    done = upload(api, "orders/import?existing=skip", raw)
    assert (done.status_code, done.json()) == (200, {"created": 1, "skipped": 1, "unchanged": 0})
    exported = api.get(f"{BASE}/orders/export")
    assert exported["Content-Disposition"] == 'attachment; filename="orders.csv"'
    rows = list(csv.DictReader(io.StringIO(b"".join(exported.streaming_content).decode(), newline="")))
    assert [(row["number"], row["carrier"]) for row in rows] == [("1042", ""), ("7", "'=1+1")]
    assert "file" in errors_of(api.post(f"{BASE}/orders/import", {"file": "text"}))
    assert "existing" in errors_of(upload(api, "customers/import?existing=x", b"email\n"))
    assert "file" in errors_of(upload(api, "customers/import", b"\xff\xfe"))


@pytest.mark.parametrize("thing", ["customers", "leads"])
def test_what_is_exported_is_imported_elsewhere(api, acme, globex, thing):
    services.create_customer(tenant=acme, name="=Ann", email="ann@example.com", phone="+15550100")
    services.capture_lead(tenant=acme, effect_key="k", name="-Bob", phone="+15550100")
    raw = b"".join(api.get(f"{BASE}/{thing}/export").streaming_content)
    assert raw.count(b"\n") == 2
    if thing == "customers":
        services.import_customers(tenant=globex, raw=raw)
        ann = services.find_or_create_customer(tenant=globex, email="ann@example.com")
        assert (ann.name, ann.phone) == ("=Ann", "+15550100")


def test_exports_page_through_everything(acme, monkeypatch):
    monkeypatch.setattr(selectors, "EXPORT_PAGE", 2)
    made = [services.create_customer(tenant=acme, name=str(n)).id for n in range(5)]
    assert [customer.id for customer in selectors.iterate_customers(tenant=acme)] == made


def test_anothers_ids_are_unknown(foreign_api, order):
    path = f"orders/{order.id}"
    for response in (
        foreign_api.get(f"{BASE}/{path}"),
        patch(foreign_api, path, {"carrier": "DHL"}),
        post(foreign_api, f"{path}/cancel"),
        foreign_api.get(f"{BASE}/{path}/actions"),
        foreign_api.delete(f"{BASE}/{path}"),
        foreign_api.get(f"{BASE}/customers/{order.customer_id}"),
        foreign_api.get(f"{BASE}/orders/not-an-id"),
    ):
        errors_of(response, 404)
    assert foreign_api.get(f"{BASE}/orders").json()["results"] == []


@pytest.mark.usefixtures("_fresh_limits")
def test_scopes_are_asked_for(acme, order):
    reader = key_client(acme, "read:orders")
    assert reader.get(f"{BASE}/orders/{order.id}").status_code == 200
    assert post(reader, f"orders/{order.id}/cancel").status_code == 403
    assert reader.get(f"{BASE}/customers").status_code == 403


def test_a_page_of_orders_takes_one_query(api, acme, order, django_assert_num_queries):
    for n in range(5):
        services.create_order(tenant=acme, number=str(n), total_cents=1, customer_email=f"c{n}@example.com")
    api.get(f"{BASE}/orders")
    with django_assert_num_queries(3):  # savepoint, orders with their customers, release
        api.get(f"{BASE}/orders")
