"""The router's pages, as a browser gets them."""

import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from django.test import Client

from apps.routing import selectors, services
from apps.routing.changes import count_changes
from apps.routing.contracts import TrainingStatus
from apps.routing.models import IntentExample
from apps.routing.services import teaching
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role, TenantRef
from tests.pages import log_in
from tests.routing.test_candidates import ACTOR, ODD
from tests.routing.test_services import PARROTS

ROUTER, INTENTS = "/app/router/", "/app/router/intents/"
EVIL = "<script>alert(1)</script>"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def agent(acme: TenantRef) -> Client:
    return log_in(acme, Role.AGENT)


def text_of(answer: object) -> str:
    soup = BeautifulSoup(answer.content.decode(), "html.parser")  # type: ignore[attr-defined]
    return " ".join(soup.get_text(" ").split())


def example_id(tenant: TenantRef, text: str) -> str:
    with in_tenant(tenant):
        return str(IntentExample.objects.get(text=text).id)


def errors_at(answer: object, name: str) -> str:
    soup = BeautifulSoup(answer.content.decode(), "html.parser")  # type: ignore[attr-defined]
    control = soup.select_one(f"main [name={name}]")
    assert control is not None
    listed = control.find_next_sibling(class_="errorlist")
    return listed.get_text(" ") if listed else ""


def test_a_new_company_sees_the_shipped_model(acme: TenantRef, agent: Client) -> None:
    services.warm_router()
    page = text_of(agent.get(ROUTER))
    assert re.search(r"Routes now Shipped model 7 intents, \d{3} examples", page)
    assert re.search(r"Right on held-out examples \d\d\.\d%", page)
    assert "there is nothing to learn" in page
    assert "Train a candidate" not in page


def test_a_machine_that_has_measured_nothing_says_so(
    acme: TenantRef, agent: Client, settings: object, tmp_path: Path
) -> None:
    settings.DATA_DIR = tmp_path  # type: ignore[attr-defined]
    answer = agent.get(ROUTER)
    assert answer.status_code == 200
    assert "Measured as soon as the shipped model routes its first message." in text_of(answer)


def test_a_text_is_tried_and_leaves_no_trace(acme: TenantRef, agent: Client) -> None:
    answer = agent.get(ROUTER, {"text": "I am furious, where is my order?!"})
    page = text_of(answer)
    assert "goes to a person" in page
    assert "The customer is angry" in page
    part = agent.get(ROUTER, {"text": "Where is my order 1042?"}, headers=HTMX)
    assert b"<html" not in part.content
    assert "order_status answered by the AI" in text_of(part)
    assert re.search(r"Confidence \d{2,3}\.\d%", text_of(part))
    for bad, status in (("", 422), ("   ", 422), ("x" * 2001, 422), (EVIL, 200)):
        tried = agent.get(ROUTER, {"text": bad})
        assert tried.status_code == status, bad
        assert EVIL not in tried.content.decode()
    assert "required" in errors_at(agent.get(ROUTER, {"text": ""}), "text")


def test_what_changed_since_is_told(shop: TenantRef, agent: Client) -> None:
    services.record_feedback(tenant=shop, text=ODD, intent="order_change")
    page = text_of(agent.get(ROUTER))
    total = 1 + len(PARROTS)
    assert f"{total} examples changed since v1 was trained: {total} added, 0 removed, 0 moved" in page
    assert "1 of them came as a correction." in page
    assert "Train a candidate" in page
    assert "Train a candidate" not in text_of(log_in(shop, Role.VIEWER).get(ROUTER))
    services.create_intent(tenant=shop, name="thin", examples=["just one"])
    page = text_of(agent.get(ROUTER))
    assert "thin has fewer than 5 examples" in page
    assert "Train a candidate" not in page


def test_a_candidate_from_the_wish_to_its_use_and_back(shop: TenantRef, agent: Client) -> None:
    url = agent.post(f"{ROUTER}train/").headers["Location"]
    waiting = agent.get(url).content.decode()
    assert "Waiting for a worker" in waiting
    assert 'hx-trigger="every 1s"' in waiting
    assert "already" in text_of(agent.post(f"{ROUTER}train/"))
    assert "being trained" in text_of(agent.get(ROUTER))
    services.train_candidate(tenant=shop, training_id=url.split("/")[-2])
    part = agent.get(url, headers=HTMX)
    assert "hx-trigger" not in part.content.decode()
    page = text_of(part)
    assert re.search(r"Better on \d example", page)
    assert re.search(rf"lost_parrot {len(PARROTS)} 0 \d \+\d", page)
    assert "my parrot escaped lost_parrot" in page
    assert "Use this model" not in text_of(log_in(shop, Role.VIEWER).get(url))
    used = agent.post(f"{url}use/", follow=True)
    assert "v2 routes from now on." in text_of(used)
    assert "This candidate became v2" in text_of(agent.get(url))
    assert count_changes(tenant=shop).total == 0
    undo = BeautifulSoup(used.content, "html.parser").select_one(".banner form")["action"]
    assert "v1 routes again." in text_of(agent.post(undo, follow=True))
    assert selectors.get_active_version(tenant=shop).version == 1
    assert "The shipped model routes again." in text_of(
        agent.post(f"{ROUTER}models/shipped/use/", follow=True)
    )
    assert selectors.get_active_version(tenant=shop) is None
    assert len(selectors.list_versions(tenant=shop)) == 2


def test_a_candidate_is_discarded(shop: TenantRef, agent: Client) -> None:
    wanted = services.request_training(tenant=shop, actor=ACTOR)
    url = f"{ROUTER}trainings/{wanted.id}/"
    assert "Discarded" in text_of(agent.post(f"{url}discard/", follow=True))
    assert selectors.get_candidate(tenant=shop, training_id=wanted.id).status == TrainingStatus.DISCARDED
    assert agent.post(f"{url}use/").status_code == 409
    assert selectors.get_active_version(tenant=shop).version == 1


def test_nothing_to_learn_is_a_conflict_not_a_training(acme: TenantRef, agent: Client) -> None:
    answer = agent.post(f"{ROUTER}train/")
    assert answer.status_code == 409
    assert "nothing to learn" in text_of(answer)
    assert selectors.find_last_candidate(tenant=acme) is None


def test_intents_are_listed_with_how_well_they_are_recognised(
    shop: TenantRef,
    agent: Client,
    django_assert_max_num_queries: object,
) -> None:
    agent.get("/app/profile/")  # the first request notes the session
    with django_assert_max_num_queries(12):  # type: ignore[operator]
        page = text_of(agent.get(INTENTS))
    assert re.search(r"faq 10 \d+\.\d% of 10", page)
    assert re.search(r"lost_parrot not trained yet 8 \u2013", page)


def test_shipped_intents_are_shown_and_copied_when_wanted(acme: TenantRef, agent: Client) -> None:
    assert "You use the shipped intents" in text_of(agent.get(INTENTS))
    page = text_of(agent.get(f"{INTENTS}faq/"))
    assert services.default_intents()["faq"][1][0] in page
    assert selectors.list_intents(tenant=acme) == []
    agent.post(f"{ROUTER}adopt/")
    assert {i.name for i in selectors.list_intents(tenant=acme)} == set(services.default_intents())
    assert "You use the shipped intents" not in text_of(agent.get(INTENTS))
    assert count_changes(tenant=acme).total == 0


def test_an_intent_is_added_changed_and_deleted(shop: TenantRef, agent: Client) -> None:
    given = {"name": "refund", "description": f"Money back {EVIL}", "examples": "my money back\n\nrefund me"}
    added = agent.post(INTENTS, given, follow=True)
    assert "Money back" in text_of(added)
    assert EVIL not in added.content.decode()
    assert selectors.get_intent(tenant=shop, name="refund").examples == 2
    agent.post(f"{INTENTS}refund/edit/", {"description": "They want their money."})
    assert selectors.get_intent(tenant=shop, name="refund").description == "They want their money."
    agent.post(f"{INTENTS}refund/delete/")
    assert agent.get(f"{INTENTS}refund/").status_code == 404


@pytest.mark.parametrize(
    ("given", "field", "said"),
    [
        ({"name": "No Spaces"}, "name", "small letters"),
        ({"name": "faq"}, "", "exists already"),
        ({"name": ""}, "name", "required"),
        ({"name": "x" * 51}, "name", "50"),
        ({"name": "fine", "description": "x" * 301}, "description", "300"),
        ({"name": "fine", "examples": "ok\n" + "x" * 2001}, "examples", "2000 characters"),
        ({"name": "fine", "examples": "a\x00b"}, "examples", "Null"),
    ],
)
def test_a_bad_intent_is_refused_at_its_field(
    shop: TenantRef,
    agent: Client,
    given: dict,
    field: str,
    said: str,
) -> None:
    before = selectors.list_intents(tenant=shop)
    answer = agent.post(INTENTS, given)
    assert answer.status_code == 422
    assert said in (errors_at(answer, field) if field else text_of(answer))
    assert selectors.list_intents(tenant=shop) == before


def test_a_router_holds_so_many_intents_and_examples(
    shop: TenantRef,
    agent: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(teaching, "MAX_INTENTS", 4)
    assert "holds 4 intents" in errors_at(agent.post(INTENTS, {"name": "one_more"}), "name")
    monkeypatch.setattr(teaching, "MAX_EXAMPLES", 39)
    answer = agent.post(f"{INTENTS}faq/", {"examples": "one\ntwo"})
    assert "holds 39 examples" in errors_at(answer, "examples")
    assert agent.post(f"{INTENTS}faq/", {"examples": "one"}).status_code == 302


def test_examples_are_added_all_or_none(shop: TenantRef, agent: Client) -> None:
    url = f"{INTENTS}faq/"
    assert agent.post(url, {"examples": "Do you sell gloves?\r\n\r\nAnd hats?\r\n"}).status_code == 302
    assert selectors.get_intent(tenant=shop, name="faq").examples == 12
    wrong = "brand new\n\ndo  you SELL gloves?\nMy Parrot Escaped\nbrand  NEW\n" + "x" * 2001
    answer = agent.post(url, {"examples": wrong})
    assert answer.status_code == 422
    said = errors_at(answer, "examples")
    for line in (
        "Line 3 is an example of faq already.", "Line 4 is an example of lost_parrot already.",
        "Line 5 repeats line 1.", "Line 6 is longer than 2000 characters.",
    ):  # fmt: skip
        assert line in said
    assert "brand  NEW" in answer.content.decode()  # what was typed is still there
    assert selectors.get_intent(tenant=shop, name="faq").examples == 12
    assert agent.post(url, {"examples": " \n "}).status_code == 422


def test_examples_are_found_by_text_and_origin(shop: TenantRef, agent: Client) -> None:
    services.record_feedback(tenant=shop, text=f"Is this {EVIL} a parrot?", intent="lost_parrot")
    url = f"{INTENTS}lost_parrot/"
    page = agent.get(url).content.decode()
    assert "my parrot escaped" in page
    assert EVIL not in page
    assert "my parrot escaped" not in text_of(agent.get(url, {"origin": "feedback"}))
    assert "Is this" in text_of(agent.get(url, {"origin": "feedback"}))
    found = text_of(agent.get(url, {"q": "BALCONY"}))
    assert "a grey parrot left our balcony" in found
    assert "my parrot escaped" not in found
    assert "No example fits" in text_of(agent.get(url, {"origin": "invented"}))


def test_many_examples_come_in_pages(
    shop: TenantRef,
    agent: Client,
    django_assert_max_num_queries: object,
) -> None:
    services.add_examples(tenant=shop, intent="faq", texts=[f"question number {n}." for n in range(60)])
    agent.get("/app/profile/")  # the first request notes the session
    with django_assert_max_num_queries(12):  # type: ignore[operator]
        first = agent.get(f"{INTENTS}faq/")
    assert "question number 59." in text_of(first)
    assert "question number 9." not in text_of(first)
    following = BeautifulSoup(first.content, "html.parser").select_one("a[rel=next]")["href"]
    assert "question number 9." in text_of(agent.get(f"{INTENTS}faq/{following}"))


def test_an_example_is_changed_moved_deleted_and_brought_back(
    shop: TenantRef,
    agent: Client,
) -> None:
    url = f"{ROUTER}examples/{example_id(shop, 'my parrot escaped')}/"
    assert "my parrot escaped" in text_of(agent.get(url))
    agent.post(url, {"text": "my budgie escaped", "intent": "faq"})
    assert ("faq", "my budgie escaped") in selectors.list_examples(tenant=shop)
    assert count_changes(tenant=shop).total == len(PARROTS)
    known = agent.post(url, {"text": "The PARROT is gone", "intent": "faq"})
    assert known.status_code == 422
    assert "an example of lost_parrot already" in errors_at(known, "text")
    assert agent.post(url, {"text": "fine", "intent": "nowhere"}).status_code == 422
    assert agent.post(url, {"text": "  ", "intent": "faq"}).status_code == 422
    gone = agent.post(f"{url}delete/", follow=True)
    undo = BeautifulSoup(gone.content, "html.parser").select_one(".banner form")["action"]
    assert ("faq", "my budgie escaped") not in selectors.list_examples(tenant=shop)
    assert agent.get(url).status_code == 404
    agent.post(undo)
    assert ("faq", "my budgie escaped") in selectors.list_examples(tenant=shop)
    agent.post(undo)  # once more changes nothing
    assert [t for _, t in selectors.list_examples(tenant=shop)].count("my budgie escaped") == 1


def test_an_undo_is_good_for_its_own_tenant_only(shop: TenantRef, globex: TenantRef) -> None:
    agent = log_in(shop, Role.AGENT)
    agent.post(f"{ROUTER}examples/{example_id(shop, 'my parrot escaped')}/delete/")
    session = agent.session
    session["router_example_deleted"] = {**session["router_example_deleted"], "tenant": str(globex.id)}
    session.save()
    agent.post(f"{ROUTER}examples/restore/")
    assert ("lost_parrot", "my parrot escaped") not in selectors.list_examples(tenant=shop)


def test_another_tenants_router_stays_unseen(shop: TenantRef, globex: TenantRef) -> None:
    stranger = log_in(globex, Role.OWNER)
    wanted = services.request_training(tenant=shop, actor=ACTOR)
    version = selectors.list_versions(tenant=shop)[0]
    assert stranger.get(f"{INTENTS}lost_parrot/").status_code == 404
    assert "lost_parrot" not in text_of(stranger.get(INTENTS))
    assert stranger.get(f"{ROUTER}trainings/{wanted.id}/").status_code == 404
    for action in ("use", "discard"):
        assert stranger.post(f"{ROUTER}trainings/{wanted.id}/{action}/").status_code == 404
    assert stranger.post(f"{ROUTER}models/{version.id}/use/").status_code == 404
    assert "Shipped model" in text_of(stranger.get(ROUTER))
    assert selectors.get_active_version(tenant=shop).version == 1
