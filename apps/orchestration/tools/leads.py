"""Lead tools."""

from __future__ import annotations

from apps.crm import selectors, services
from apps.orchestration.steps.context import Output, StepContext
from apps.orchestration.steps.history import customer_texts
from apps.orchestration.tools.contacts import find_email, find_phone


def lead_capture(context: StepContext) -> Output:
    """Store who is interested; without an address or a number the reply asks for one."""
    texts = [*customer_texts(context), context.text]
    given, customer = context.arguments, None
    if context.customer_id is not None:
        customer = selectors.get_customer(tenant=context.tenant, customer_id=context.customer_id)
    known = (customer.email or customer.metadata.get("stated_email")) if customer else None
    email = given.get("email") or find_email(texts) or known
    phone = given.get("phone") or find_phone(texts) or (customer.phone if customer else None)
    if not email and not phone:
        text = "To get back to you I need your e-mail address or your phone number."
        return {"is_captured": False, "needs": ["email"], "facts": [{"kind": "needs", "text": text}]}
    lead = services.capture_lead(
        tenant=context.tenant,
        effect_key=context.effect_key,
        name=given.get("name") or (customer.name if customer else None),
        email=email,
        phone=phone,
        message=given.get("message") or context.text,
        source=given.get("source") or str(context.input.get("channel", "api")),
    )
    text = "Thank you, your details are with our team, who will contact you."
    return {
        "is_captured": True,
        "needs": [],
        "lead_id": str(lead.id),
        "facts": [{"kind": "lead", "text": text}],
    }
