"""Write leads."""

from typing import Unpack
from uuid import UUID

from django.db import IntegrityError, transaction

from apps.crm import validation
from apps.crm.contracts import LeadFields, LeadView
from apps.crm.events import LeadCaptured
from apps.crm.models import Customer, Lead
from apps.events.services import publish
from apps.resilience.errors import InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.services import record_audit

UNREACHABLE = "Give an email address or a phone number, or nobody can call back."


def capture_lead(
    *,
    tenant: TenantRef,
    effect_key: str,
    name: str | None = None,
    email: str | None = None,
    phone: str | None = None,
    message: str | None = None,
    source: str | None = None,
) -> LeadView:
    """Keep somebody's interest, once for each `effect_key`; linked to the customer of that email.

    Raises InvalidInput, also without both email and phone.
    """
    key = validation.effect_key(effect_key)
    given = {"name": name, "email": email, "phone": phone, "message": message, "source": source}
    cleaned = validation.clean(given, validation.LEAD)
    if not cleaned["email"] and not cleaned["phone"]:
        raise InvalidInput({"email": [UNREACHABLE]})
    with in_tenant(tenant):
        captured = Lead.objects.filter(effect_key=key).first()
        if captured is not None:
            return captured.view()
        customer = Customer.objects.filter(email=cleaned["email"]).first() if cleaned["email"] else None
        lead = Lead(**cleaned, customer=customer, effect_key=key)
        try:
            with transaction.atomic():
                lead.save(force_insert=True)
        except IntegrityError:
            return Lead.objects.get(effect_key=key).view()
        publish(
            LeadCaptured(
                tenant_id=tenant.id, lead_id=lead.id, source=lead.source, customer_id=lead.customer_id
            )
        )
        return lead.view()


def update_lead(*, tenant: TenantRef, lead_id: UUID, **fields: Unpack[LeadFields]) -> LeadView:
    """Change the given fields; raises NotFoundError, InvalidInput."""
    cleaned = validation.clean(fields, validation.LEAD)
    with in_tenant(tenant):
        lead = Lead.objects.select_for_update().filter(id=lead_id).first()
        if lead is None:
            raise NotFoundError("There is no such lead.")
        for name, value in cleaned.items():
            setattr(lead, name, value)
        if not lead.email and not lead.phone:
            raise InvalidInput({"email": [UNREACHABLE]})
        lead.save(update_fields=list(cleaned))
        return lead.view()


def delete_lead(*, tenant: TenantRef, lead_id: UUID) -> None:
    """Remove a lead; raises NotFoundError."""
    with in_tenant(tenant):
        if not Lead.objects.filter(id=lead_id).delete()[0]:
            raise NotFoundError("There is no such lead.")
        record_audit(tenant=tenant, action="lead.deleted", target=str(lead_id))
