"""The proof itself, in a process whose Django is set up for servers that are killed."""

import json
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from benchmarks.faults.apart import percentiles
from benchmarks.faults.place import Place, open_place, wait_for
from benchmarks.faults.sink import EffectSink, open_sink

DEFAULT_LEASE_S = 15.0
FEW_TURNS, SOME_MORE = 25, 4


def main() -> None:
    """Do what was asked for and write the figures."""
    parser = ArgumentParser()
    for name, default in {"sagas": 10_000, "kills": 500, "zombies": 60, "outages": 24, "commits": 60}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lease-s", type=float, default=0.0, help="0: the product's own")
    parser.add_argument("--ready", type=int, default=2, help="so many workers must be there to lose one")
    parser.add_argument("--process", default="", help="only points of these: worker or background")
    parser.add_argument("--kind", action="append", help="only these outages")
    parser.add_argument("--json", type=Path, required=True)
    asked = parser.parse_args()
    with open_sink() as sink, open_place(OUTBOUND_ALLOW=sink.address) as place:
        place.prepare()
        asked.json.write_text(json.dumps(prove(place, sink, asked)))


def prove(place: Place, sink: EffectSink, asked: Namespace) -> dict[str, Any]:
    """Run the sagas in the storm, wait until all is quiet, and look at what is left."""
    from benchmarks.faults import evidence
    from benchmarks.faults.sagas import Sagas, examine, make_tenants
    from benchmarks.faults.storm import Feeder, Storm
    from benchmarks.faults.takeovers import Takeovers

    assert place.servers.postgres
    sagas = Sagas(make_tenants(sink.address))
    takeovers = Takeovers(place.servers.postgres.url_for("postgres"))
    takeovers.start()
    storm = Storm(place, takeovers, seed=asked.seed, lease_s=asked.lease_s or DEFAULT_LEASE_S)
    place.copy_nats()
    for kind, count in (("worker", asked.workers), ("background", 2)):
        for number in range(count):
            place.start(kind, number, FAULTS_LEASE_S=str(asked.lease_s))
    wait_for(lambda: all(child.is_ready() for child in place.children.values()), "the processes are ready")
    begin = time.monotonic()
    feeder = Feeder(sagas, asked.sagas)
    feeder.start()
    blow(storm, feeder, asked)
    feeder.wait(storm, patience_s=120)
    storm.wait_for_dead()
    finished_s = time.monotonic() - begin
    wait_for(lambda: evidence.is_quiet(sagas) and not storm.turn(), "events are delivered", patience_s=180)
    wait_for(lambda: takeovers.is_done, "the runs of the dead are taken over")
    takeovers.stop()
    found = {**_told(storm, asked), **examine(sink.calls, list(sagas.started_at)), **evidence.collect(sagas)}
    return {
        **found,
        "seconds": round(finished_s, 1),
        "by_status": dict(sagas.count_by_status()),
        "lost": len(sagas.find_lost()),
        "takeover": percentiles(takeovers.waited_s),
    }


def _told(storm: Any, asked: Namespace) -> dict[str, Any]:
    """Return what was done to the sagas."""
    return {
        "sagas": asked.sagas,
        "kills": sum(storm.deaths.values()),
        "killed": dict(sorted(storm.deaths.items())),
        "zombies": sum(storm.frozen.values()),
        "sessions_ended_in_commit": storm.terminated_in_commit,
        "outages": asked.outages,
    }


def blow(storm: Any, feeder: Any, asked: Namespace) -> None:
    """Bring one fault after the other, each with its share of the work; one that nobody met needs more."""
    from benchmarks.faults.storm import OUTAGES

    counts = {name: getattr(asked, name) for name in ("kills", "zombies", "outages", "commits")}
    faults = storm.plan(**counts, process=asked.process, kinds=tuple(asked.kind or OUTAGES))
    share = max(1, asked.sagas // (len(faults) + 1))
    for fault in faults:
        feeder.release(share)
        fault()
        waited = 0
        while storm.is_busy(asked.ready) and feeder.ended < feeder.count:
            storm.turn()
            storm.tell(feeder.ended)
            feeder.check()
            waited += 1
            if waited % FEW_TURNS == 0 and storm.has_warrants and feeder.ended == feeder.released:
                feeder.release(SOME_MORE)
            time.sleep(0.02)
    feeder.release(feeder.count)


if __name__ == "__main__":
    main()
