"""What the examples of now have that the model which routes has not learnt, and the other way round."""

from __future__ import annotations

from collections.abc import Mapping

from apps.routing.classifier import IntentClassifier
from apps.routing.contracts import Changes, Origin
from apps.routing.default_model import default_intents
from apps.routing.loading import active_classifier
from apps.routing.models import IntentExample
from apps.routing.wording import hash_text
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef


def count_changes(*, tenant: TenantRef) -> Changes:
    """Count the examples that differ from those of the model that routes."""
    with in_tenant(tenant):
        rows = list(IntentExample.objects.values_list("text_hash", "intent__name", "origin"))
        if not rows:
            return Changes()
        active = active_classifier(tenant)
    learnt = _learnt_by(active[0]) if active else _shipped()
    now = {text: intent for text, intent, _ in rows}
    corrected = {text for text, _, origin in rows if origin == Origin.FEEDBACK}
    return _differ(learnt, now, corrected)


def _differ(learnt: Mapping[str, str], now: Mapping[str, str], corrected: set[str]) -> Changes:
    added = now.keys() - learnt.keys()
    moved = {text for text in now.keys() & learnt.keys() if now[text] != learnt[text]}
    return Changes(
        added=len(added),
        removed=len(learnt.keys() - now.keys()),
        moved=len(moved),
        corrections=len((added | moved) & corrected),
    )


def _learnt_by(classifier: IntentClassifier) -> dict[str, str]:
    return {hash_text(text): intent for text, intent in classifier.taught()}


def _shipped() -> dict[str, str]:
    return {hash_text(text): name for name, (_, texts) in default_intents().items() for text in texts}
