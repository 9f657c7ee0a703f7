"""A process of sixteen writers that use one tenant's messages as fast as they can: started by a test."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import django

THREADS = 16


def main(slug: str, calls: int, name: str) -> None:
    from django.db import connections

    from apps.billing.contracts import QuotaSpent
    from apps.billing.services import record_usage, reserving
    from apps.tenants.context import in_tenant
    from apps.tenants.selectors import get_tenant

    tenant = get_tenant(slug=slug)
    connections.close_all()  # each thread takes one of the pool

    def write(thread: int) -> int:
        done = 0
        for number in range(calls):
            source = f"{name}-{thread}-{number}"
            try:
                with reserving(tenant=tenant, kind="message"), in_tenant(tenant):
                    record_usage(tenant=tenant, kind="message", quantity=1, source_id=source)
                done += 1
            except QuotaSpent:
                pass
        connections.close_all()
        return done

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    with ThreadPoolExecutor(THREADS) as threads:
        sys.stdout.write(f"{sum(threads.map(write, range(THREADS)))}\n")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aiaas.settings.local")
    django.setup()
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
