import re

import pytest
from django.http import HttpResponse
from django.test import RequestFactory
from django.utils import timezone
from prometheus_client import REGISTRY

from apps.billing.models import Plan, UsageBucket
from apps.billing.services import subscribe_tenant
from apps.gateway.metering import METERED, metered_kind
from apps.gateway.middleware.quota import QuotaMiddleware
from apps.tenants.context import in_tenant


def search(tenant, path="/api/v1/search"):
    request = RequestFactory().post(path)
    request.tenant = tenant
    return QuotaMiddleware(lambda r: HttpResponse("done"))(request)


def use(tenant, quantity, kind="search"):
    with in_tenant(tenant):
        UsageBucket.objects.create(kind=kind, starts_at=timezone.now(), quantity=quantity)


@pytest.fixture
def plan(acme):
    made = Plan.objects.create(code="tiny", name="Tiny", requests_per_minute=60, included={"search": 3})
    subscribe_tenant(tenant=acme, plan_code="tiny")
    return made


def test_what_the_plan_includes_passes(acme, plan):
    use(acme, 2)
    assert search(acme).content == b"done"


def test_a_spent_quota_is_402_and_says_what_to_do(acme, plan):
    use(acme, 3)
    refused = search(acme)
    assert refused.status_code == 402
    assert b"larger plan" in refused.content
    assert re.search(rb'"used":3,"limit":3,"resets_at":"\d{4}', refused.content)
    assert REGISTRY.get_sample_value("quota_refused_total", {"kind": "search"})


def test_a_plan_without_hard_limits_refuses_nothing(acme, plan):
    Plan.objects.filter(pk=plan.pk).update(has_hard_limits=False)
    use(acme, 30)
    assert search(acme).status_code == 200


def test_one_kind_spent_leaves_the_others(acme, plan):
    use(acme, 3)
    assert search(acme, "/api/v1/documents").status_code == 200


def test_a_quota_is_asked_for_once_in_a_while(acme, plan, django_assert_num_queries):
    search(acme)
    with django_assert_num_queries(0):
        search(acme)
        search(acme, "/api/v1/orders")


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", "/api/v1/conversations", "message"),
        ("POST", "/api/v1/conversations/01935c1e/messages", "message"),
        ("POST", "/api/v1/conversations/01935c1e/close", None),
        ("GET", "/api/v1/conversations/01935c1e/messages", None),
        ("POST", "/v1/chat/completions", "message"),
        ("POST", "/api/v1/documents", "document"),
        ("POST", "/api/v1/documents/01935c1e/reindex", "document"),
        ("POST", "/api/v1/search", "search"),
    ],
)
def test_what_is_metered(method, path, kind):
    assert metered_kind(method, path) == kind
    assert all(re.compile(pattern) for _, pattern, _ in METERED)
