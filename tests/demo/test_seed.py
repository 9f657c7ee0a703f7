"""Seeding: through the services, once, and finished after an interruption."""

import pytest

from aiaas.demo import seed
from aiaas.demo.companies import Company
from aiaas.demo.credentials import demo_password, read_api_keys
from apps.crm.selectors import find_order
from apps.ingestion.contracts import DocumentStatus
from apps.ingestion.selectors import list_documents, search_knowledge
from apps.tenants.contracts import Role
from apps.tenants.identity.services import authenticate_user
from apps.tenants.selectors import get_tenant, get_widget_key
from apps.tenants.services import authenticate_api_key


def seed_all(companies: list[Company], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(seed, "read_companies", lambda: companies)
    lines: list[str] = []
    seed.seed_demo(lines.append)
    return lines


def test_both_companies_are_ready_for_a_customer(
    companies: list[Company], monkeypatch: pytest.MonkeyPatch
) -> None:
    seed_all(companies, monkeypatch)
    shop, software = get_tenant(slug="shop"), get_tenant(slug="software")
    order = find_order(tenant=shop, number="1042", customer_email="ada@example.com")
    assert order is not None
    assert (order.status, order.total_cents, order.carrier) == ("shipped", 15300, "DHL")
    assert find_order(tenant=software, number="1042") is None
    for tenant, question, title in (
        (shop, "How long do I have to return an item?", "Returns and refunds"),
        (shop, "Do you ship to Norway, and what does it cost?", "Delivery outside the European Union"),
        (shop, "How do I wash a waxed jacket?", "Washing and waxing a waxed jacket"),
        (software, "How do I set up SSO with Okta?", "Setting up single sign-on (SSO)"),
        (software, "How many API requests may I send per minute?", "API rate limits"),
        (software, "What is included in the Team plan?", "Plans and prices"),
    ):
        assert search_knowledge(tenant=tenant, query=question, top_k=1)[0].title == title
    owner = authenticate_user(
        email="marit@harborgoods.example", password=demo_password("marit@harborgoods.example")
    )
    assert owner is not None
    assert (owner.tenant.slug, owner.roles) == ("shop", (Role.OWNER,))
    for tenant in (shop, software):
        principal = authenticate_api_key(read_api_keys()[tenant.slug])
        assert principal is not None
        assert principal.tenant == tenant
        assert get_widget_key(tenant=tenant).key


def test_a_second_seeding_changes_nothing(companies: list[Company], monkeypatch: pytest.MonkeyPatch) -> None:
    shop = [company for company in companies if company.slug == "shop"]
    seed_all(shop, monkeypatch)
    tenant, keys = get_tenant(slug="shop"), read_api_keys()
    documents = list_documents(tenant=tenant)
    assert [document.status for document in documents] == [DocumentStatus.READY] * 3
    lines = seed_all(shop, monkeypatch)
    assert "Harbor Goods is there already" in lines
    assert list_documents(tenant=tenant) == documents
    assert read_api_keys() == keys


def test_an_interrupted_seeding_is_finished_by_the_next(
    companies: list[Company], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = [company for company in companies if company.slug == "shop"]

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(seed, "_add_people", die)
        with pytest.raises(KeyboardInterrupt):
            seed_all(shop, broken)
    tenant = get_tenant(slug="shop")
    assert read_api_keys() == {}
    seed_all(shop, monkeypatch)
    assert len(list_documents(tenant=tenant)) == 3
    assert authenticate_api_key(read_api_keys()["shop"]) is not None
