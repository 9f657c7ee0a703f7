"""The knowledge: documents, what a search finds, and questions without an answer."""

from typing import Any
from uuid import UUID

from django import forms
from django.db.models import QuerySet
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse

from apps.ingestion import questions, selectors, services
from apps.ingestion.contracts import IN_PROGRESS
from apps.ingestion.forms import AddressForm, ArticleForm, DocumentFilter, FileForm, SearchForm
from apps.ingestion.marking import mark_words
from apps.ingestion.models import Chunk, Document, QuestionGroup
from apps.resilience.errors import DomainError, InvalidInput
from apps.tenants.context import in_tenant
from apps.tenants.dashboard import MemberRequest, add_errors, member_page, notify
from apps.tenants.paging import paginate

CHUNKS_PER_PAGE = 20
MAX_FILES = 20


@member_page(read="read:documents", write="write:documents")
def show_knowledge(request: MemberRequest) -> HttpResponse:
    """List the documents, and take files; a script sends them one by one to show their progress."""
    form = FileForm(request.POST, request.FILES) if request.method == "POST" else FileForm()
    if request.method == "POST" and request.htmx:
        return _take_for_script(request, form)
    if request.method == "POST" and form.is_valid() and _take_files(request, form):
        return redirect("knowledge")
    with in_tenant(request.tenant):
        context = _list_context(request) | {"form": form}
    partial = request.htmx and request.method == "GET"
    template = "ingestion/_documents.html" if partial else "ingestion/knowledge.html"
    return render(request, template, context, status=422 if form.errors else 200)


@member_page(read="write:documents", write="write:documents")
def add_address(request: MemberRequest) -> HttpResponse:
    """Take the address of a web page."""
    return _take(request, AddressForm, "Add a web page", "The page is fetched now.")


@member_page(read="write:documents", write="write:documents")
def add_article(request: MemberRequest) -> HttpResponse:
    """Take an article that is written here."""
    return _take(request, ArticleForm, "Write an article", "The article is being processed.")


@member_page(read="read:documents")
def show_document(request: MemberRequest, document_id: UUID) -> HttpResponse:
    """Show a document with its passages."""
    document = selectors.get_document(tenant=request.tenant, document_id=document_id)
    passages = paginate(
        Chunk.objects.filter(document_id=document_id).defer("vector", "terms"),
        request.GET.get("cursor", ""),
        by="position",
        size=CHUNKS_PER_PAGE,
    )
    context = {"document": document, "page": passages, "is_working": document.status in IN_PROGRESS}
    return render(request, "ingestion/document.html", context)


@member_page(write="write:documents", post_only=True)
def reindex(request: MemberRequest, document_id: UUID) -> HttpResponse:
    """Process a document again."""
    document = services.reindex_document(tenant=request.tenant, document_id=document_id)
    notify(request, f"“{document.title}” is processed again.")
    return redirect("knowledge")


@member_page(write="write:documents", post_only=True)
def delete(request: MemberRequest, document_id: UUID) -> HttpResponse:
    """Delete a document; it can be restored for a day."""
    services.delete_document(tenant=request.tenant, document_id=document_id)
    undo = reverse("knowledge_restore", args=[document_id])
    notify(request, "Deleted: no answer cites it any more.", undo_url=undo)
    return redirect("knowledge")


@member_page(write="write:documents", post_only=True)
def restore(request: MemberRequest, document_id: UUID) -> HttpResponse:
    """Undo a deletion."""
    document = services.restore_document(tenant=request.tenant, document_id=document_id)
    notify(request, f"“{document.title}” is back and processed again.")
    return redirect("knowledge")


@member_page(read="read:documents")
def search(request: MemberRequest) -> HttpResponse:
    """Show what a search finds, and why."""
    form = SearchForm(request.GET if "query" in request.GET else None)
    context: dict[str, Any] = {"form": form}
    if form.is_valid():
        found = selectors.explain_search(tenant=request.tenant, query=form.cleaned_data["query"], top_k=8)
        context |= {
            "found": found,
            "results": [
                {
                    "hit": hit,
                    "measure": found.measures[hit.chunk_id],
                    "text": mark_words(hit.text, terms=found.terms, language=found.language or "en"),
                }
                for hit in found.hits
            ],
        }
    return render(request, "ingestion/search.html", context)


@member_page(read="read:documents")
def list_questions(request: MemberRequest) -> HttpResponse:
    """List the questions that found no answer, the latest first."""
    shown = request.GET.get("status", "")
    status = shown if shown in QuestionGroup.Status.values else QuestionGroup.Status.OPEN.value
    groups = QuestionGroup.objects.filter(status=status).defer("vector")
    page = paginate(groups, request.GET.get("cursor", ""), by="-last_asked_at", then="-id")
    context = {
        "page": page,
        "status": status,
        "statuses": QuestionGroup.Status.choices,
        "may_write": request.principal.may("write:documents"),
    }
    return render(request, "ingestion/questions.html", context)


@member_page(read="write:documents", write="write:documents")
def answer_question(request: MemberRequest, group_id: UUID) -> HttpResponse:
    """Write the answer to a question that found none."""
    group = questions.get_group(tenant=request.tenant, group_id=group_id)
    form = ArticleForm(
        request.POST if request.method == "POST" else None, initial={"title": group.text.rstrip("?")[:300]}
    )
    if request.method == "POST" and form.is_valid():
        try:
            answered = questions.answer_group(tenant=request.tenant, group_id=group_id, **form.cleaned_data)
        except DomainError as error:
            add_errors(form, error)
        else:
            notify(request, "Saved. In a few seconds you can see whether the question finds it.")
            return redirect("knowledge_document", answered.document.id)
    with in_tenant(request.tenant):
        examples = list(group.questions.order_by("-asked_at")[:10])
    context = {"group": group, "form": form, "examples": examples}
    return render(request, "ingestion/answer.html", context, status=422 if form.errors else 200)


@member_page(write="write:documents", post_only=True)
def dismiss_question(request: MemberRequest, group_id: UUID) -> HttpResponse:
    """Take a question off the list."""
    questions.dismiss_group(tenant=request.tenant, group_id=group_id)
    notify(request, "Dismissed.", undo_url=reverse("question_reopen", args=[group_id]))
    return redirect("questions")


@member_page(write="write:documents", post_only=True)
def reopen_question(request: MemberRequest, group_id: UUID) -> HttpResponse:
    """Put a question back on the list."""
    questions.reopen_group(tenant=request.tenant, group_id=group_id)
    notify(request, "The question is on the list again.")
    return redirect("questions")


def _list_context(request: MemberRequest) -> dict[str, Any]:
    filters = DocumentFilter(request.GET)
    documents = _filtered(filters) if filters.is_valid() else Document.objects.none()
    page = paginate(
        documents.defer("title_vector"), request.GET.get("cursor", ""), by="-created_at", then="-id"
    )
    is_working = any(document.status in IN_PROGRESS for document in page.items)
    is_filtered = bool(request.GET.get("q") or request.GET.get("status"))
    return {
        "filters": filters,
        "page": page,
        "is_working": is_working,
        "is_filtered": is_filtered,
        "may_write": request.principal.may("write:documents"),
    }


def _filtered(filters: DocumentFilter) -> QuerySet[Document]:
    rows, given = Document.objects.kept(), filters.cleaned_data
    if given["q"]:
        rows = rows.filter(title__icontains=given["q"])
    if given["status"] == "working":
        return rows.filter(status__in=IN_PROGRESS)
    return rows.filter(status=given["status"]) if given["status"] else rows


def _take_for_script(request: MemberRequest, form: FileForm) -> HttpResponse:
    """Store one file, and tell in a few words how that went."""
    try:
        if not form.is_valid():
            raise InvalidInput({"file": [str(text) for text in form.errors.get("file", ["Choose a file."])]})
        document = services.add_document(tenant=request.tenant, file=form.uploads(request)[0])
    except InvalidInput as error:
        return JsonResponse({"text": error.detail.removeprefix("file: ")}, status=422)
    if document.is_new:
        return JsonResponse({"text": "Uploaded"}, status=201)
    return JsonResponse({"text": "Here already, nothing to do"})


def _take_files(request: MemberRequest, form: FileForm) -> bool:
    """Store what can be stored; True when that was everything."""
    files, done = form.uploads(request), 0
    if len(files) > MAX_FILES:
        form.add_error("file", f"Send at most {MAX_FILES} files at once.")
        return False
    for file in files:
        try:
            services.add_document(tenant=request.tenant, file=file)
            done += 1
        except DomainError as error:
            form.add_error("file", f"{file.name[:80]}: {error.detail.removeprefix('file: ')}")
    if done:
        notify(request, f"{done} file{'s' if done > 1 else ''} taken; they are processed now.")
    return not form.errors


def _take(request: MemberRequest, form_class: type[forms.Form], title: str, said: str) -> HttpResponse:
    form = form_class(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            services.add_document(tenant=request.tenant, **form.cleaned_data)
        except DomainError as error:
            add_errors(form, error)
        else:
            notify(request, said)
            return redirect("knowledge")
    context = {"form": form, "title": title}
    return render(request, "ingestion/add.html", context, status=422 if form.errors else 200)


urlpatterns = [
    path("knowledge/", show_knowledge, name="knowledge"),
    path("knowledge/add/address/", add_address, name="knowledge_address"),
    path("knowledge/add/article/", add_article, name="knowledge_article"),
    path("knowledge/search/", search, name="knowledge_search"),
    path("knowledge/questions/", list_questions, name="questions"),
    path("knowledge/questions/<uuid:group_id>/", answer_question, name="question"),
    path("knowledge/questions/<uuid:group_id>/dismiss/", dismiss_question, name="question_dismiss"),
    path("knowledge/questions/<uuid:group_id>/reopen/", reopen_question, name="question_reopen"),
    path("knowledge/documents/<uuid:document_id>/", show_document, name="knowledge_document"),
    path("knowledge/documents/<uuid:document_id>/reindex/", reindex, name="knowledge_reindex"),
    path("knowledge/documents/<uuid:document_id>/delete/", delete, name="knowledge_delete"),
    path("knowledge/documents/<uuid:document_id>/restore/", restore, name="knowledge_restore"),
]
