"""Trainings in the background: compared before anything changes, and lost by no kill."""

import datetime as dt

import numpy as np
import pytest
from django.utils import timezone

from apps.conversations import services as conversations
from apps.inference.services import embed_texts
from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.routing import selectors, services
from apps.routing.changes import count_changes
from apps.routing.claims import GAVE_UP, LEASE, Claim, LeaseLost, claim_training
from apps.routing.classifier import Examples, IntentClassifier, compare_classifiers, train_classifier
from apps.routing.contracts import CandidateView, Comparison, TrainingStatus
from apps.routing.loading import classifier_of
from apps.routing.models import RouterModel, RouterTraining
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.models import AuditEvent
from tests.routing.test_classifier import embed, examples
from tests.routing.test_services import PARROTS

ACTOR = "user:somebody"
ODD = "Kindly expedite the dispatch of PO 77-B"


def candidate(tenant: TenantRef) -> CandidateView:
    """Train one to its end."""
    wanted = services.request_training(tenant=tenant, actor=ACTOR)
    assert services.train_candidate(tenant=tenant, training_id=wanted.id) == TrainingStatus.READY
    return selectors.get_candidate(tenant=tenant, training_id=wanted.id)


def learnt(examples: Examples) -> IntentClassifier:
    return train_classifier(examples)[0]


def compare(before: IntentClassifier, after: IntentClassifier, asked: Examples) -> Comparison:
    return compare_classifiers(before, after, asked, against="v1", unsure_below=0.7)


def test_a_model_beside_itself_is_no_better() -> None:
    same = examples("cats", "dogs", "fish")
    found = compare(learnt(same), learnt(same), same)
    assert (found.better, found.worse, found.other, found.changes, found.chance) == (0, 0, 0, (), 1.0)
    assert found.before == found.after


def guesswork(count: int, names: list[str]) -> Examples:
    """Made-up words whose intents were drawn by lot."""
    rng = np.random.default_rng(7)
    texts = ["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz "), size=20)) for _ in range(count)]
    embeddings = rng.normal(size=(count, 64)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return Examples(texts, [names[n] for n in rng.integers(len(names), size=count)], embeddings)


def test_the_candidates_figures_are_those_of_its_training() -> None:
    given = guesswork(90, ["cats", "dogs", "fish"])
    after, report = train_classifier(given)
    found = compare(learnt(guesswork(50, ["cats", "dogs"])), after, given)
    assert 0 < report.accuracy < 1
    assert found.after.accuracy == round(report.accuracy, 4)
    assert found.after.calibration_error == pytest.approx(report.calibration_error, abs=1e-3)
    assert {row.intent: (row.after, row.examples) for row in found.intents} == report.by_intent


def test_nobody_is_asked_what_they_have_learnt() -> None:
    """What was drawn by lot cannot be foretold: only a model that had seen the answers would be right."""
    given = guesswork(200, ["heads", "tails"])
    seen = [f" {text.upper()}  " for text in given.texts]
    before = learnt(Examples(seen, given.intents, given.embeddings))
    by_heart = [
        next(iter(before.predict(t, e).probabilities)) for t, e in zip(seen, given.embeddings, strict=True)
    ]
    assert by_heart == given.intents
    found = compare(before, learnt(given), given)
    assert 0.3 < found.before.accuracy < 0.7
    assert 0.3 < found.after.accuracy < 0.7


def test_what_an_intent_more_changes_is_told() -> None:
    asked = examples("cats", "dogs", "fish")
    found = compare(learnt(examples("cats", "dogs")), learnt(asked), asked)
    assert [(row.intent, row.before, row.after) for row in found.intents] == [
        ("cats", 16, 16), ("dogs", 16, 16), ("fish", 0, 16),
    ]  # fmt: skip
    assert (found.better, found.worse) == (16, 0)
    assert found.chance < 0.001
    assert {change.verdict for change in found.changes} == {"better"}
    assert Comparison.from_dict(found.as_dict()) == found


def test_a_model_of_which_a_fold_leaves_one_intent_still_answers() -> None:
    asked = examples("cats", "dogs")
    few = Examples(["bark a", "bark b", *asked.texts[:8]], ["dogs"] * 2 + ["cats"] * 8,
                   np.vstack([embed(["bark a", "bark b"]), asked.embeddings[:8]]))  # fmt: skip
    before = learnt(few)
    moved = Examples([*asked.texts, "bark a", "bark b"], [*asked.intents, "dogs", "dogs"],
                     np.vstack([asked.embeddings, few.embeddings[:2]]))  # fmt: skip
    assert compare(before, learnt(moved), moved).after.accuracy > 0.9


def test_a_candidate_is_compared_and_changes_nothing_until_it_is_used(
    shop: TenantRef, globex: TenantRef
) -> None:
    assert count_changes(tenant=shop).total == len(PARROTS)
    ready = candidate(shop)
    assert (ready.status, ready.progress_percent) == (TrainingStatus.READY, 100)
    compared = ready.comparison
    assert compared is not None
    assert compared.against == "v1"
    parrots = next(row for row in compared.intents if row.intent == "lost_parrot")
    assert (parrots.examples, parrots.before) == (len(PARROTS), 0)
    assert parrots.after >= 6
    assert compared.better >= 6
    assert services.preview_route(tenant=shop, text="we lost our parrot").intent != "lost_parrot"
    assert [model.version for model in selectors.list_versions(tenant=shop)] == [1]

    used = services.use_candidate(tenant=shop, training_id=ready.id, actor=ACTOR)
    assert (used.version, used.is_active, used.accuracy) == (2, True, compared.after.accuracy)
    assert used.by_intent["lost_parrot"] == (parrots.after, len(PARROTS))
    assert services.preview_route(tenant=shop, text="we lost our parrot").intent == "lost_parrot"
    assert services.preview_route(tenant=globex, text="we lost our parrot").intent != "lost_parrot"
    assert count_changes(tenant=shop).total == 0
    assert services.use_candidate(tenant=shop, training_id=ready.id, actor=ACTOR) == used
    assert [model.version for model in selectors.list_versions(tenant=shop)] == [2, 1]
    assert services.train_router(tenant=shop) == used  # the same examples: nothing new for the API, too
    with in_tenant(shop):
        assert RouterTraining.objects.get().payload is None
        assert AuditEvent.objects.filter(action="router.model_used", target="v2").count() == 1


def test_a_correction_from_the_inbox_changes_the_next_decision(shop: TenantRef) -> None:
    started = conversations.start_conversation(tenant=shop, channel="api", text=ODD)
    reply = conversations.post_reply(
        tenant=shop, conversation_id=started.conversation.id, text="?", reply_key="k",
        run_id=started.received.run_id, receipt={"intent": "other", "confidence": 0.4},
    )  # fmt: skip
    assert services.preview_route(tenant=shop, text=ODD).escalate
    conversations.correct_intent(
        tenant=shop, conversation_id=started.conversation.id, seq=reply.seq, intent="order_change",
        actor=ACTOR,
    )  # fmt: skip
    changes = count_changes(tenant=shop)
    assert (changes.total, changes.added, changes.corrections) == (1 + len(PARROTS), 1 + len(PARROTS), 1)
    services.use_candidate(tenant=shop, training_id=candidate(shop).id, actor=ACTOR)
    decision = services.preview_route(tenant=shop, text=ODD)
    assert (decision.intent, decision.escalate, decision.model_version) == ("order_change", False, "v2")
    assert count_changes(tenant=shop).total == 0


def test_nothing_to_learn_too_little_or_twice_is_refused(shop: TenantRef, globex: TenantRef) -> None:
    with pytest.raises(ConflictError, match="nothing to learn"):
        services.request_training(tenant=globex, actor=ACTOR)
    services.create_intent(tenant=shop, name="thin", examples=["just one"])
    with pytest.raises(InvalidInput, match="thin: give at least 5"):
        services.request_training(tenant=shop, actor=ACTOR)
    services.delete_intent(tenant=shop, name="thin")
    first = services.request_training(tenant=shop, actor=ACTOR)
    with pytest.raises(ConflictError, match="on its way"):
        services.request_training(tenant=shop, actor=ACTOR)
    services.discard_candidate(tenant=shop, training_id=first.id)
    assert services.request_training(tenant=shop, actor=ACTOR).id != first.id
    services.delete_intent(tenant=shop, name="lost_parrot")
    with pytest.raises(ConflictError, match="nothing to learn"):
        services.request_training(tenant=shop, actor=ACTOR)


def test_a_candidate_that_was_compared_with_something_else_is_refused(shop: TenantRef) -> None:
    ready = candidate(shop)
    services.train_router(tenant=shop)
    with pytest.raises(ConflictError, match="v2 routes now"):
        services.use_candidate(tenant=shop, training_id=ready.id, actor=ACTOR)
    services.discard_candidate(tenant=shop, training_id=ready.id)
    services.discard_candidate(tenant=shop, training_id=ready.id)
    with pytest.raises(ConflictError, match="discarded"):
        services.use_candidate(tenant=shop, training_id=ready.id, actor=ACTOR)


def test_examples_that_became_too_few_end_in_a_reason(shop: TenantRef) -> None:
    wanted = services.request_training(tenant=shop, actor=ACTOR)
    services.create_intent(tenant=shop, name="thin", examples=["just one"])
    assert services.train_candidate(tenant=shop, training_id=wanted.id) == TrainingStatus.FAILED
    assert "thin" in selectors.get_candidate(tenant=shop, training_id=wanted.id).error


def test_a_training_whose_worker_died_is_taken_up_by_the_sweep(shop: TenantRef) -> None:
    wanted = services.request_training(tenant=shop, actor=ACTOR)
    assert services.sweep_due_trainings(tenant=shop) == 0  # its hint may still come
    dead = claim_training(tenant=shop, training_id=wanted.id)
    assert dead is not None
    dead.report(50)
    assert services.sweep_due_trainings(tenant=shop) == 0  # it is in good hands, for all we know
    assert services.train_candidate(tenant=shop, training_id=wanted.id) is None
    let_time_pass(shop)
    assert services.sweep_due_trainings(tenant=shop) == 1
    assert selectors.get_candidate(tenant=shop, training_id=wanted.id).status == TrainingStatus.READY
    with pytest.raises(LeaseLost):
        dead.report(60)  # it only slept, and awakes too late
    assert services.sweep_due_trainings(tenant=shop) == 0


def test_a_lost_hint_is_found_by_the_sweep(shop: TenantRef, globex: TenantRef) -> None:
    wanted = services.request_training(tenant=shop, actor=ACTOR)
    with in_tenant(shop):
        RouterTraining.objects.update(created_at=timezone.now() - dt.timedelta(minutes=1))
    assert services.sweep_due_trainings(tenant=globex) == 0
    assert services.sweep_due_trainings(tenant=shop) == 1
    assert selectors.get_candidate(tenant=shop, training_id=wanted.id).comparison


def test_a_training_that_kills_its_worker_is_given_up(shop: TenantRef) -> None:
    wanted = services.request_training(tenant=shop, actor=ACTOR)
    for _ in range(3):
        assert claim_training(tenant=shop, training_id=wanted.id) is not None
        let_time_pass(shop)
    assert claim_training(tenant=shop, training_id=wanted.id) is None
    failed = selectors.get_candidate(tenant=shop, training_id=wanted.id)
    assert (failed.status, failed.error) == (TrainingStatus.FAILED, GAVE_UP)
    services.request_training(tenant=shop, actor=ACTOR)


def test_a_discarded_training_stops_its_worker(shop: TenantRef) -> None:
    wanted = services.request_training(tenant=shop, actor=ACTOR)
    claim = claim_training(tenant=shop, training_id=wanted.id)
    assert isinstance(claim, Claim)
    services.discard_candidate(tenant=shop, training_id=wanted.id)
    with pytest.raises(LeaseLost):
        claim.report(10)


def test_an_error_leaves_the_training_to_a_later_attempt(
    shop: TenantRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = services.request_training(tenant=shop, actor=ACTOR)
    with monkeypatch.context() as broken:
        broken.setattr("apps.routing.services.candidates.train_classifier", lambda *a, **k: 1 / 0)
        assert services.train_candidate(tenant=shop, training_id=wanted.id) == TrainingStatus.QUEUED
    assert services.train_candidate(tenant=shop, training_id=wanted.id) is None  # a pause first
    let_time_pass(shop)
    assert services.train_candidate(tenant=shop, training_id=wanted.id) == TrainingStatus.READY


def test_a_version_routes_again_and_the_shipped_model_too(shop: TenantRef, globex: TenantRef) -> None:
    services.train_router(tenant=shop)
    (second, first) = selectors.list_versions(tenant=shop)
    assert (second.is_active, first.is_active) == (True, False)
    again = services.use_model(tenant=shop, model_id=first.id, actor=ACTOR)
    assert (again.version, again.is_active) == (1, True)
    assert services.preview_route(tenant=shop, text="hi").model_version == "v1"
    assert count_changes(tenant=shop).added == len(PARROTS)
    services.use_shipped_model(tenant=shop, actor=ACTOR)
    assert services.preview_route(tenant=shop, text="hi").model_version.startswith("default-")
    assert [model.is_active for model in selectors.list_versions(tenant=shop)] == [False, False]
    with pytest.raises(NotFoundError):
        services.use_model(tenant=globex, model_id=first.id, actor=ACTOR)
    with in_tenant(shop):
        RouterModel.objects.filter(id=first.id).update(payload=b"damaged")
    with pytest.raises(ConflictError, match="cannot route"):
        services.use_model(tenant=shop, model_id=first.id, actor=ACTOR)


def test_embeddings_of_a_stored_model_are_good_enough_to_teach_again(shop: TenantRef) -> None:
    """They are kept in half precision; the comparison must not feel it."""
    services.train_router(tenant=shop)
    pairs = selectors.list_examples(tenant=shop)
    texts = [text for _, text in pairs]
    given = Examples(texts, [intent for intent, _ in pairs], embed_texts(texts))
    found = compare(classifier_of(shop)[0], learnt(given), given)
    assert found.before.accuracy == pytest.approx(found.after.accuracy, abs=0.03)


def let_time_pass(tenant: TenantRef) -> None:
    with in_tenant(tenant):
        RouterTraining.objects.filter(leased_until__isnull=False).update(leased_until=timezone.now() - LEASE)
