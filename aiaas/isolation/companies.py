"""Companies full of marked data: what one of them holds must never show at the other."""

import datetime as dt
import re
import secrets
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import UUID

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.auth import get_user_model
from django.db import Error, models, transaction
from django.utils import timezone

from aiaas.isolation.passkeys import make_passkey
from aiaas.isolation.rows import has_rows, make_row, tenant_models
from apps.billing.services import begin_billing_on, finalise_invoices
from apps.conversations import services as conversations
from apps.crm.erasing import erase_customer
from apps.crm.services import capture_lead, create_customer, create_order
from apps.ingestion.services import add_document, delete_document
from apps.orchestration.definitions.services import publish_workflow, save_draft
from apps.orchestration.hooks.services import create_endpoint
from apps.orchestration.services import start_run
from apps.resilience.errors import DomainError
from apps.routing.services import create_intent
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role, TenantRef
from apps.tenants.exporting.services import request_export, write_export
from apps.tenants.members import invite_member
from apps.tenants.services import add_member, create_api_key, provision_tenant
from apps.webhooks.contracts import ALL_TYPES
from apps.webhooks.services import deliveries
from apps.webhooks.services import endpoints as webhooks

WORKFLOW = """
name: {mark}
version: "1.0"
triggers: [{{type: api}}]
steps: [{{id: find, type: tool, tool: faq_search}}]
"""


@dataclass(frozen=True)
class Thing:
    """A name by which one of a company's rows can be asked for."""

    table: str
    column: str
    value: str

    @property
    def words(self) -> set[str]:
        return words_of(f"{self.table} {self.column}")


@dataclass
class Company:
    """One tenant; `mark` stands in all of its data and nowhere else."""

    tenant: TenantRef
    mark: str
    token: str = ""
    hook_secret: str = ""
    things: list[Thing] = field(default_factory=list)
    unmade: dict[str, str] = field(default_factory=dict)  # tables without a row, and why

    @cached_property
    def signs(self) -> re.Pattern[str]:
        """What only this company's data holds: its mark, its id, and the ids of its rows."""
        ids = {thing.value for thing in self.things if is_uuid(thing.value)} | {str(self.tenant.id)}
        both = {form for given in ids for form in (given, UUID(given).hex)}
        return re.compile("|".join(sorted({self.mark, *both})), re.IGNORECASE)

    @property
    def names(self) -> list[str]:
        """By what the company or anything of its may be known."""
        own = [self.mark, str(self.tenant.id), self.tenant.id.hex, self.tenant.slug]
        return [*own, *(thing.value for thing in self.things)]

    def owner(self) -> models.Model:
        """Return the user who owns the company."""
        return get_user_model().objects.get(email=f"owner@{self.mark}.example")

    def ids_for(self, *hints: str) -> list[str]:
        """Return the names of everything that is the company's, what the hints speak of first."""
        wanted = words_of(" ".join(hints))
        ranked = sorted(self.things, key=lambda thing: -len(thing.words & wanted))
        return list(dict.fromkeys(thing.value for thing in ranked))


def words_of(text: str) -> set[str]:
    """Return the words of a name, without the plural's s."""
    return {word.removesuffix("s") for word in re.findall(r"[a-z]+", text.lower().replace("_", " "))}


def is_uuid(value: str) -> bool:
    try:
        UUID(value)
    except ValueError:
        return False
    return True


def found_company() -> Company:
    """Make a company of its own and fill it."""
    mark = f"qz{secrets.token_hex(5)}zq"
    tenant = provision_tenant(slug=f"proof-{secrets.token_hex(5)}", name=mark, plan="enterprise")
    return furnish(Company(tenant, mark))


def furnish(company: Company) -> Company:
    """Give a company marked rows in every table that a tenant has."""
    tenant, mark = company.tenant, company.mark
    add_member(tenant=tenant, email=f"owner@{mark}.example", role=Role.OWNER, name=mark, password=mark)
    company.token = create_api_key(tenant=tenant, name=mark, scopes=["api:read", "api:write"]).token
    for make in MAKERS:
        make(company)
    for model in tenant_models():
        if not has_rows(model, tenant):
            _fill(model, company)
    company.things = _collect(tenant) + _collect_own(company)
    return company


def _fill(model: type[models.Model], company: Company) -> None:
    try:
        with in_tenant(company.tenant), transaction.atomic():
            make_row(model, company.tenant, company.mark)
    except (Error, DomainError, ValueError, TypeError) as error:
        company.unmade[model._meta.db_table] = str(error).partition("\n")[0]


def _collect(tenant: TenantRef) -> list[Thing]:
    things: list[Thing] = []
    with in_tenant(tenant):
        for model in tenant_models():
            names = _names(model)
            for row in model._default_manager.values(*names)[:20]:
                things += [Thing(model._meta.label, name, str(row[name])) for name in names if row[name]]
    return things


def _collect_own(company: Company) -> list[Thing]:
    """Give the owner a session and a passkey, which belong to a person and to no tenant."""
    owner, mark = company.owner(), company.mark
    session = UserSession.objects.create(user=owner, ip="192.0.2.1", session_key=mark, user_agent=mark)
    kind, data = Authenticator.Type.WEBAUTHN, {"name": mark, "credential": make_passkey()}
    passkey = Authenticator.objects.create(user=owner, type=kind, data=data)
    return [Thing("sessions", "session_id", str(session.pk)), Thing("passkeys", "pk", str(passkey.pk))]


def _names(model: type[models.Model]) -> list[str]:
    """Return the columns by which a row may be asked for: its key, ids, and short unique texts."""
    fields = [field for field in model._meta.concrete_fields if field.column != "tenant_id"]
    unique = {name for group in _unique(model) for name in group}
    texts = models.CharField | models.UUIDField
    return [
        field.attname
        for field in fields
        if field.related_model is None
        and (field.primary_key or (isinstance(field, texts) and (field.unique or field.name in unique)))
    ]


def _unique(model: type[models.Model]) -> list[tuple[str, ...]]:
    constraints = model._meta.constraints
    return [tuple(each.fields) for each in constraints if isinstance(each, models.UniqueConstraint)]


def _knowledge(company: Company) -> None:
    tenant, mark = company.tenant, company.mark
    add_document(tenant=tenant, title=mark, text=f"The secret word is {mark}.")
    deleted = add_document(tenant=tenant, title=f"{mark} deleted", text=f"The old secret word was {mark}.")
    delete_document(tenant=tenant, document_id=deleted.id)


def _people(company: Company) -> None:
    tenant, mark = company.tenant, company.mark
    customer = create_customer(tenant=tenant, name=mark, email=f"{mark}@proof.example", external_id=mark)
    create_order(tenant=tenant, number=mark.upper(), total_cents=100, items=[], customer_id=customer.id)
    capture_lead(tenant=tenant, name=mark, email=f"lead@{mark}.example", effect_key=str(uuid.uuid4()))
    invite_member(tenant=tenant, email=f"asked@{mark}.example", role="viewer", actor=mark)


def _talk(company: Company) -> None:
    tenant, mark = company.tenant, company.mark
    started = conversations.start_conversation(tenant=tenant, channel="api", text=f"Who is {mark}?")
    keys: dict[str, Any] = {"tenant": tenant, "conversation_id": started.conversation.id}
    conversations.post_reply(**keys, text=f"It is {mark}.", reply_key=str(uuid.uuid4()))
    conversations.open_escalation(**keys, reason=mark, effect_key=str(uuid.uuid4()))
    conversations.save_canned_reply(tenant=tenant, shortcut=mark, text=mark)


def _work(company: Company) -> None:
    tenant, mark = company.tenant, company.mark
    create_intent(tenant=tenant, name=mark, examples=[f"Tell me about {mark}"])
    save_draft(tenant=tenant, source=WORKFLOW.format(mark=mark))
    publish_workflow(tenant=tenant, name=mark)
    save_draft(tenant=tenant, source=WORKFLOW.format(mark=mark).replace("1.0", "1.1"))
    with suppress(DomainError):
        start_run(tenant=tenant, workflow_name="order_cancellation", input={"order_number": mark.upper()})
    endpoint = create_endpoint(tenant=tenant, name=mark, action="message", actor=mark)
    company.hook_secret = endpoint.secret


def _bill(company: Company) -> None:
    begin_billing_on(tenant=company.tenant, day=(timezone.now() - dt.timedelta(days=40)).date())
    finalise_invoices(tenant=company.tenant)


def _leave(company: Company) -> None:
    """Have what goes out: an archive, an erasure, and an address that is told of events."""
    tenant, mark = company.tenant, company.mark
    export = request_export(tenant=tenant, actor=mark)
    write_export(tenant=tenant, export_id=export.id)
    gone = create_customer(tenant=tenant, name=mark, email=f"gone@{mark}.example")
    erase_customer(tenant=tenant, customer_id=gone.id, actor=mark)
    url, types = f"https://{mark}.example/events", [ALL_TYPES]
    issued = webhooks.create_endpoint(tenant=tenant, url=url, event_types=types, actor=mark)
    deliveries.send_test(tenant=tenant, endpoint_id=issued.endpoint.id, actor=mark)


MAKERS: tuple[Callable[[Company], None], ...] = (_knowledge, _people, _talk, _work, _bill, _leave)
