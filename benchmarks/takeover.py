"""How long the runs of a worker that was killed wait until another goes on with them, at default settings.

Three workers, all of them ready before each kill -9; the points of `bench faults` that lie in workers.
"""

from typing import Any, TextIO

from benchmarks.faults import judge
from benchmarks.faults.apart import run_apart

P99_S = 20.0
SAGAS_PER_KILL = 12


def run(stdout: TextIO, *, kills: int = 110, seed: int = 1) -> dict[str, Any]:
    """Kill workers, and nothing else."""
    calm = {"zombies": 0, "outages": 0, "commits": 0, "workers": 3, "ready": 3, "seed": seed}
    work = {"sagas": kills * SAGAS_PER_KILL, "kills": kills, "process": "worker"}
    found = run_apart("benchmarks.faults", stdout, **work, **calm)
    late = [f"takeover: {found['takeover']}"] if found["takeover"].get("p99_s", P99_S + 1) > P99_S else []
    return found | {"failures": judge(found, kills=kills) + late}
