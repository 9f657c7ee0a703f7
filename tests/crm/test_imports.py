import pytest

from apps.crm import selectors, services
from apps.crm.models import Customer, Lead, Order
from apps.events.models import OutboxEvent
from apps.resilience.errors import InvalidInput
from apps.tenants.context import in_tenant

ORDERS = b"""number,customer_email,status,total_cents,items,placed_at,carrier
1042,Ann@example.com,shipped,4200,,2026-03-01T10:00:00Z,DHL
1043,ann@example.com,,,"[{""name"": ""Mug"", ""quantity"": 2, ""unit_price_cents"": 1250}]",2026-03-02,
1044,,placed,0,,,
"""


def count(tenant, model) -> int:
    with in_tenant(tenant):
        return model.objects.count()


def refusal(work, *args, **options) -> InvalidInput:
    with pytest.raises(InvalidInput) as refused:
        work(*args, **options)
    return refused.value


def test_orders_come_in_with_their_customers(acme, globex):
    done = services.import_orders(tenant=acme, raw=ORDERS)
    assert (done.created, done.skipped) == (3, 0)
    first = selectors.find_order(tenant=acme, number="1042")
    assert (first.status, first.total_cents, first.carrier) == ("shipped", 4200, "DHL")
    assert first.placed_at.isoformat() == "2026-03-01T10:00:00+00:00"
    second = selectors.find_order(tenant=acme, number="1043")
    assert (second.customer_id, second.total_cents) == (first.customer_id, 2500)
    assert selectors.find_order(tenant=acme, number="1044").customer_id is None
    assert (count(acme, Customer), count(globex, Order)) == (1, 0)
    with in_tenant(acme):
        assert OutboxEvent.objects.get(type="agent.orders.imported").envelope["data"] == {"created": 3}


def test_one_bad_row_keeps_every_row_out_and_each_is_named(acme):
    services.create_order(tenant=acme, number="1044", total_cents=1)
    raw = ORDERS + b"1045,bob@,held,-5,,,\n1042,,,1,,,\n,,,,,,DHL\n"
    refused = refusal(services.import_orders, tenant=acme, raw=raw)
    assert {line: len(problems) for line, problems in refused.errors.items()} == {
        "line 4": 1, "line 5": 2, "line 6": 1, "line 7": 1,
    }  # fmt: skip
    assert "1044 is known with another total_cents; remove the row" in refused.errors["line 4"][0]
    assert "1042 is in line 2 already" in refused.errors["line 6"][0]
    assert refused.detail.startswith("4 rows are not right, so nothing was imported")
    assert (count(acme, Order), count(acme, Customer)) == (1, 0)


def test_the_same_file_again_says_that_nothing_is_new(acme):
    services.import_orders(tenant=acme, raw=ORDERS)
    again = services.import_orders(tenant=acme, raw=ORDERS + b"1045,,,1,,,\n")
    assert (again.created, again.unchanged, again.skipped) == (1, 3, 0)


def test_rows_that_differ_are_skipped_where_that_is_asked_for(acme):
    services.import_orders(tenant=acme, raw=ORDERS)
    changed = ORDERS.replace(b"4200", b"4300")
    assert (
        "another total_cents" in refusal(services.import_orders, tenant=acme, raw=changed).errors["line 2"][0]
    )
    again = services.import_orders(tenant=acme, raw=changed, skip_existing=True)
    assert (again.created, again.unchanged, again.skipped) == (0, 2, 1)
    assert selectors.find_order(tenant=acme, number="1042").total_cents == 4200


LEADS = b"""name,email,phone,message,source,status,created_at
Lea,LEA@example.com,,"Two lamps, please",fair,qualified,2026-01-01T00:00:00Z
,,+49 431 5550,'=Call me,,,
"""


def test_leads_come_in_once_and_find_their_customers(acme, globex):
    customer = services.create_customer(tenant=acme, email="lea@example.com")
    assert services.import_leads(tenant=acme, raw=LEADS).created == 2
    again = services.import_leads(tenant=acme, raw=LEADS)
    assert (again.created, again.unchanged) == (0, 2)
    with in_tenant(acme):
        lea, nobody = Lead.objects.order_by("id")
    assert (lea.status, lea.customer_id, lea.source) == ("qualified", customer.id, "fair")
    assert (nobody.phone, nobody.message) == ("+494315550", "=Call me")
    assert count(globex, Lead) == 0
    refused = refusal(services.import_leads, tenant=acme, raw=LEADS + LEADS.split(b"\n")[1] + b"\nAl,,,,,,\n")
    assert "the lead of line 2" in refused.errors["line 4"][0]
    assert "email address or a phone" in refused.errors["line 5"][0]
    assert count(acme, Lead) == 2


def test_customers_need_something_to_be_found_by(acme):
    raw = 'name;email;external_id;phone;metadata\nÅsa;asa@example.com;;+46 8 123 456;{"tier": "gold"}\n'
    assert services.import_customers(tenant=acme, raw=raw.encode()).created == 1
    asa = services.find_or_create_customer(tenant=acme, email="asa@example.com")
    assert (asa.name, asa.phone, asa.metadata) == ("Åsa", "+468123456", {"tier": "gold"})
    refused = refusal(services.import_customers, tenant=acme, raw=b"name,email\nBob,\nAnn,ASA@example.com\n")
    assert "Give an email or an external_id" in refused.errors["line 2"][0]
    assert "asa@example.com is known with another name" in refused.errors["line 3"][0]


def test_only_the_first_hundred_bad_rows_are_listed(acme):
    refused = refusal(services.import_customers, tenant=acme, raw=b"email\n" + b"nobody\n" * 150)
    assert (len(refused.errors), next(iter(refused.errors))) == (100, "line 2")
    assert "150 rows are not right" in refused.detail
    assert "first 100" in refused.detail


def test_a_large_file_takes_few_queries(acme, django_assert_max_num_queries):
    rows = "".join(f"{n},c{n}@example.com,100\n" for n in range(3000))
    raw = f"number,customer_email,total_cents\n{rows}".encode()
    with in_tenant(acme), django_assert_max_num_queries(30):
        assert services.import_orders(tenant=acme, raw=raw).created == 3000
