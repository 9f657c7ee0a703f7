"""Every page of the dashboard with 1,000,000 messages, 100,000 conversations and 5,000,000 usage events.

The rows are made by SQL in a throw-away tenant; PAGES_SCALE=0.01 makes a hundredth of them.
"""

import logging
import os
import time
from typing import Any, TextIO

from benchmarks.pages.addresses import list_addresses
from benchmarks.pages.filling import fill
from benchmarks.pages.measuring import measure
from benchmarks.throwaway import throwaway_tenant


def run(stdout: TextIO) -> dict[str, Any]:
    """Fill a tenant, ask for every page, print what each took, and discard the tenant."""
    logging.disable(logging.WARNING)
    try:
        with throwaway_tenant() as tenant:
            started = time.perf_counter()
            fill(tenant, scale=float(os.environ.get("PAGES_SCALE", "1")))
            stdout.write(f"filled in {time.perf_counter() - started:.0f} s\n")
            return measure(tenant, list_addresses(tenant), stdout)
    finally:
        logging.disable(logging.NOTSET)
