"""Documents and search over HTTP."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.ingestion import selectors, services
from apps.ingestion.contracts import DocumentKind, DocumentStatus, UploadedFile
from apps.ingestion.models import Document
from apps.tenants.contracts import TenantRef


class TenantRequest(Request):
    """A request that the gateway let pass."""

    tenant: TenantRef


class DocumentSerializer(serializers.Serializer):
    id = serializers.UUIDField(read_only=True)
    title = serializers.CharField(read_only=True)
    kind = serializers.ChoiceField(choices=[kind.value for kind in DocumentKind], read_only=True)
    status = serializers.ChoiceField(choices=[status.value for status in DocumentStatus], read_only=True)
    progress_percent = serializers.IntegerField(read_only=True, min_value=0, max_value=100)
    error = serializers.CharField(read_only=True, help_text="What to do about it, when the status is failed.")
    file_name = serializers.CharField(read_only=True)
    url = serializers.CharField(read_only=True)
    size_bytes = serializers.IntegerField(read_only=True)
    language = serializers.CharField(read_only=True)
    chunk_count = serializers.IntegerField(read_only=True)
    token_count = serializers.IntegerField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    processed_at = serializers.DateTimeField(read_only=True, allow_null=True)


class NewDocumentSerializer(serializers.Serializer):
    """Exactly one of `file`, `url` and `text`."""

    title = serializers.CharField(required=False, allow_blank=True, max_length=300)
    text = serializers.CharField(required=False, trim_whitespace=False, help_text="Markdown or plain text.")
    url = serializers.CharField(required=False, max_length=2000)
    file = serializers.FileField(
        required=False,
        allow_empty_file=True,
        max_length=255,
        help_text="txt, md, html, pdf, docx, csv, xlsx, pptx",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        upload = attrs.pop("file", None)
        if upload is not None:
            attrs["file"] = UploadedFile(upload.name or "", upload.read())
        return attrs


class DocumentFilter(serializers.Serializer):
    status = serializers.ChoiceField(choices=[status.value for status in DocumentStatus], required=False)
    title = serializers.CharField(required=False, max_length=200, help_text="A part of the title.")


class SearchSerializer(serializers.Serializer):
    query = serializers.CharField(max_length=2000)
    top_k = serializers.IntegerField(default=5, min_value=1, max_value=selectors.MAX_TOP_K)


class SearchHitSerializer(serializers.Serializer):
    document_id = serializers.UUIDField()
    chunk_id = serializers.UUIDField()
    title = serializers.CharField()
    heading = serializers.CharField()
    text = serializers.CharField()
    score = serializers.FloatField(min_value=0, max_value=1)
    url = serializers.CharField(allow_null=True)


class SearchResultsSerializer(serializers.Serializer):
    results = SearchHitSerializer(many=True)


class DocumentList(generics.GenericAPIView):
    required_scopes = {"GET": "read:documents", "POST": "write:documents"}
    queryset = Document.objects.kept().defer("title_vector")
    serializer_class = DocumentSerializer

    @extend_schema(
        operation_id="documents_list",
        summary="List documents, newest first",
        parameters=[DocumentFilter],
        responses=DocumentSerializer(many=True),
    )
    def get(self, request: TenantRequest) -> Response:
        page = self.paginate_queryset(self._filtered(request)) or []
        views = [document.to_view() for document in page]
        return self.get_paginated_response(DocumentSerializer(views, many=True).data)

    @extend_schema(
        operation_id="documents_create",
        summary="Add a document; it is processed in the background",
        request={"multipart/form-data": NewDocumentSerializer, "application/json": NewDocumentSerializer},
        responses={202: DocumentSerializer},
    )
    def post(self, request: TenantRequest) -> Response:
        given = NewDocumentSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        document = services.add_document(tenant=request.tenant, **given.validated_data)
        location = {"Location": f"/api/v1/documents/{document.id}"}
        return Response(DocumentSerializer(document).data, status=202, headers=location)

    def _filtered(self, request: TenantRequest) -> QuerySet[Document]:
        given = DocumentFilter(data=request.query_params)
        given.is_valid(raise_exception=True)
        documents = self.get_queryset()
        if status := given.validated_data.get("status"):
            documents = documents.filter(status=status)
        if title := given.validated_data.get("title"):
            documents = documents.filter(title__icontains=title)
        return documents


class DocumentDetail(APIView):
    required_scopes = {"GET": "read:documents", "DELETE": "write:documents"}

    @extend_schema(
        operation_id="documents_retrieve",
        summary="Get a document's status and progress",
        responses=DocumentSerializer,
    )
    def get(self, request: TenantRequest, document_id: UUID) -> Response:
        document = selectors.get_document(tenant=request.tenant, document_id=document_id)
        return Response(DocumentSerializer(document).data)

    @extend_schema(
        operation_id="documents_destroy",
        summary="Delete a document: no answer cites it any more",
        responses={204: None},
    )
    def delete(self, request: TenantRequest, document_id: UUID) -> Response:
        services.delete_document(tenant=request.tenant, document_id=document_id)
        return Response(status=204)


class DocumentReindex(APIView):
    required_scopes = {"POST": "write:documents"}

    @extend_schema(
        operation_id="documents_reindex",
        summary="Process a document again; an address is fetched anew",
        request=None,
        responses={202: DocumentSerializer},
    )
    def post(self, request: TenantRequest, document_id: UUID) -> Response:
        document = services.reindex_document(tenant=request.tenant, document_id=document_id)
        return Response(DocumentSerializer(document).data, status=202)


class Search(APIView):
    keys_itself = True  # nothing is written but what it used
    required_scopes = {"POST": "read:documents"}

    @extend_schema(
        operation_id="search",
        summary="Search the knowledge by meaning and words",
        request=SearchSerializer,
        responses=SearchResultsSerializer,
    )
    def post(self, request: TenantRequest) -> Response:
        given = SearchSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        hits = services.search_and_tell(tenant=request.tenant, **given.validated_data)
        return Response({"results": SearchHitSerializer(hits, many=True).data})


urlpatterns = [
    path("documents", DocumentList.as_view(), name="documents"),
    path("documents/<uuid:document_id>", DocumentDetail.as_view(), name="document"),
    path("documents/<uuid:document_id>/reindex", DocumentReindex.as_view(), name="document-reindex"),
    path("search", Search.as_view(), name="search"),
]
