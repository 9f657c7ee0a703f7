"""Tokens, the caller's own identity, and API keys."""

import datetime as dt
from typing import Any
from uuid import UUID

from django.urls import path
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.gateway.pagination import CursorPages
from apps.gateway.problems import LoginRefused
from apps.gateway.tokens import BadToken, TokenPair, issue_tokens, renew_tokens, revoke_tokens
from apps.tenants import selectors, services
from apps.tenants.contracts import OPEN, SIGNED_IN, IssuedKey, Principal, PrincipalKind, TenantRef
from apps.tenants.identity.services import authenticate_user

NO_STORE = {"Cache-Control": "no-store"}
MAX_OVERLAP_S = 7 * 86_400


class TenantRequest(Request):
    """A request that passed the middleware with a principal."""

    tenant: TenantRef
    auth: Principal


class CredentialsSerializer(serializers.Serializer[Any]):
    email = serializers.CharField(max_length=254)
    password = serializers.CharField(max_length=1024, trim_whitespace=False)
    tenant = serializers.SlugField(
        required=False, help_text="The tenant's slug; the first of yours when absent."
    )
    otp = serializers.CharField(
        required=False,
        max_length=40,
        help_text="For who has a second factor: the authenticator app's code, or a recovery code.",
    )


class RefreshSerializer(serializers.Serializer[Any]):
    refresh = serializers.CharField(max_length=4096)


class RevocationSerializer(serializers.Serializer[Any]):
    token = serializers.CharField(max_length=4096, help_text="The refresh token, or an access token.")


class TokenPairSerializer(serializers.Serializer[Any]):
    access = serializers.CharField()
    refresh = serializers.CharField()
    token_type = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="seconds")


class TenantSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    slug = serializers.CharField()


class MembershipSerializer(serializers.Serializer[Any]):
    tenant = TenantSerializer()
    tenant_name = serializers.CharField()
    role = serializers.CharField()


class MeSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=[PrincipalKind.USER.value, PrincipalKind.API_KEY.value])
    id = serializers.CharField()
    name = serializers.CharField(allow_blank=True)
    tenant = TenantSerializer()
    roles = serializers.ListField(child=serializers.CharField())
    permissions = serializers.ListField(child=serializers.CharField())
    memberships = MembershipSerializer(many=True)


class ApiKeySerializer(serializers.Serializer[Any]):
    key_id = serializers.CharField()
    name = serializers.CharField()
    scopes = serializers.ListField(child=serializers.CharField())
    rate_limits = serializers.DictField(child=serializers.IntegerField())
    made_by = serializers.CharField(allow_blank=True, help_text="A member's id, or an API key's.")
    created_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="to the minute")
    expires_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)


class RateLimitsSerializer(serializers.Serializer[Any]):
    requests_per_minute = serializers.IntegerField(min_value=1, max_value=1_000_000, required=False)


class NewApiKeySerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=100)
    scopes = serializers.ListField(child=serializers.CharField(max_length=60), min_length=1, max_length=50)
    rate_limits = RateLimitsSerializer(required=False)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)

    def validate_expires_at(self, value: dt.datetime | None) -> dt.datetime | None:
        if value is not None and value <= timezone.now():
            raise serializers.ValidationError("Give a time in the future.")
        return value


class RotationSerializer(serializers.Serializer[Any]):
    overlap_s = serializers.IntegerField(
        min_value=0, max_value=MAX_OVERLAP_S, default=0, help_text="How long the old key still works."
    )


class IssuedKeySerializer(serializers.Serializer[Any]):
    key_id = serializers.CharField()
    token = serializers.CharField(help_text="Shown once: send it as `Authorization: Api-Key <token>`.")
    name = serializers.CharField()
    scopes = serializers.ListField(child=serializers.CharField())


class TokenView(APIView):
    """Exchange an e-mail address and a password for tokens; a second factor's code is asked for as well."""

    authentication_classes = ()
    required_scopes = {"POST": OPEN}

    @extend_schema(
        operation_id="auth_token",
        request=CredentialsSerializer,
        responses=TokenPairSerializer,
        tags=["identity"],
        examples=[OpenApiExample("Login", {"email": "ada@shop.example", "password": "…"}, request_only=True)],
    )
    def post(self, request: TenantRequest) -> Response:
        given = _validated(CredentialsSerializer, request)
        principal = authenticate_user(
            email=given["email"],
            password=given["password"],
            tenant_slug=given.get("tenant"),
            otp=given.get("otp", ""),
        )
        if principal is None:
            raise LoginRefused("The e-mail address, the password or the tenant is wrong.")
        try:
            return _token_response(issue_tokens(principal))
        except BadToken as exc:  # removed since the password was checked
            raise LoginRefused(str(exc)) from exc


class TokenRefreshView(APIView):
    """Exchange a refresh token, once, for new tokens with the rights of today.

    Used again it ends the whole login, its access tokens included, since one of two who have it is not its
    owner; within ten seconds a repeat is answered like the first, in case the answer was lost.
    """

    authentication_classes = ()
    required_scopes = {"POST": OPEN}

    @extend_schema(
        operation_id="auth_token_refresh",
        request=RefreshSerializer,
        responses=TokenPairSerializer,
        tags=["identity"],
    )
    def post(self, request: TenantRequest) -> Response:
        try:
            return _token_response(renew_tokens(_validated(RefreshSerializer, request)["refresh"]))
        except BadToken as exc:
            raise LoginRefused(str(exc)) from exc


class TokenRevocationView(APIView):
    """Log out: every token of the login is refused by every process within a second."""

    authentication_classes = ()
    required_scopes = {"POST": OPEN}

    @extend_schema(
        operation_id="auth_token_revoke",
        request=RevocationSerializer,
        responses={204: None},
        tags=["identity"],
    )
    def post(self, request: TenantRequest) -> Response:
        try:
            revoke_tokens(_validated(RevocationSerializer, request)["token"])
        except BadToken as exc:
            raise LoginRefused(str(exc)) from exc
        return Response(status=204)


class MeView(APIView):
    """Who you are, in which tenant, and what you may do there."""

    required_scopes = {"GET": SIGNED_IN}

    @extend_schema(operation_id="me", responses=MeSerializer, tags=["identity"])
    def get(self, request: TenantRequest) -> Response:
        me: Principal = request.auth
        is_user = me.kind == PrincipalKind.USER
        memberships = selectors.list_memberships(user_id=UUID(me.id)) if is_user else []
        name = selectors.get_user_name(user_id=UUID(me.id)) if is_user else me.name
        answer = {
            "kind": me.kind.value,
            "id": me.id,
            "name": name,
            "tenant": me.tenant,
            "roles": list(me.roles),
            "permissions": sorted(me.permissions),
            "memberships": memberships,
        }
        return Response(MeSerializer(answer).data)


class ApiKeyPages(CursorPages):
    """Newest first; a key's id says nothing of its age."""

    ordering = ("-created_at", "-key_id")  # type: ignore[assignment]


class ApiKeysView(GenericAPIView[Any]):
    """The tenant's API keys.

    A new key may do no more, no more often and for no longer than the key or member that makes it.
    """

    required_scopes = {"GET": "read:api_keys", "POST": "write:api_keys"}
    serializer_class = ApiKeySerializer
    pagination_class: type[CursorPagination] = ApiKeyPages

    @extend_schema(
        operation_id="api_keys_list",
        summary="List API keys, newest first",
        responses=ApiKeySerializer(many=True),
        tags=["identity"],
    )
    def get(self, request: TenantRequest) -> Response:
        keys = self.paginate_queryset(selectors.query_api_keys()) or []
        return self.get_paginated_response(ApiKeySerializer(keys, many=True).data)

    @extend_schema(
        operation_id="api_keys_create",
        summary="Make an API key",
        request=NewApiKeySerializer,
        responses={201: IssuedKeySerializer},
        tags=["identity"],
    )
    def post(self, request: TenantRequest) -> Response:
        given = _validated(NewApiKeySerializer, request)
        key = services.create_api_key(
            tenant=request.tenant, actor=request.auth.id, maker=request.auth, **given
        )
        return _key_response(key)


class ApiKeyView(APIView):
    """One API key."""

    required_scopes = {"DELETE": "write:api_keys"}

    @extend_schema(operation_id="api_keys_revoke", request=None, responses={204: None}, tags=["identity"])
    def delete(self, request: TenantRequest, key_id: str) -> Response:
        """Revoke it: every process refuses it within a second."""
        services.revoke_api_key(tenant=request.tenant, key_id=key_id, actor=request.auth.id)
        return Response(status=204)


class ApiKeyRotationView(APIView):
    """Replace an API key by a new one with the same rights."""

    required_scopes = {"POST": "write:api_keys"}

    @extend_schema(
        operation_id="api_keys_rotate",
        request=RotationSerializer,
        responses={201: IssuedKeySerializer},
        tags=["identity"],
    )
    def post(self, request: TenantRequest, key_id: str) -> Response:
        overlap_s = _validated(RotationSerializer, request)["overlap_s"]
        issued = services.rotate_api_key(
            tenant=request.tenant,
            key_id=key_id,
            overlap_s=overlap_s,
            actor=request.auth.id,
            maker=request.auth,
        )
        return _key_response(issued)


def _validated(serializer: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    given = serializer(data=request.data)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


def _token_response(pair: TokenPair) -> Response:
    answer = {
        "access": pair.access,
        "refresh": pair.refresh,
        "token_type": "Bearer",
        "expires_in": pair.expires_in_s,
    }
    return Response(answer, headers=NO_STORE)


def _key_response(key: IssuedKey) -> Response:
    return Response(IssuedKeySerializer(key).data, status=201, headers=NO_STORE)


urlpatterns = [
    path("auth/token", TokenView.as_view()),
    path("auth/token/refresh", TokenRefreshView.as_view()),
    path("auth/token/revoke", TokenRevocationView.as_view()),
    path("me", MeView.as_view()),
    path("api-keys", ApiKeysView.as_view()),
    path("api-keys/<str:key_id>", ApiKeyView.as_view()),
    path("api-keys/<str:key_id>/rotate", ApiKeyRotationView.as_view()),
]
