import pytest

from apps.routing import services
from apps.routing.contracts import Origin
from apps.routing.models import Intent, IntentExample
from apps.routing.wording import hash_text
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from tests.routing.test_services import PARROTS


@pytest.fixture
def shop(acme: TenantRef) -> TenantRef:
    """A tenant with three small intents that v1 has learnt, and one more that it has not."""
    with in_tenant(acme):
        for name in ("faq", "order_change", "smalltalk"):
            intent = Intent.objects.create(name=name)
            IntentExample.objects.bulk_create(
                IntentExample(intent=intent, text=text, text_hash=hash_text(text), origin=Origin.SHIPPED)
                for text in services.default_intents()[name][1][:10]
            )
    services.train_router(tenant=acme)
    services.create_intent(tenant=acme, name="lost_parrot", examples=PARROTS)
    return acme
