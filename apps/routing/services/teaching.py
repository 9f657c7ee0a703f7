"""Teach the router: intents and their examples."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from django.db import IntegrityError, transaction

from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.routing import selectors
from apps.routing.contracts import ExampleView, FeedbackView, IntentView, Origin
from apps.routing.default_model import default_intents
from apps.routing.models import MAX_TEXT_CHARS, Intent, IntentExample
from apps.routing.wording import hash_text
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.services import record_audit

MAX_EXAMPLES, MAX_INTENTS = 5_000, 200
MAX_DESCRIPTION_CHARS = 300
SHOWN_ERRORS = 5
INTENT_NAME = re.compile(r"[a-z][a-z0-9_]{1,49}")


def seed_default_intents(*, tenant: TenantRef) -> int:
    """Copy the shipped intents and examples to a tenant that has none; return how many examples came."""
    with in_tenant(tenant):
        if Intent.objects.exists():
            return 0
        intents = [Intent(name=name, description=about) for name, (about, _) in default_intents().items()]
        Intent.objects.bulk_create(intents)
        rows = [
            _example(intent, text, Origin.SHIPPED)
            for intent in intents
            for text in default_intents()[intent.name][1]
        ]
        IntentExample.objects.bulk_create(rows)
    return len(rows)


def _example(intent: Intent, text: str, origin: Origin) -> IntentExample:
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
    about = _check_description(description)
    with in_tenant(tenant):
        seed_default_intents(tenant=tenant)
        if Intent.objects.filter(name=name).exists():
            raise ConflictError(f"The intent {name!r} exists already.")
        if Intent.objects.count() >= MAX_INTENTS:
            raise InvalidInput({"name": [f"A router holds {MAX_INTENTS} intents; delete one first."]})
        _check_room(len(texts))
        intent = Intent.objects.create(name=name, description=about)
        IntentExample.objects.filter(text_hash__in=[hash_text(text) for text in texts]).delete()
        IntentExample.objects.bulk_create(_example(intent, text, Origin.WRITTEN) for text in texts)
        data = {"after": {"description": about, "examples": len(texts)}}
        record_audit(tenant=tenant, action="router.intent_created", target=name, data=data)
    return IntentView(name=name, description=about, examples=len(texts))


def update_intent(*, tenant: TenantRef, name: str, description: str) -> None:
    """Say anew what an intent is. Raises InvalidInput and NotFoundError."""
    about = _check_description(description)
    with in_tenant(tenant):
        seed_default_intents(tenant=tenant)
        intent = Intent.objects.select_for_update().filter(name=name).first()
        if intent is None:
            raise NotFoundError(f"There is no intent {name!r}.")
        before, intent.description = intent.description, about
        intent.save(update_fields=["description"])
        data = {"before": {"description": before}, "after": {"description": about}}
        record_audit(tenant=tenant, action="router.intent_changed", target=name, data=data)


def add_examples(*, tenant: TenantRef, intent: str, texts: Sequence[str]) -> int:
    """Add examples to an intent, all or none, and return how many; they count from the next training.

    Raises NotFoundError, and InvalidInput that names each line which is too long, repeated or known.
    """
    with in_tenant(tenant):
        seed_default_intents(tenant=tenant)
        goal = _find_intent(intent)
        lines = [(number, text.strip()) for number, text in enumerate(texts, 1) if text.strip()]
        if not lines:
            raise InvalidInput({"examples": ["Write at least one example."]})
        _check_room(len(lines))
        _refuse_lines(lines)
        _insert([_example(goal, text, Origin.WRITTEN) for _, text in lines])
        record_audit(
            tenant=tenant, action="router.examples_added", target=intent, data={"examples": len(lines)}
        )
    return len(lines)


def _refuse_lines(lines: Sequence[tuple[int, str]]) -> None:
    hashes = [hash_text(text) for _, text in lines]
    rows = IntentExample.objects.filter(text_hash__in=hashes).values_list("text_hash", "intent__name")
    known, first, wrong = dict(rows), dict[str, int](), []
    for (number, text), key in zip(lines, hashes, strict=True):
        if len(text) > MAX_TEXT_CHARS:
            wrong.append(f"Line {number} is longer than {MAX_TEXT_CHARS} characters.")
        elif key in known:
            wrong.append(f"Line {number} is an example of {known[key]} already.")
        elif key in first:
            wrong.append(f"Line {number} repeats line {first[key]}.")
        first.setdefault(key, number)
    if wrong:
        more = [f"{len(wrong) - SHOWN_ERRORS} more lines are refused."] if len(wrong) > SHOWN_ERRORS else []
        raise InvalidInput({"examples": wrong[:SHOWN_ERRORS] + more})


def update_example(*, tenant: TenantRef, example_id: UUID, text: str, intent: str) -> ExampleView:
    """Change an example's text, or give it to another intent.

    Raises NotFoundError, and InvalidInput for a bad text, a text that is known, and an unknown intent.
    """
    said = _check_text(text)
    with in_tenant(tenant):
        example = IntentExample.objects.select_for_update().filter(id=example_id).first()
        if example is None:
            raise NotFoundError("There is no such example.")
        goal = Intent.objects.filter(name=intent).first()
        if goal is None:
            raise InvalidInput({"intent": [f"There is no intent {intent!r}."]})
        other = IntentExample.objects.filter(text_hash=hash_text(said)).exclude(id=example_id)
        if known := other.select_related("intent").first():
            raise InvalidInput({"text": [f"This is an example of {known.intent.name} already."]})
        before = Intent.objects.values_list("name", flat=True).get(id=example.intent_id)
        data = {
            "before": {"intent": before},
            "after": {"intent": intent},
            "is_reworded": said != example.text,
        }
        if said != example.text:
            example.origin = Origin.WRITTEN.value
        example.intent, example.text, example.text_hash = goal, said, hash_text(said)
        with _unique_text("text"):
            example.save()
        record_audit(tenant=tenant, action="router.example_changed", target=str(example_id), data=data)
        return example.view()


def delete_example(*, tenant: TenantRef, example_id: UUID) -> ExampleView:
    """Remove an example and return what it was; raises NotFoundError."""
    with in_tenant(tenant):
        rows = IntentExample.objects.select_for_update(of=["self"]).select_related("intent")
        example = rows.filter(id=example_id).first()
        if example is None:
            raise NotFoundError("There is no such example.")
        gone = example.view()
        example.delete()
        data = {"before": {"intent": gone.intent}}
        record_audit(tenant=tenant, action="router.example_deleted", target=str(example_id), data=data)
        return gone


def restore_example(*, tenant: TenantRef, intent: str, text: str, origin: str) -> None:
    """Bring a deleted example back. Raises NotFoundError without its intent, InvalidInput if it is known."""
    said = _check_text(text)
    with in_tenant(tenant):
        goal = _find_intent(intent)
        _check_room(1)
        _insert([_example(goal, said, Origin(origin))])
        record_audit(tenant=tenant, action="router.example_restored", target=intent)


def _find_intent(name: str) -> Intent:
    intent = Intent.objects.filter(name=name).first()
    if intent is None:
        raise NotFoundError(f"There is no intent {name!r}.")
    return intent


def _insert(examples: list[IntentExample]) -> None:
    with _unique_text("examples"):
        IntentExample.objects.bulk_create(examples)


@contextmanager
def _unique_text(field: str) -> Iterator[None]:
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        raise InvalidInput({field: ["Somebody has just added this text; look again."]}) from error


def _check_text(text: str) -> str:
    said = text.strip()
    if not said or len(said) > MAX_TEXT_CHARS:
        raise InvalidInput({"text": [f"Give 1 to {MAX_TEXT_CHARS} characters."]})
    return said


def _check_description(text: str) -> str:
    about = " ".join(text.split())
    if len(about) > MAX_DESCRIPTION_CHARS:
        raise InvalidInput({"description": [f"Give at most {MAX_DESCRIPTION_CHARS} characters."]})
    return about


def delete_intent(*, tenant: TenantRef, name: str) -> None:
    """Remove an intent and its examples; it routes until the next training. Raises NotFoundError."""
    with in_tenant(tenant):
        seed_default_intents(tenant=tenant)
        removed = Intent.objects.filter(name=name).delete()[0]
        if not removed:
            raise NotFoundError(f"There is no intent {name!r}.")
        data = {"before": {"examples": removed - 1}}
        record_audit(tenant=tenant, action="router.intent_deleted", target=name, data=data)


def record_feedback(*, tenant: TenantRef, text: str, intent: str) -> FeedbackView:
    """Keep a correction as an example of its right intent; it counts from the next training.

    Raises InvalidInput for an empty or overlong text and for an intent that the tenant does not have.
    """
    text = _check_text(text)
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
            defaults={"intent": right, "text": text, "origin": Origin.FEEDBACK},
        )
    return FeedbackView(intent=intent, text=text, is_new=True)


def list_intent_names(*, tenant: TenantRef) -> list[str]:
    """Return what a correction may name: the tenant's intents, or the shipped ones while it has none."""
    names = [intent.name for intent in selectors.list_intents(tenant=tenant)]
    return names or sorted(default_intents())


def _check_room(wanted: int) -> None:
    if IntentExample.objects.count() + wanted > MAX_EXAMPLES:
        raise InvalidInput({"examples": [f"A router holds {MAX_EXAMPLES} examples; delete some first."]})
