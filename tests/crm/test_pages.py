"""Customers, orders and leads as a member works with them."""

import csv
import io
import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from apps.crm.models import Customer, Lead, Order, OrderAction
from apps.crm.services import capture_lead, create_customer, create_order, hold_order
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role, TenantRef
from tests.pages import log_in

pytestmark = pytest.mark.usefixtures("valkey")
GOOD = b"number,customer_email,total_cents\n1,ada@x.example,100\n2,,250\n"
CUP = {"name": "Cup", "quantity": 2, "unit_price_cents": 900}
BAD = b"number,customer_email,total_cents\n1,ada@x.example,100\n2,nobody,250\n3,,-4\n"


def upload(client, raw: bytes, things: str = "orders", **more: str):
    return client.post(f"/app/{things}/import/", {"file": SimpleUploadedFile("a.csv", raw), **more})


def test_a_wrong_csv_is_reported_by_line_and_changes_nothing(acme: TenantRef):
    client = log_in(acme)
    answer = upload(client, BAD)
    assert answer.status_code == 422
    page = answer.content.decode()
    assert re.search(r'<td class="number">3</td>\s*<td>\s*<div>customer_email:', page)
    assert re.search(r'<td class="number">4</td>\s*<td>\s*<div>total_cents:', page)
    with in_tenant(acme):
        assert Order.objects.count() == 0
    assert upload(client, GOOD).status_code == 302
    with in_tenant(acme):
        assert Order.objects.count() == 2
    again = client.get(upload(client, GOOD)["Location"]).content.decode()
    assert "Nothing new: all 2 rows are here already" in again
    other = GOOD.replace(b"250", b"300")
    assert "known with another total_cents" in upload(client, other).content.decode()
    assert upload(client, other, skip_existing="on").status_code == 302


@pytest.mark.parametrize("things", ["customers", "orders", "leads"])
def test_what_is_exported_is_no_formula_and_is_read_back(acme: TenantRef, globex: TenantRef, things: str):
    evil = "=HYPERLINK(1)"
    customer = create_customer(tenant=acme, email="asa@x.example", phone="+49 431 555", name=f"{evil}Å")
    hold_order(tenant=acme, order_id=create_order(tenant=acme, number="@1", carrier=evil).id, effect_key="h")
    create_order(tenant=acme, number="2", customer_id=customer.id, items=[CUP], tracking_code='-1\'\n"a;b"')
    capture_lead(tenant=acme, effect_key="1", phone="+49 431 556", message=f"{evil}\r\nline, two")
    client = log_in(acme)
    raw = b"".join(client.get(f"/app/{things}/export/").streaming_content)
    assert raw.startswith("\ufeff".encode())
    cells = [cell for row in csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline="")) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    again = client.get(upload(client, raw, things)["Location"]).content.decode()
    assert "Nothing new" in again
    elsewhere = log_in(globex)
    assert upload(elsewhere, raw, things).status_code == 302
    copied = b"".join(elsewhere.get(f"/app/{things}/export/").streaming_content)
    assert without_moments(copied) == without_moments(raw)


def test_the_filter_of_a_list_holds_for_its_export(acme: TenantRef):
    for number in ("HG-1", "HG-2", "X-1"):
        create_order(tenant=acme, number=number)
    capture_lead(tenant=acme, effect_key="1", phone="+49 431 555")
    client = log_in(acme)

    def exported(things: str, **query: str) -> int:
        raw = b"".join(client.get(f"/app/{things}/export/", query).streaming_content)
        return raw.decode().count("\n") - 1

    assert exported("orders") == 3
    assert exported("orders", q="#hg-") == 2
    assert exported("orders", status="held") == 0
    assert exported("orders", status="nonsense") == 0
    assert exported("leads", status="new") == 1
    assert exported("customers", q="nobody") == 0


def without_moments(raw: bytes) -> bytes:
    """Leave out when a lead came in, which is the moment of its import."""
    return re.sub(rb"(?m),[^,\n]*\r$", b"", raw) if raw.startswith("\ufeffname,".encode()) else raw


@pytest.mark.parametrize(
    "raw", [b"", b"\x00", b"\xff\xfe\x00", b"a,b\n1,2\n", b'number\n"open', b"number\n" + b"x" * 11_000_000]
)
@pytest.mark.parametrize("things", ["orders", "customers", "leads"])
def test_a_file_that_is_no_csv_says_so_at_its_field(acme: TenantRef, raw: bytes, things: str):
    answer = upload(log_in(acme), raw, things)
    assert answer.status_code == 422
    assert "errorlist" in answer.content.decode()


def test_an_action_is_done_once_and_undone(acme: TenantRef):
    client = log_in(acme)
    order = create_order(tenant=acme, number="77", total_cents=100, items=[])
    page = client.get(f"/app/orders/{order.id}/").content.decode()
    key = re.search(r'value="([^"]+:cancel)"', page)[1]
    for _ in range(2):
        answer = client.post(f"/app/orders/{order.id}/cancel/", {"effect_key": key}, follow=True)
    with in_tenant(acme):
        assert OrderAction.objects.count() == 1
        assert Order.objects.get().status == "cancelled"
    undo = re.search(r'action="([^"]+/reinstate/[^"]*)"', answer.content.decode())[1].replace("&amp;", "&")
    assert client.post(undo).status_code == 302
    with in_tenant(acme):
        assert Order.objects.get().status == "placed"
    assert client.post(f"/app/orders/{order.id}/deliver/").status_code == 409
    assert client.post(f"/app/orders/{order.id}/explode/").status_code == 404


def test_forms_tell_what_is_wrong_at_the_field(acme: TenantRef):
    client = log_in(acme)
    create_customer(tenant=acme, email="ada@x.example")
    taken = client.post("/app/customers/new/", {"email": "ADA@x.example"})
    assert taken.status_code == 422
    assert "Another customer has this already" in taken.content.decode()
    base = {"number": "1", "status": "placed", "currency": "USD"}
    for field, value in [
        ("items", "{"),
        ("items", "[1]"),
        ("total_cents", "-1"),
        ("currency", "!!!"),
        ("number", ""),
    ]:
        answer = client.post("/app/orders/new/", {**base, field: value})
        assert answer.status_code == 422, field
        assert "errorlist" in answer.content.decode()
    assert client.post("/app/orders/new/", base).status_code == 302
    unreachable = client.post("/app/leads/new/", {"name": "Nobody"})
    assert unreachable.status_code == 422
    assert "nobody can call back" in unreachable.content.decode()


def test_a_customers_page_shows_everything_about_them(acme: TenantRef, globex: TenantRef):
    customer = create_customer(tenant=acme, name="Ada", email="ada@x.example")
    create_order(tenant=acme, number="77", customer_email="ada@x.example", total_cents=12345, items=[])
    capture_lead(tenant=acme, email="ada@x.example", message="A thousand mugs", effect_key="1")
    client = log_in(acme)
    page = client.get(f"/app/customers/{customer.id}/").content.decode()
    for text in ("Ada", "77", "123.45 USD in 1 order", "A thousand mugs"):
        assert text in page
    assert client.get(f"/app/customers/{customer.id}/conversations/").status_code == 200
    assert log_in(globex).get(f"/app/customers/{customer.id}/").status_code == 404


def test_lists_are_filtered_and_ours(acme: TenantRef, globex: TenantRef):
    create_order(tenant=acme, number="77", total_cents=1, items=[])
    create_order(tenant=globex, number="78", total_cents=1, items=[])
    client = log_in(acme)
    page = client.get("/app/orders/", {"q": "#77", "status": "placed"}).content.decode()
    assert ">77<" in page
    assert "Nothing matches" in client.get("/app/orders/", {"q": "78"}).content.decode()
    assert client.get("/app/orders/", {"status": "nonsense"}).status_code == 422


def test_a_lead_moves_on_and_back(acme: TenantRef):
    lead = capture_lead(tenant=acme, email="a@b.example", effect_key="1")
    client = log_in(acme, Role.AGENT)
    page = client.post(f"/app/leads/{lead.id}/status/", {"status": "won"}, follow=True).content.decode()
    undo = re.search(r'action="(/app/leads/[^"]+status=new)"', page)[1]
    client.post(undo)
    with in_tenant(acme):
        assert Lead.objects.get().status == "new"
    assert client.post(f"/app/leads/{lead.id}/status/", {"status": "x"}).status_code == 400


def test_exports_are_harmless_and_ours(acme: TenantRef, globex: TenantRef):
    create_customer(tenant=acme, name="=cmd()", email="a@b.example")
    create_customer(tenant=globex, name="Theirs", email="c@d.example")
    raw = b"".join(log_in(acme).get("/app/customers/export/").streaming_content).decode()
    assert "'=cmd()" in raw
    assert "Theirs" not in raw
    assert log_in(acme, Role.VIEWER).post("/app/customers/new/", {}).status_code == 403


@pytest.mark.parametrize("path", ["customers", "orders", "leads"])
def test_lists_cost_the_same_for_many(acme: TenantRef, django_assert_max_num_queries, path: str):
    client = log_in(acme)
    for number in range(8):
        email = f"{number}@x.example"
        create_order(tenant=acme, number=str(number), customer_email=email, total_cents=1, items=[])
        capture_lead(tenant=acme, email=email, effect_key=str(number))
    client.get(f"/app/{path}/")
    with django_assert_max_num_queries(7):
        client.get(f"/app/{path}/")
    with in_tenant(acme):
        assert Customer.objects.count() == 8
