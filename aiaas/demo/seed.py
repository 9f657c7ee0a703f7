"""Seed the demo companies through the same services that everybody else uses."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from contextlib import suppress

from django.utils import timezone

from aiaas.demo.companies import Company, order_fields, read_companies
from aiaas.demo.credentials import demo_password, keep_api_key, read_api_keys
from apps.billing.services import begin_billing_on, finalise_invoices
from apps.crm.selectors import find_order
from apps.crm.services import create_order, find_or_create_customer
from apps.ingestion.contracts import DocumentStatus
from apps.ingestion.services import add_document, process_document
from apps.realtime.widget_settings.services import update_widget_settings
from apps.resilience.errors import ConflictError, NotFoundError
from apps.routing.services import warm_router
from apps.tenants import selectors as tenants
from apps.tenants.contracts import Role, TenantRef
from apps.tenants.services import add_member, create_api_key, provision_tenant, revoke_api_key

Report = Callable[[str], None]
API_KEY_NAME = "demo"
BILLED_FOR = dt.timedelta(days=40)


def seed_demo(report: Report) -> None:
    """Give this installation its demo companies; what is there already is left alone.

    Interrupted anywhere, it finishes when called again: the API key is issued last.
    Works with the owner's connection where a tenant is missing.
    """
    for company in read_companies():
        tenant = _provide_tenant(company)
        if _is_seeded(tenant):
            report(f"{company.name} is there already")
            continue
        warm_router()  # learns the default model here rather than at the first message
        _add_customers_and_orders(tenant, company)
        _add_knowledge(tenant, company, report)
        _add_people(tenant, company)
        _set_up_widget(tenant, company)
        _bill_last_month(tenant)
        _issue_api_key(tenant)
        report(f"  {company.name}: {len(company.articles)} articles, {len(company.orders)} orders")


def _provide_tenant(company: Company) -> TenantRef:
    try:
        tenant = tenants.get_tenant(slug=company.slug)
        tenants.get_widget_key(tenant=tenant)
    except NotFoundError:
        return provision_tenant(
            slug=company.slug, name=company.name, time_zone=company.time_zone, plan="business"
        )
    return tenant


def _is_seeded(tenant: TenantRef) -> bool:
    return tenant.slug in read_api_keys() and any(
        key.name == API_KEY_NAME for key in tenants.list_api_keys(tenant=tenant)
    )


def _add_customers_and_orders(tenant: TenantRef, company: Company) -> None:
    now = timezone.now()
    for customer in company.customers:
        find_or_create_customer(tenant=tenant, **customer)
    for order in company.orders:
        if find_order(tenant=tenant, number=order["number"]) is None:
            create_order(tenant=tenant, customer_email=order["customer"], **order_fields(order, now))


def _add_knowledge(tenant: TenantRef, company: Company, report: Report) -> None:
    for number, article in enumerate(company.articles, 1):
        document = add_document(tenant=tenant, title=article.title, text=article.text)
        if document.status is not DocumentStatus.READY:
            process_document(tenant=tenant, document_id=document.id)
        report(f"{company.name}: article {number} of {len(company.articles)}, {article.title}")


def _add_people(tenant: TenantRef, company: Company) -> None:
    for person in company.people:
        add_member(
            tenant=tenant,
            email=person.email,
            role=Role(person.role),
            name=person.name,
            password=demo_password(person.email),
        )


def _set_up_widget(tenant: TenantRef, company: Company) -> None:
    """Give the widget the company's colour and words; what somebody has set since is left alone."""
    widget = tenants.get_widget_key(tenant=tenant)
    if widget.version == 0:
        update_widget_settings(
            tenant=tenant, key=widget.key, version=0, actor="platform", changes=company.widget
        )


def _bill_last_month(tenant: TenantRef) -> None:
    """Let the company have been with us for some weeks, so that there is an invoice to look at."""
    with suppress(ConflictError):  # an interrupted seeding has done it
        begin_billing_on(tenant=tenant, day=(timezone.now() - BILLED_FOR).date())
    finalise_invoices(tenant=tenant)


def _issue_api_key(tenant: TenantRef) -> None:
    for key in tenants.list_api_keys(tenant=tenant):
        if key.name == API_KEY_NAME:
            revoke_api_key(tenant=tenant, key_id=key.key_id)
    issued = create_api_key(tenant=tenant, name=API_KEY_NAME, scopes=["api:read", "api:write"])
    keep_api_key(tenant.slug, issued.token)
