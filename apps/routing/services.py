"""Route messages; teach the router."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from uuid import UUID

import structlog
from django.conf import settings
from django.db import IntegrityError

from apps.inference.services import embed_query, embed_texts, embedder_fingerprint
from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.routing import selectors
from apps.routing.classifier import (
    BrokenModel,
    Examples,
    IntentClassifier,
    TrainingReport,
    from_bytes,
    to_bytes,
    train_classifier,
)
from apps.routing.classifier.features import FEATURES_VERSION
from apps.routing.contracts import FeedbackView, IntentView, RouteDecision, RouterModelView
from apps.routing.decisions import Message, decide_route
from apps.routing.default_model import default_intents, default_model_key, load_default_classifier
from apps.routing.metrics import confidence_label, router_decisions_total
from apps.routing.model_cache import ModelCache
from apps.routing.models import MAX_TEXT_CHARS, Intent, IntentExample, RouterModel, hash_text
from apps.routing.tiers import ChatModels
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

log = structlog.get_logger(__name__)
MAX_EXAMPLES = 5_000
MIN_EXAMPLES_PER_INTENT = 5
KEPT_VERSIONS = 5
INTENT_NAME = re.compile(r"[a-z][a-z0-9_]{1,49}")
_models = ModelCache()


def route_message(
    *,
    tenant: TenantRef,
    text: str,
    channel: str = "api",
    history: Sequence[str] = (),
    customer_id: UUID | None = None,
) -> RouteDecision:
    """Decide how a message is handled, and count the decision; writes nothing.

    `history` holds the customer's messages before this one, oldest first.
    Raises InvalidInput for an empty text.
    """
    decision = preview_route(tenant=tenant, text=text, channel=channel, history=history)
    router_decisions_total.labels(
        str(tenant.id), decision.tier.value, confidence_label(decision.confidence)
    ).inc()
    log.info(
        "route_decided",
        tenant_id=str(tenant.id),
        customer_id=str(customer_id) if customer_id else None,
        intent=decision.intent,
        confidence=decision.confidence,
        tier=decision.tier.value,
        escalate=decision.escalate,
        latency_ms=decision.latency_ms,
    )
    return decision


def preview_route(
    *, tenant: TenantRef, text: str, channel: str = "api", history: Sequence[str] = ()
) -> RouteDecision:
    """Decide as `route_message` does, without any trace."""
    started = time.perf_counter()
    if not text.strip():
        raise InvalidInput({"text": ["Give the message's text; it is empty."]})
    classifier, version = _classifier_of(tenant)
    decision = decide_route(
        Message(text, channel, history),
        classifier=classifier,
        version=version,
        embed=embed_query,
        models=_chat_models(),
    )
    return dataclasses.replace(decision, latency_ms=round((time.perf_counter() - started) * 1000, 2))


def warm_router() -> str:
    """Load the default model ahead of the first message, training it if need be; return its version."""
    return _default_classifier()[1]


def _chat_models() -> ChatModels:
    if not (settings.OPENAI_API_KEY or settings.OPENAI_BASE_URL):
        return ChatModels()
    return ChatModels(small=settings.CHAT_MODEL_SMALL, large=settings.CHAT_MODEL_LARGE)


def _classifier_of(tenant: TenantRef) -> tuple[IntentClassifier, str]:
    active = selectors.get_active_version(tenant=tenant)
    if active is None:
        return _default_classifier()
    try:
        classifier = _models.get((tenant.id, active.id), lambda: _load(tenant, active.id))
    except BrokenModel as error:
        log.warning(
            "router_model_unusable", tenant_id=str(tenant.id), version=active.version, error=str(error)
        )
        return _default_classifier()
    return classifier, f"v{active.version}"


def _default_classifier() -> tuple[IntentClassifier, str]:
    key = default_model_key()
    return _models.get(("default", key), load_default_classifier), f"default-{key[:8]}"


def _load(tenant: TenantRef, model_id: UUID) -> IntentClassifier:
    classifier = from_bytes(selectors.get_model_payload(tenant=tenant, model_id=model_id))
    if classifier.fingerprint != embedder_fingerprint():
        raise BrokenModel("it was trained with another embedder; train the router again")
    return classifier


def seed_default_intents(*, tenant: TenantRef) -> int:
    """Copy the shipped intents and examples to a tenant that has none; return how many examples came."""
    with in_tenant(tenant):
        if Intent.objects.exists():
            return 0
        intents = [Intent(name=name, description=about) for name, (about, _) in default_intents().items()]
        Intent.objects.bulk_create(intents)
        rows = [
            _example(intent, text, IntentExample.Origin.SHIPPED)
            for intent in intents
            for text in default_intents()[intent.name][1]
        ]
        IntentExample.objects.bulk_create(rows)
    return len(rows)


def _example(intent: Intent, text: str, origin: IntentExample.Origin) -> IntentExample:
    return IntentExample(intent=intent, text=text, text_hash=hash_text(text), origin=origin)


def create_intent(
    *, tenant: TenantRef, name: str, description: str = "", examples: Iterable[str] = ()
) -> IntentView:
    """Add an intent with examples; it routes after the next training.

    A text that is an example of another intent moves here. Raises InvalidInput and ConflictError.
    """
    texts = list({hash_text(text): text.strip() for text in examples}.values())
    if not INTENT_NAME.fullmatch(name):
        raise InvalidInput(
            {"name": ["Use 2 to 50 small letters, digits and underscores, starting with a letter."]}
        )
    if any(not text or len(text) > MAX_TEXT_CHARS for text in texts):
        raise InvalidInput({"examples": [f"Each example needs 1 to {MAX_TEXT_CHARS} characters."]})
    with in_tenant(tenant):
        seed_default_intents(tenant=tenant)
        if Intent.objects.filter(name=name).exists():
            raise ConflictError(f"The intent {name!r} exists already.")
        _check_room(len(texts))
        intent = Intent.objects.create(name=name, description=description)
        IntentExample.objects.filter(text_hash__in=[hash_text(text) for text in texts]).delete()
        IntentExample.objects.bulk_create(
            _example(intent, text, IntentExample.Origin.WRITTEN) for text in texts
        )
    return IntentView(name=name, description=description, examples=len(texts))


def delete_intent(*, tenant: TenantRef, name: str) -> None:
    """Remove an intent and its examples; it routes until the next training. Raises NotFoundError."""
    with in_tenant(tenant):
        seed_default_intents(tenant=tenant)
        if not Intent.objects.filter(name=name).delete()[0]:
            raise NotFoundError(f"There is no intent {name!r}.")


def record_feedback(*, tenant: TenantRef, text: str, intent: str) -> FeedbackView:
    """Keep a correction as an example of its right intent; it counts from the next training.

    Raises InvalidInput for an empty or overlong text and for an intent that the tenant does not have.
    """
    text = text.strip()
    if not text or len(text) > MAX_TEXT_CHARS:
        raise InvalidInput({"text": [f"Give 1 to {MAX_TEXT_CHARS} characters."]})
    with in_tenant(tenant):
        seed_default_intents(tenant=tenant)
        right = Intent.objects.filter(name=intent).first()
        if right is None:
            known = ", ".join(Intent.objects.order_by("name").values_list("name", flat=True))
            raise InvalidInput({"intent": [f"There is no intent {intent!r}. Choose one of: {known}."]})
        if IntentExample.objects.filter(text_hash=hash_text(text), intent=right).exists():
            return FeedbackView(intent=intent, text=text, is_new=False)
        _check_room(1)
        IntentExample.objects.update_or_create(
            text_hash=hash_text(text),
            defaults={"intent": right, "text": text, "origin": IntentExample.Origin.FEEDBACK},
        )
    return FeedbackView(intent=intent, text=text, is_new=True)


def list_intent_names(*, tenant: TenantRef) -> list[str]:
    """Return what a correction may name: the tenant's intents, or the shipped ones while it has none."""
    names = [intent.name for intent in selectors.list_intents(tenant=tenant)]
    return names or sorted(default_intents())


def _check_room(wanted: int) -> None:
    if IntentExample.objects.count() + wanted > MAX_EXAMPLES:
        raise InvalidInput({"examples": [f"A router holds {MAX_EXAMPLES} examples; delete some first."]})


def train_router(*, tenant: TenantRef) -> RouterModelView:
    """Train on the tenant's examples and let the new version route; takes seconds.

    Nothing new to learn: the active version stays and is returned. Must not be called in a transaction.
    Raises InvalidInput when an intent has too few examples, ConflictError when two trainings race.
    """
    seed_default_intents(tenant=tenant)
    pairs = selectors.list_examples(tenant=tenant)
    _check_teachable(pairs, selectors.list_intents(tenant=tenant))
    content_hash = _hash_content(pairs)
    active = selectors.get_active_model(tenant=tenant)
    if active is not None and selectors.get_content_hash(tenant=tenant, model_id=active.id) == content_hash:
        return active
    texts, intents = [text for _, text in pairs], [intent for intent, _ in pairs]
    classifier, report = train_classifier(
        Examples(texts, intents, embed_texts(texts)), fingerprint=embedder_fingerprint()
    )
    return _activate(tenant, classifier, report, content_hash)


def _check_teachable(pairs: Sequence[tuple[str, str]], intents: Sequence[IntentView]) -> None:
    count = Counter(intent for intent, _ in pairs)
    poor = sorted(intent.name for intent in intents if count[intent.name] < MIN_EXAMPLES_PER_INTENT)
    if poor:
        raise InvalidInput(
            {
                "examples": [
                    f"{', '.join(poor)}: give at least {MIN_EXAMPLES_PER_INTENT} examples or delete it."
                ]
            }
        )
    if len(count) < 2:
        raise InvalidInput({"intents": ["A router needs at least two intents."]})


def _hash_content(pairs: Sequence[tuple[str, str]]) -> str:
    parts = [str(FEATURES_VERSION), embedder_fingerprint(), repr(pairs)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _activate(
    tenant: TenantRef, classifier: IntentClassifier, report: TrainingReport, content_hash: str
) -> RouterModelView:
    payload = to_bytes(classifier)
    try:
        with in_tenant(tenant):
            newest = RouterModel.objects.select_for_update().defer("payload").order_by("-version").first()
            version = newest.version + 1 if newest else 1
            RouterModel.objects.filter(is_active=True).update(is_active=False)
            model = RouterModel.objects.create(
                version=version,
                content_hash=content_hash,
                is_active=True,
                intents=list(classifier.intents),
                examples=report.examples,
                accuracy=round(report.accuracy, 4),
                calibration_error=round(report.calibration_error, 4),
                payload=payload,
            )
            RouterModel.objects.filter(version__lte=version - KEPT_VERSIONS).delete()
    except IntegrityError as error:
        raise ConflictError(
            "The router was trained by somebody else at the same time; look again."
        ) from error
    log.info("router_trained", tenant_id=str(tenant.id), version=version, accuracy=round(report.accuracy, 3))
    return selectors.view_model(model)
