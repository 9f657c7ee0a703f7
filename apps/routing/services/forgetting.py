"""Forget what the router has learnt from somebody's words."""

from collections.abc import Iterable
from uuid import UUID

from apps.routing.classifier.redaction import redact
from apps.routing.models import IntentExample, RouterModel, RouterTraining
from apps.routing.wording import hash_text
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

RULES = {
    "routing.Intent": "kept: the company's own",
    "routing.IntentExample": "erased",
    "routing.RouterModel": "emptied",
    "routing.RouterTraining": "emptied",
}


def forget_words(*, tenant: TenantRef, texts: Iterable[str]) -> dict[str, int]:
    """Delete the examples that are these texts, and take the texts out of the models that learnt them.

    Returns rows by model. The models route on; what only these texts had in common is blanked in them.
    """
    hashes = {hash_text(text[:2000]) for text in texts}
    with in_tenant(tenant):
        examples = IntentExample.objects.filter(text_hash__in=hashes)
        total = examples.count()
        if not total and not hashes:
            return {}
        examples.delete()
        changed = {"routing.IntentExample": total}
        for model in (RouterModel, RouterTraining):
            changed[model._meta.label] = sum(
                _redact_row(model, row_id, hashes)
                for row_id in model.objects.exclude(payload=None).values_list("id", flat=True)
            )
    return changed


def _redact_row(model: type[RouterModel] | type[RouterTraining], row_id: UUID, hashes: set[str]) -> bool:
    row = model.objects.select_for_update().only("payload").get(id=row_id)  # one at a time: they are large
    payload = redact(bytes(row.payload or b""), hashes)
    if payload is None:
        return False
    model.objects.filter(id=row_id).update(payload=payload)
    return True
