"""Ask for a company, and make it."""

import datetime as dt
import secrets
from functools import partial
from uuid import UUID

import structlog
from celery import current_app
from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.text import slugify
from kombu.exceptions import KombuError

from apps.accounts.models import SignUp
from apps.accounts.samples import SAMPLES
from apps.billing.selectors import choose_first_plan
from apps.ingestion.services import add_document, process_document
from apps.resilience.errors import ConflictError, NotFoundError
from apps.tenants.contracts import Role, TenantRef
from apps.tenants.selectors import get_tenant, is_slug_taken, list_memberships
from apps.tenants.services import add_member, provision_tenant

log = structlog.get_logger(__name__)

HINT = "workers.tasks.provision_company"
LEASE = dt.timedelta(seconds=60)
MAX_ATTEMPTS = 5
MAX_A_DAY = 5  # companies for one person
SLUG_CHARS = 30


def request_company(*, user_id: UUID, company: str, time_zone: str) -> SignUp:
    """Ask for a company on behalf of a person; asked again meanwhile, the first wish is returned.

    A worker makes the company after the commit; a sweep does where the hint is lost.
    """
    while True:
        slug = _free_slug(company)
        try:
            with transaction.atomic():
                sign_up = SignUp.objects.create(
                    user_id=user_id, company=company.strip(), slug=slug, time_zone=time_zone
                )
                transaction.on_commit(partial(_hint, sign_up.id), robust=True)
                return sign_up
        except IntegrityError:
            waiting = SignUp.objects.filter(user_id=user_id, status=SignUp.Status.WAITING).first()
            if waiting is not None:
                return waiting


def request_another_company(*, user_id: UUID, company: str, time_zone: str) -> SignUp:
    """Ask for one more company for a person; raises ConflictError for who asks for many within a day."""
    recent = SignUp.objects.filter(user_id=user_id, created_at__gt=timezone.now() - dt.timedelta(days=1))
    if recent.count() >= MAX_A_DAY:
        raise ConflictError(f"You have asked for {MAX_A_DAY} companies within a day; go on tomorrow.")
    return request_company(user_id=user_id, company=company, time_zone=time_zone)


def provision_company(*, sign_up_id: UUID) -> None:
    """Make the company of a sign-up that is due; whoever holds its lease works alone.

    Works with the owner's connection, hence in workers only. Each step finds what an earlier attempt has
    done; an attempt that breaks is repeated by the sweep, the last one leaves its error for the person.
    """
    sign_up = _claim(sign_up_id)
    if sign_up is None:
        return
    try:
        _make(sign_up)
    except Exception as error:
        log.exception("sign_up_failed", sign_up=str(sign_up_id))
        _give_up_or_wait(sign_up, error)
        return
    SignUp.objects.filter(id=sign_up_id).update(status=SignUp.Status.DONE, due_at=None, error="")


def sweep_due_sign_ups() -> int:
    """Make every company whose hint or worker was lost; return how many were due."""
    due = SignUp.objects.filter(due_at__lte=Now()).order_by("due_at").values_list("id", flat=True)[:20]
    ids = list(due)
    for sign_up_id in ids:
        provision_company(sign_up_id=sign_up_id)
    return len(ids)


def retry_sign_up(*, user_id: UUID) -> None:
    """Try a failed sign-up again; raises NotFoundError where there is none."""
    failed = SignUp.objects.filter(user_id=user_id, status=SignUp.Status.FAILED).order_by("-id").first()
    if failed is None:
        raise NotFoundError("There is nothing to try again.")
    with transaction.atomic():
        SignUp.objects.filter(id=failed.id).update(
            status=SignUp.Status.WAITING, attempts=0, due_at=timezone.now(), error=""
        )
        transaction.on_commit(partial(_hint, failed.id), robust=True)


def _claim(sign_up_id: UUID) -> SignUp | None:
    due = SignUp.objects.filter(id=sign_up_id, status=SignUp.Status.WAITING, due_at__lte=Now())
    if not due.update(due_at=Now() + LEASE, attempts=F("attempts") + 1):
        return None
    return SignUp.objects.select_related("user").get(id=sign_up_id)


def _make(sign_up: SignUp) -> None:
    tenant = _provide_tenant(sign_up)
    add_member(tenant=tenant, email=sign_up.user.email, role=Role.OWNER)
    for title, text in SAMPLES:
        document = add_document(tenant=tenant, title=title, text=text)
        process_document(tenant=tenant, document_id=document.id)


def _provide_tenant(sign_up: SignUp) -> TenantRef:
    try:
        return provision_tenant(
            slug=sign_up.slug,
            name=sign_up.company,
            plan=choose_first_plan(),
            time_zone=sign_up.time_zone,
        )
    except ConflictError:
        tenant = get_tenant(slug=sign_up.slug)
        if _is_ours(sign_up, tenant):
            return tenant
        raise


def _is_ours(sign_up: SignUp, tenant: TenantRef) -> bool:
    """Tell a tenant that an earlier attempt made from one that somebody else did meanwhile."""
    mine = {m.tenant for m in list_memberships(user_id=sign_up.user_id)}
    return tenant in mine or sign_up.attempts > 1


def _give_up_or_wait(sign_up: SignUp, error: Exception) -> None:
    is_last = sign_up.attempts >= MAX_ATTEMPTS
    SignUp.objects.filter(id=sign_up.id).update(
        status=SignUp.Status.FAILED if is_last else SignUp.Status.WAITING,
        due_at=None if is_last else timezone.now() + dt.timedelta(seconds=2**sign_up.attempts),
        error=f"{type(error).__name__}: {error}"[:500],
    )


def _free_slug(company: str) -> str:
    wanted = slugify(company).strip("-_").replace("_", "-")[:SLUG_CHARS].strip("-")
    wanted = wanted if wanted[:1].isalpha() and len(wanted) >= 3 else f"company-{wanted}".strip("-")
    return wanted if _is_free(wanted) else f"{wanted}-{secrets.token_hex(3)}"


def _is_free(slug: str) -> bool:
    return not SignUp.objects.filter(slug=slug).exists() and not is_slug_taken(slug)


def _hint(sign_up_id: UUID) -> None:
    try:
        current_app.send_task(HINT, args=[str(sign_up_id)], retry=False, ignore_result=True)
    except (KombuError, OSError) as error:
        log.info("hint_not_sent", sign_up=str(sign_up_id), error=str(error))
