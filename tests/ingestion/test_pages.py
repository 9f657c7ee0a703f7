"""The knowledge as a member sees it: uploads, undo, what a search finds and why, open questions."""

import itertools
import re
import uuid

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from apps.events.contracts import Envelope
from apps.ingestion import questions, services
from apps.ingestion.handlers import on_conversation_events
from apps.ingestion.marking import mark_words
from apps.ingestion.models import Document, Question, QuestionGroup
from apps.ingestion.selectors import search_knowledge
from apps.resilience.errors import NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role, TenantRef
from tests.pages import log_in

pytestmark = pytest.mark.usefixtures("valkey")
LIST = "/app/knowledge/"


def upload(client, *files: tuple[str, bytes]):
    return client.post(LIST, {"file": [SimpleUploadedFile(name, content) for name, content in files]})


def test_several_files_are_taken_and_listed(acme: TenantRef, globex: TenantRef):
    client = log_in(acme)
    assert upload(client, ("a.txt", b"Alpha text."), ("b.md", b"# Beta")).status_code == 302
    page = client.get(LIST).content.decode()
    assert "a.txt" in page
    assert "b.md" in page
    assert "a.txt" not in log_in(globex).get(LIST).content.decode()


def test_one_bad_file_is_named_and_the_good_one_kept(acme: TenantRef, settings):
    settings.DOCUMENT_MAX_BYTES = 1000
    answer = upload(log_in(acme), ("good.txt", b"Text."), ("big.txt", b"x" * 1001), ("empty.txt", b""))
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "big.txt: At most" in page
    assert "empty.txt: The file is empty" in page
    with in_tenant(acme):
        assert [d.file_name for d in Document.objects.all()] == ["good.txt"]


def test_the_script_is_told_how_each_file_went(acme: TenantRef):
    client = log_in(acme)

    def send(**files) -> tuple[int, str]:
        answer = client.post(LIST, files, headers={"HX-Request": "true"})
        return answer.status_code, answer.json()["text"]

    assert send(file=SimpleUploadedFile("a.txt", b"Alpha.")) == (201, "Uploaded")
    assert send(file=SimpleUploadedFile("a.txt", b"Alpha.")) == (200, "Here already, nothing to do")
    assert send(file=SimpleUploadedFile("b.txt", b"")) == (
        422,
        "The file is empty: upload one that holds text.",
    )
    assert send()[0] == 422
    with in_tenant(acme):
        assert Document.objects.count() == 1


def test_a_form_without_a_file_says_so(acme: TenantRef):
    answer = log_in(acme).post(LIST, {})
    assert answer.status_code == 422
    assert "This field is required" in answer.content.decode()


def test_what_cannot_be_read_says_what_to_do(live_db, acme: TenantRef):
    client = log_in(acme)
    upload(client, ("broken.pdf", b"%PDF-1.7 broken"))
    services.sweep_due_documents(tenant=acme)
    with in_tenant(acme):
        document = Document.objects.get()
    services.process_document(tenant=acme, document_id=document.id)
    page = client.get(LIST).content.decode()
    assert "Failed" in page
    assert "Try again" in page


def test_a_deletion_is_undone(live_db, acme: TenantRef):
    client = log_in(acme)
    document = services.add_document(tenant=acme, title="Parking", text="You may park behind the house.")
    services.process_document(tenant=acme, document_id=document.id)
    assert search_knowledge(tenant=acme, query="Where may I park?")
    page = client.post(f"{LIST}documents/{document.id}/delete/", follow=True).content.decode()
    assert search_knowledge(tenant=acme, query="Where may I park?") == []
    assert client.get(f"{LIST}documents/{document.id}/").status_code == 404
    undo = re.search(r'action="([^"]+/restore/)"', page)[1]
    assert client.post(undo).status_code == 302
    services.process_document(tenant=acme, document_id=document.id)
    assert search_knowledge(tenant=acme, query="Where may I park?")
    services.delete_document(tenant=acme, document_id=document.id)
    with in_tenant(acme):
        Document.objects.update(deleted_at="2020-01-01T00:00Z")
    assert services.purge_deleted_documents(tenant=acme) > 0
    with pytest.raises(NotFoundError):
        services.restore_document(tenant=acme, document_id=document.id)


def test_a_search_shows_what_it_found_and_why(live_db, acme: TenantRef):
    text = "You may park <b>behind</b> the house."
    document = services.add_document(tenant=acme, title="Parking", text=text)
    services.process_document(tenant=acme, document_id=document.id)
    page = log_in(acme).get(f"{LIST}search/", {"query": "Where may I park?"}).content.decode()
    assert "<mark>park</mark>" in page
    assert "<b>behind" not in page
    assert "Likeness of the passage" in page


def test_marking_escapes_everything_else():
    marked = mark_words('<i>Cats</i> & "dogs"', terms=["cat"], language="en")
    assert marked == "&lt;i&gt;<mark>Cats</mark>&lt;/i&gt; &amp; &quot;dogs&quot;"


def envelope(tenant: TenantRef, kind: str, run_id: uuid.UUID, **data: object) -> Envelope:
    return Envelope(
        id=uuid.uuid4(),
        type=f"agent.{kind}",
        version=1,
        tenant_id=tenant.id,
        occurred_at=timezone.now(),
        data=data,
        run_id=run_id,
        conversation_id=uuid.uuid4(),
    )


def tell(tenant: TenantRef, text: str, *, knows: bool = False, order: int = 0, intent: str = "faq") -> None:
    run_id, receipt = uuid.uuid4(), {"knows": knows, "intent": intent, "provider": "extractive"}
    events = [
        envelope(tenant, "message.received", run_id, text=text),
        envelope(tenant, "run.completed", run_id, receipt=receipt),
    ]
    told = list(itertools.permutations(events))[order % 2]
    for together in [told] if order > 1 else [[event] for event in told]:
        with in_tenant(tenant):
            on_conversation_events(together)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_unanswered_questions_are_kept_and_grouped_in_any_order(
    acme: TenantRef, globex: TenantRef, order: int
):
    tell(acme, "Do you sell gift cards?", order=order)
    tell(acme, "Can I buy a gift card?", order=order)
    tell(acme, "Where is your office?", order=order)
    tell(acme, "How long is the warranty?", knows=True, order=order)
    tell(acme, "Hello there", intent="smalltalk", order=order)
    assert questions.group_questions(tenant=acme) == 3
    assert questions.group_questions(tenant=acme) == 0
    with in_tenant(acme):
        groups = {g.text: g.count for g in QuestionGroup.objects.all()}
        assert Question.objects.count() == 3
    assert groups == {"Do you sell gift cards?": 2, "Where is your office?": 1}
    assert "gift" not in log_in(globex).get(f"{LIST}questions/").content.decode()


def test_a_question_is_answered_dismissed_and_reopened(acme: TenantRef):
    client = log_in(acme)
    tell(acme, "Do you sell gift cards?")
    questions.group_questions(tenant=acme)
    with in_tenant(acme):
        group = QuestionGroup.objects.get()
    url = f"{LIST}questions/{group.id}/"
    assert "Do you sell gift cards" in client.get(url).content.decode()
    assert client.post(url, {"title": "Gift cards", "text": ""}).status_code == 422
    assert client.post(f"{url}dismiss/").status_code == 302
    assert "gift" not in client.get(f"{LIST}questions/").content.decode()
    client.post(f"{url}reopen/")
    answer = client.post(url, {"title": "Gift cards", "text": "Yes, from 10 euros."})
    assert answer.headers["Location"].startswith(f"{LIST}documents/")
    assert client.post(url, {"title": "Gift cards", "text": "Again."}).status_code == 422
    tell(acme, "Do you sell gift cards?")
    questions.group_questions(tenant=acme)
    with in_tenant(acme):
        assert QuestionGroup.objects.get().status == "open", "the article did not answer it"


def test_a_viewer_sees_and_changes_nothing(acme: TenantRef):
    client = log_in(acme, Role.VIEWER)
    services.add_document(tenant=acme, title="Parking", text="Behind the house.")
    page = client.get(LIST).content.decode()
    assert "Parking" in page
    assert "Delete" not in page
    assert upload(client, ("a.txt", b"x")).status_code == 403


def test_the_list_costs_the_same_for_many(acme: TenantRef, django_assert_max_num_queries):
    client = log_in(acme)
    for number in range(12):
        services.add_document(tenant=acme, title=f"Article {number}", text="Text.")
    client.get(LIST)
    with django_assert_max_num_queries(7):
        client.get(LIST)
