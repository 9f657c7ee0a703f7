"""What the web process and the database's server processes hold for themselves."""

from contextlib import suppress
from typing import Any

import psutil

from benchmarks.installation import Installation


def measure_memory(place: Installation, backends: list[int]) -> dict[str, Any]:
    """Return the memory of the web process, and that of the backends that serve the application, in MB."""
    sizes = [size for pid in backends if (size := _private_mb(pid))]
    return {
        "web_mb": max((_private_mb(pid) for pid in _web_processes(place.port)), default=0.0),
        "backends": len(sizes),
        "largest_backend_mb": max(sizes, default=0.0),
        "all_backends_mb": round(sum(sizes), 1),
    }


def _web_processes(port: int) -> list[int]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = process.cmdline()
            if "aiaas.rsgi:application" in words and str(port) in words:
                found += [process.pid, *(child.pid for child in process.children(recursive=True))]
    return found


def _private_mb(pid: int) -> float:
    with suppress(psutil.Error):
        return round(psutil.Process(pid).memory_full_info().uss / 1e6, 1)
    return 0.0
