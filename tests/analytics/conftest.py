import random

import pytest

from apps.analytics import services
from apps.analytics.handlers import archived
from apps.analytics.models import ArchivedEvent
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from tests.analytics.traffic import AS_OF, make_traffic


@pytest.fixture
def filled(acme: TenantRef, globex: TenantRef) -> TenantRef:
    """A tenant with generated conversations in March 2026, beside another one."""
    for tenant, total in ((acme, 40), (globex, 2)):
        events = make_traffic(random.Random(total), tenant, total)
        with in_tenant(tenant):
            ArchivedEvent.objects.bulk_create([archived(each, each.conversation_id) for each in events])
        services.rebuild_read_models(tenant=tenant, as_of=AS_OF)
    return acme
