"""Tell those who run a company that one of its endpoints is no longer sent to."""

from __future__ import annotations

import structlog
from django.conf import settings
from django.core.mail import send_mail
from django.utils import timezone

from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import list_admin_emails
from apps.webhooks.contracts import EndpointState
from apps.webhooks.models import WebhookEndpoint

log = structlog.get_logger(__name__)
SUBJECT = "Webhooks to {host} are paused"
FAILING = (
    "Every delivery to {url} has failed since {since:%d %B %Y, %H:%M} UTC, so it is paused. Nothing is lost: "
    "what happens meanwhile waits for 30 days.\n\nMend the receiver, then resume the endpoint:\n{page}\n"
)
GONE = (
    "{url} answered 410 Gone, so nothing is sent to it any more, and nothing waits for it.\n\n"
    "If that was a mistake, resume the endpoint:\n{page}\n"
)


def mail_notices(*, tenant: TenantRef) -> int:
    """Mail owners and admins about endpoints that were stopped; return how many.

    Each is claimed before it is sent: a mail may be lost with its process, but never comes twice.
    """
    with in_tenant(tenant):
        stopped = WebhookEndpoint.objects.filter(
            state__in=[EndpointState.FAILING, EndpointState.GONE], notified_at__isnull=True
        )
        endpoints = list(stopped.select_for_update(skip_locked=True))
        readers = list_admin_emails(tenant=tenant) if endpoints else []
        stopped.filter(id__in=[one.id for one in endpoints]).update(notified_at=timezone.now())
    for endpoint in endpoints:
        _mail(endpoint, readers)
    return len(endpoints)


def _mail(endpoint: WebhookEndpoint, readers: list[str]) -> None:
    text = GONE if endpoint.state == EndpointState.GONE else FAILING
    page = f"{settings.PUBLIC_URL.rstrip('/')}/app/channels/outgoing/{endpoint.id}/"
    host = endpoint.url.split("/")[2]
    written = text.format(url=endpoint.url, since=endpoint.failing_since, page=page)
    try:
        for reader in readers:
            send_mail(SUBJECT.format(host=host), written, None, [reader])
    except OSError as error:  # smtplib's errors are among these
        log.warning("webhook_notice_lost", endpoint_id=str(endpoint.id), cause=str(error))
