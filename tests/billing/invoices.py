"""A final invoice, for the tests that only need to have one."""

import datetime as dt
import uuid

from django.utils import timezone

from apps.billing.services import begin_billing_on, finalise_invoices
from apps.tenants.contracts import TenantRef
from tests.billing.generated import deliver, usage


def make_invoice(tenant: TenantRef) -> uuid.UUID:
    """Finalise the tenant's last month, with some usage in it."""
    now = timezone.now()
    begin_billing_on(tenant=tenant, day=(now - dt.timedelta(days=40)).date())
    deliver(tenant, usage(tenant, now - dt.timedelta(days=38), quantity=1234))
    return finalise_invoices(tenant=tenant, now=now)[0]
