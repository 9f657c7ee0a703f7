"""What the demo companies are made of."""

import datetime as dt
import re

import pytest

from aiaas.demo.companies import Company, order_fields, read_companies
from aiaas.demo.credentials import demo_password, keep_api_key, list_logins, read_api_keys
from apps.crm.contracts import OrderStatus
from apps.inference.services import embed_query
from apps.realtime.sites import SITES
from apps.routing.decisions import Message, decide_route
from apps.routing.default_model import load_default_classifier
from apps.routing.tiers import ChatModels
from apps.tenants.contracts import Role

COMPANIES = {company.slug: company for company in read_companies()}
NOW = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)


def test_there_is_a_shop_and_a_software_company() -> None:
    assert {slug: company.name for slug, company in COMPANIES.items()} == {
        "shop": "Harbor Goods",
        "software": "Nimbus Software",
    }


@pytest.mark.parametrize("company", COMPANIES.values(), ids=lambda company: company.slug)
def test_a_company_is_complete(company: Company) -> None:
    assert 12 <= len(company.articles) <= 20
    assert len({article.title for article in company.articles}) == len(company.articles)
    for article in company.articles:
        assert article.text.count("\n## ") >= 1, article.title
        assert 80 <= len(article.text.split()) <= 300, article.title
    assert {Role(person.role) for person in company.people} == {Role.OWNER, Role.AGENT, Role.VIEWER}
    emails = {customer["email"] for customer in company.customers}
    assert {order["customer"] for order in company.orders} <= emails
    statuses = {OrderStatus(order["status"]) for order in company.orders}
    assert statuses == set(OrderStatus) - {OrderStatus.HELD}


def test_order_1042_is_on_its_way() -> None:
    order = next(order for order in COMPANIES["shop"].orders if order["number"] == "1042")
    fields = order_fields(order, NOW)
    assert (order["customer"], fields["status"], fields["carrier"]) == ("ada@example.com", "shipped", "DHL")
    assert fields["tracking_code"]
    assert fields["placed_at"] < fields["shipped_at"] < NOW
    assert "customer" not in fields


@pytest.mark.parametrize(
    ("question", "intent"),
    [
        (question, {"Where": "order_status", "I": "sales_lead"}.get(question.split()[0], "faq"))
        for site in SITES.values()
        for question in site.questions
    ],
)
def test_the_questions_on_the_demo_sites_are_not_escalated(question: str, intent: str) -> None:
    decision = decide_route(
        Message(question),
        classifier=load_default_classifier(),
        version="x",
        embed=embed_query,
        models=ChatModels(),
    )
    assert (decision.intent, decision.escalate) == (intent, False), decision


def test_passwords_are_this_installations_own(settings: object) -> None:
    first = demo_password("marit@harborgoods.example")
    assert re.fullmatch(r"[a-z2-7]{4}(-[a-z2-7]{4}){2}", first)
    assert demo_password("marit@harborgoods.example") == first
    assert demo_password("jonas@harborgoods.example") != first
    settings.SECRET_KEY = "another"  # type: ignore[attr-defined]
    assert demo_password("marit@harborgoods.example") != first


def test_keys_are_kept_for_this_user_only(settings: object, tmp_path: object) -> None:
    settings.DATA_DIR = tmp_path / "data"  # type: ignore[attr-defined, operator]
    assert list_logins() == []
    keep_api_key("shop", "ak_1.secret")
    keep_api_key("software", "ak_2.secret")
    keep_api_key("shop", "ak_3.secret")
    assert read_api_keys() == {"shop": "ak_3.secret", "software": "ak_2.secret"}
    (file,) = (tmp_path / "data").iterdir()  # type: ignore[operator]
    assert file.stat().st_mode & 0o777 == 0o600
    logins = dict(list_logins())
    assert logins["Harbor Goods, API key"] == "ak_3.secret"
    assert logins["Nimbus Software, owner"].startswith("aoife@nimbus.example")
