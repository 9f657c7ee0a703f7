"""POST /v1/chat/completions and GET /v1/models."""

import hashlib
from typing import Any

from django.conf import settings
from django.http import HttpResponseBase, StreamingHttpResponse
from django.urls import path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.conversations.contracts import MessageView
from apps.gateway.openai.serializers import ChatCompletionSerializer
from apps.gateway.openai.shapes import Answer, Completion, Usage, as_model
from apps.gateway.openai.streaming import stream_answer
from apps.gateway.questions import Question, await_reply, put_question
from apps.inference.services import count_tokens
from apps.orchestration.definitions.selectors import find_published, list_workflows
from apps.resilience.errors import NotFoundError
from apps.tenants.contracts import Principal, TenantRef


class TenantRequest(Request):
    """A request that passed the middleware with a principal."""

    tenant: TenantRef
    auth: Principal


class ModelNotFound(NotFoundError):
    title = "Model not found"


class AnyAccept(BaseContentNegotiation):
    """Answer in the one shape there is, whatever a client says it accepts."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        matching = (parser for parser in parsers if parser.media_type == "application/json")
        return next(matching) if "json" in (request.content_type or "") else None

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


class OpenAIView(APIView):
    content_negotiation_class = AnyAccept


class ChatCompletionsView(OpenAIView):
    """Answer the last message by the workflow that `model` names."""

    keys_itself = True  # by the conversation's open_key and the message's id
    required_scopes = {"POST": "write:conversations"}

    @extend_schema(
        operation_id="create_chat_completion",
        request=ChatCompletionSerializer,
        responses={200: OpenApiTypes.OBJECT},
        tags=["openai"],
    )
    def post(self, request: TenantRequest) -> HttpResponseBase:
        serializer = ChatCompletionSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        given = serializer.validated_data
        try:
            question = _put(request, given)
        except NotFoundError:
            _require_model(request.tenant, given["model"])  # of the two that may be missing, say which
            raise
        options = given.get("stream_options") or {}
        completion = Completion(
            run_id=question.run_id,
            model=given["model"],
            conversation_id=question.conversation_id,
            include_usage=options.get("include_usage", False),
        )
        headers = {"X-Conversation-ID": str(question.conversation_id)}
        if not given.get("stream"):
            return Response(completion.whole(_answer(question)), headers=headers)
        events = stream_answer(
            question, completion, lambda: _answer(question), wait_s=settings.CHAT_COMPLETION_WAIT_S
        )
        unbuffered = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return StreamingHttpResponse(events, content_type="text/event-stream", headers=headers | unbuffered)


class ModelsView(OpenAIView):
    """The tenant's published workflows."""

    required_scopes = {"GET": "read:workflows"}

    @extend_schema(operation_id="list_models", responses={200: OpenApiTypes.OBJECT}, tags=["openai"])
    def get(self, request: TenantRequest) -> Response:
        return Response({"object": "list", "data": _models(request.tenant)})


class ModelView(OpenAIView):
    """One published workflow."""

    required_scopes = {"GET": "read:workflows"}

    @extend_schema(operation_id="retrieve_model", responses={200: OpenApiTypes.OBJECT}, tags=["openai"])
    def get(self, request: TenantRequest, name: str) -> Response:
        for model in _models(request.tenant):
            if model["id"] == name:
                return Response(model)
        raise _not_found(request.tenant, name)


def _models(tenant: TenantRef) -> list[dict[str, Any]]:
    return [
        as_model(workflow.name, int(workflow.created_at.timestamp()), tenant.slug)
        for workflow in list_workflows(tenant=tenant)
        if workflow.published
    ]


def _require_model(tenant: TenantRef, name: str) -> None:
    try:
        find_published(tenant=tenant, name=name)
    except NotFoundError as exc:
        raise _not_found(tenant, name) from exc


def _not_found(tenant: TenantRef, name: str) -> ModelNotFound:
    names = ", ".join(model["id"] for model in _models(tenant)) or "none; publish a workflow first"
    told = f"There is no model {name[:100]!r}; yours: {names}."
    return ModelNotFound(told, errors={"model": [told]})


def _put(request: TenantRequest, given: dict[str, Any]) -> Question:
    conversation_id = (given.get("metadata") or {}).get("conversation_id")
    attempt = request.headers.get("Idempotency-Key")
    attempt_key = _digest(request.auth.id, attempt) if attempt else None
    user_key = _digest("user", given["user"]) if given.get("user") else None
    return put_question(
        tenant=request.tenant,
        text=given["messages"][-1]["content"],
        workflow=given["model"],
        conversation_id=conversation_id,
        open_key=user_key or attempt_key,
        client_message_id=attempt_key,
        is_told_at_once=bool(given.get("stream")),
    )


def _answer(question: Question) -> Answer:
    reply = await_reply(question, wait_s=settings.CHAT_COMPLETION_WAIT_S)
    return Answer(reply.text, _usage(question.message, reply), reply.sources, reply.receipt)


def _usage(said: MessageView, reply: MessageView) -> Usage:
    receipt = reply.receipt or {}
    return Usage(
        int(receipt.get("prompt_tokens") or count_tokens(said.text)),
        int(receipt.get("completion_tokens") or count_tokens(reply.text)),
    )


def _digest(*parts: str) -> str:
    return "openai:" + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


urlpatterns = [
    path("chat/completions", ChatCompletionsView.as_view()),
    path("models", ModelsView.as_view()),
    path("models/<str:name>", ModelView.as_view()),
]
