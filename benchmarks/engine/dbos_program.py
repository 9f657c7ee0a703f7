"""DBOS's side: workflows of five trivial steps, called at once or through its queue.

Runs under the peer's own interpreter: dbos_program.py MODE DATABASE_URL OPTIONS. Prints one line of JSON.
"""

import json
import os
import sys
import threading
import time

from dbos import DBOS

FIRST_AT: dict[int, float] = {}  # by workflow: when its first step began
WARM_UP = 50
QUEUE_SETTLES_S = 2.5  # its manager looks for new queues once a second


@DBOS.step()
def first(number: int) -> int:
    FIRST_AT[number] = time.time()
    return number + 1


@DBOS.step()
def add(number: int) -> int:
    return number + 1


@DBOS.workflow()
def five(number: int) -> int:
    value = first(number)
    for _ in range(4):
        value = add(value)
    return value


def inline(threads: int, seconds: float) -> dict[str, float]:
    for number in range(WARM_UP):
        five(-number)
    times: list[float] = []
    begin = time.perf_counter()

    def work() -> None:
        while time.perf_counter() < begin + seconds:
            began = time.perf_counter()
            five(0)
            times.append(time.perf_counter() - began)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    took = time.perf_counter() - begin
    return {"workflows": len(times), "seconds": took, **_percentiles(times)}


def paced(rate: float, seconds: float) -> dict[str, float]:
    DBOS.register_queue("peer", on_conflict="always_update")
    time.sleep(QUEUE_SETTLES_S)
    DBOS.enqueue_workflow("peer", five, -1).get_result()
    sent, begin = {}, time.time()
    handles = []
    for number in range(int(rate * seconds)):
        time.sleep(max(0.0, begin + number / rate - time.time()))
        sent[number] = time.time()
        handles.append(DBOS.enqueue_workflow("peer", five, number))
    for handle in handles:
        handle.get_result(polling_interval_sec=0.2)
    return _percentiles([FIRST_AT[number] - at for number, at in sent.items()])


def _percentiles(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    at = {"p50_ms": 0.5, "p99_ms": 0.99}
    return {name: round(ordered[int(share * (len(ordered) - 1))] * 1000, 2) for name, share in at.items()}


if __name__ == "__main__":
    mode, url, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    DBOS(config={"name": "dbos-peer", "system_database_url": url, "log_level": "ERROR"})
    DBOS.launch()
    print(json.dumps({"inline": inline, "paced": paced}[mode](**options)), flush=True)
    os._exit(0)  # its threads would go on
