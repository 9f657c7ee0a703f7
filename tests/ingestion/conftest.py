"""Documents as tenants add them, processed at once."""

from collections.abc import Callable

import pytest

from apps.ingestion import services
from apps.ingestion.contracts import DocumentView
from apps.ingestion.selectors import get_document
from apps.tenants.contracts import TenantRef

AddDocument = Callable[..., DocumentView]


@pytest.fixture
def add_ready() -> AddDocument:
    """Add a document and process it, as a worker would."""

    def add(tenant: TenantRef, **values: object) -> DocumentView:
        document = services.add_document(tenant=tenant, **values)
        services.process_document(tenant=tenant, document_id=document.id)
        return get_document(tenant=tenant, document_id=document.id)

    return add
