"""The steps of an erasure that concern events, which know no tenants themselves."""

from apps.events.erasing import services as erasing
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Erased, Subject, TenantRef


def empty_events(*, tenant: TenantRef, subject: Subject) -> Erased:
    """Empty the outbox and the dead letters, in the caller's transaction."""
    return Erased(erasing.empty_events(_about(subject)))


def forget_in_streams(*, tenant: TenantRef, subject: Subject) -> Erased:
    """Delete the streams' copies, and have the emptied events published again."""
    with in_tenant(tenant):
        published = erasing.list_published(_about(subject))
    total = erasing.forget_in_streams(published)
    with in_tenant(tenant):
        erasing.publish_again(published)
    return Erased({"jetstream": total})


def remove_archives(*, tenant: TenantRef, subject: Subject) -> Erased:
    """Remove the company's archives, which show the customer."""
    from apps.tenants.exporting.services import forget_archives

    return Erased({"archives": forget_archives(tenant_id=tenant.id)})


def _about(subject: Subject) -> erasing.Trace:
    return erasing.Trace(
        customer_id=subject.customer_id,
        identifiers=subject.identifiers,
        conversation_ids=subject.conversation_ids,
        run_ids=subject.run_ids,
    )
