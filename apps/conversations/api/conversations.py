"""Conversations over HTTP."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.response import Response

from apps.conversations import selectors, services
from apps.conversations.api import shapes
from apps.conversations.api.callers import TenantRequest, agent_of, key_of
from apps.conversations.api.lists import ListOfViews
from apps.conversations.api.waiting import answer, read_wait_s
from apps.conversations.contracts import ConversationView, CustomerInput
from apps.conversations.models import Conversation

WAIT = OpenApiParameter("wait", float, description="Seconds to wait for the reply: above 0, at most 30.")


class ConversationViewSet(ListOfViews):
    keys_itself = "wait"  # by the conversation's open_key and the message's id
    queryset = Conversation.objects.all()
    serializer_class = shapes.ConversationSerializer
    filter_serializer = shapes.ConversationFilter
    lookup_value_converter = "uuid"
    required_scopes = {"GET": "read:conversations", "POST": "write:conversations"}

    @extend_schema(summary="List conversations", parameters=[shapes.ConversationFilter])
    def list(self, request: TenantRequest) -> Response:
        return self.listed(request, self.get_queryset())

    @extend_schema(summary="Get a conversation")
    def retrieve(self, request: TenantRequest, pk: UUID) -> Response:
        return self._answer(selectors.get_conversation(tenant=request.tenant, conversation_id=pk))

    @extend_schema(
        summary="Start a conversation with a customer's message",
        parameters=[WAIT],
        request=shapes.NewConversation,
        responses={201: shapes.StartedSerializer},
    )
    def create(self, request: TenantRequest) -> Response:
        wait_s = read_wait_s(request)
        given = shapes.NewConversation(data=request.data)
        given.is_valid(raise_exception=True)
        customer = given.validated_data.get("customer")
        started = services.start_conversation(
            tenant=request.tenant,
            channel=given.validated_data["channel"],
            customer=CustomerInput(**customer) if customer else None,
            **given.validated_data["message"],
            open_key=key_of(request, "conversation.open") if "Idempotency-Key" in request.headers else None,
            run_inline=wait_s is not None,
        )
        answered = answer(request.tenant, started.received, wait_s)
        conversation = started.conversation
        if wait_s is not None:
            conversation = selectors.get_conversation(tenant=request.tenant, conversation_id=conversation.id)
        shown = shapes.StartedSerializer({"conversation": conversation, **answered})
        return Response(shown.data, status=201)

    @extend_schema(
        methods=["GET"],
        summary="List a conversation's messages, in order",
        parameters=[shapes.MessagesQuery],
        responses=shapes.MessagesSerializer,
    )
    @extend_schema(
        methods=["POST"],
        summary="Add a customer's message",
        parameters=[WAIT],
        request=shapes.NewMessage,
        responses={200: shapes.ReceivedSerializer, 202: shapes.ReceivedSerializer},
    )
    @action(detail=True, methods=["get", "post"], pagination_class=None)
    def messages(self, request: TenantRequest, pk: UUID) -> Response:
        return self._receive(request, pk) if request.method == "POST" else self._list_messages(request, pk)

    @extend_schema(
        summary="Answer as the person who has the conversation",
        request=shapes.AgentReply,
        responses={201: shapes.MessageSerializer},
    )
    @action(detail=True, methods=["post"])
    def replies(self, request: TenantRequest, pk: UUID) -> Response:
        given = shapes.AgentReply(data=request.data)
        given.is_valid(raise_exception=True)
        message = services.send_agent_message(
            tenant=request.tenant,
            conversation_id=pk,
            agent=agent_of(request),
            text=given.validated_data["text"],
            reply_key=key_of(request, f"reply:{pk}"),
        )
        return Response(shapes.MessageSerializer(message).data, status=201)

    @extend_schema(summary="Take a conversation over from the AI", request=None)
    @action(detail=True, methods=["post"])
    def takeover(self, request: TenantRequest, pk: UUID) -> Response:
        return self._answer(
            services.take_over_conversation(
                tenant=request.tenant, conversation_id=pk, agent=agent_of(request)
            )
        )

    @extend_schema(summary="Give a conversation back", request=None)
    @action(detail=True, methods=["post"])
    def release(self, request: TenantRequest, pk: UUID) -> Response:
        return self._answer(services.release_conversation(tenant=request.tenant, conversation_id=pk))

    @extend_schema(summary="Close a conversation", request=None)
    @action(detail=True, methods=["post"])
    def close(self, request: TenantRequest, pk: UUID) -> Response:
        return self._answer(
            services.close_conversation(tenant=request.tenant, conversation_id=pk, actor=agent_of(request))
        )

    @extend_schema(summary="Rate a conversation, as its customer", request=shapes.RatingSerializer)
    @action(detail=True, methods=["post"])
    def rating(self, request: TenantRequest, pk: UUID) -> Response:
        given = shapes.RatingSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        rated = services.rate_conversation(tenant=request.tenant, conversation_id=pk, **given.validated_data)
        return self._answer(rated)

    def _receive(self, request: TenantRequest, pk: UUID) -> Response:
        wait_s = read_wait_s(request)
        given = shapes.NewMessage(data=request.data)
        given.is_valid(raise_exception=True)
        said = given.validated_data
        if "Idempotency-Key" in request.headers and not said.get("client_message_id"):
            said["client_message_id"] = key_of(request, "message")
        received = services.receive_message(
            tenant=request.tenant, conversation_id=pk, **said, run_inline=wait_s is not None
        )
        answered = answer(request.tenant, received, wait_s)
        status = 200 if "reply" in answered else 202
        return Response(shapes.ReceivedSerializer(answered).data, status=status)

    def _list_messages(self, request: TenantRequest, pk: UUID) -> Response:
        query = shapes.MessagesQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        after_seq, size = query.validated_data["after_seq"], query.validated_data["page_size"]
        conversation = selectors.get_conversation(tenant=request.tenant, conversation_id=pk)
        page = selectors.list_messages(
            tenant=request.tenant, conversation_id=pk, after_seq=after_seq, limit=size
        )
        shown: dict[str, Any] = {"results": page, "next": None, "previous": None}
        if page and page[-1].seq < conversation.last_seq:
            following = urlencode({"after_seq": page[-1].seq, "page_size": size})
            shown["next"] = f"{request.build_absolute_uri(request.path)}?{following}"
        return Response(shapes.MessagesSerializer(shown | {"head_seq": conversation.last_seq}).data)

    def _answer(self, conversation: ConversationView) -> Response:
        return Response(self.get_serializer(conversation).data)
