"""The measurement itself, in a process whose Django is set up for servers of its own."""

import json
import shutil
import threading
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from benchmarks.faults.apart import percentiles
from benchmarks.faults.place import Place, open_place, wait_for

PER_TRANSACTION = 4
FEW = 2.0  # seconds of arrivals: a backlog of less counts as none


def main() -> None:
    """Do what was asked for and write the figures."""
    parser = ArgumentParser()
    for name in ("rate", "load-s", "outage-s"):
        parser.add_argument(f"--{name}", type=float, required=True)
    parser.add_argument("--json", type=Path, required=True)
    asked = parser.parse_args()
    with open_place() as place:
        place.prepare()
        asked.json.write_text(json.dumps(measure(place, asked.rate, asked.load_s, asked.outage_s)))


def measure(place: Place, rate: float, load_s: float, outage_s: float) -> dict[str, Any]:
    """Load, outage, drain, a deleted stream; then compare what was told with what was handled."""
    from apps.tenants.services import provision_tenant
    from benchmarks.outbox import evidence

    tenants = [provision_tenant(slug=slug, name=slug, plan="enterprise") for slug in ("acme", "globex")]
    for number in range(2):
        place.start("background", number)
    wait_for(lambda: all(child.is_ready() for child in place.children.values()), "the processes are ready")
    wait_for(lambda: evidence.count_waiting() == 0, "the outbox is empty")
    source = Source(tenants, rate)
    source.start()
    time.sleep(min(5.0, load_s))  # whatever has to warm up
    begin = evidence.read_clock()
    time.sleep(load_s)
    lag = percentiles(evidence.list_lags(begin))
    print(f"under load: {lag}", flush=True)
    drain = outlast(place, source, outage_s, evidence.count_waiting)
    print(f"after the outage: {drain}", flush=True)
    source.stop()
    wait_for(lambda: evidence.count_waiting() == 0, "the outbox is empty")
    lose_streams(place)
    wait_for(lambda: evidence.count_in_streams() >= evidence.count_told(), "the streams are refilled",
             patience_s=600)  # fmt: skip
    wait_for(lambda: evidence.count_waiting() == 0 and not any(evidence.compare(tenants).values()),
             "all is handled", patience_s=600)  # fmt: skip
    return {
        "events": evidence.count_told(),
        "rate": round(source.rate_s, 1),
        "lag": lag,
        **drain,
        "not_in_the_stream": max(0, evidence.count_told() - evidence.count_in_streams()),
        **evidence.compare(tenants),
    }


def outlast(place: Place, source: "Source", outage_s: float, count_waiting: Any) -> dict[str, float]:
    """Kill NATS for a while, and measure how fast the outbox empties while events go on to arrive."""
    nats = place.servers.nats
    assert nats
    nats.kill()
    time.sleep(outage_s)
    nats.start()
    begin, backlog, already = time.monotonic(), count_waiting(), source.told
    wait_for(lambda: count_waiting() < source.rate * FEW, "the outbox has drained", patience_s=outage_s + 120)
    took_s = time.monotonic() - begin
    drained_rate = (backlog + source.told - already) / took_s
    return {
        "outage_s": outage_s,
        "backlog": backlog,
        "drained_in_s": round(took_s, 1),
        "drained_rate": round(drained_rate, 1),
        "drained_by_arrival": round(drained_rate / source.rate_s, 1),
    }


def lose_streams(place: Place) -> None:
    """Delete the store of NATS."""
    nats = place.servers.nats
    assert nats
    nats.kill()
    shutil.rmtree(nats.store_dir)
    nats.start()


class Source(threading.Thread):
    """Tells events at a rate, several in each transaction, as the product does."""

    def __init__(self, tenants: list[Any], rate: float) -> None:
        super().__init__(daemon=True)
        self.tenants, self.rate = tenants, rate
        self.told = 0
        self._stopping = threading.Event()
        self._begin = time.monotonic()
        self._end = 0.0

    def run(self) -> None:
        """Tell until stopped; a late one makes up for it."""
        self._begin = time.monotonic()
        while not self._stopping.is_set():
            ahead_s = self._begin + self.told / self.rate - time.monotonic()
            if ahead_s > 0:
                time.sleep(ahead_s)
            self._tell()
        self._end = time.monotonic()

    def stop(self) -> None:
        """Stop, and wait for the last transaction."""
        self._stopping.set()
        self.join()

    @property
    def rate_s(self) -> float:
        """Return what was reached, in events a second."""
        return self.told / ((self._end or time.monotonic()) - self._begin)

    def _tell(self) -> None:
        from apps.billing.events import UsageRecorded
        from apps.events.services import publish
        from apps.orchestration.events import StepCompleted
        from apps.tenants.context import in_tenant

        tenant = self.tenants[self.told // PER_TRANSACTION % len(self.tenants)]
        first = UsageRecorded(tenant_id=tenant.id, kind="run", quantity=1, source_id=f"n{self.told}")
        step = StepCompleted(tenant_id=tenant.id, step="s", step_type="tool", duration_ms=1, attempt=1)
        with in_tenant(tenant):
            publish(first, *[step] * (PER_TRANSACTION - 1))
        self.told += PER_TRANSACTION


if __name__ == "__main__":
    main()
