"""What runs look like from outside; the design's names."""

from prometheus_client import Counter, Histogram

agent_runs_total = Counter("agent_runs_total", "Ended agent runs", ["tenant_id", "workflow", "status"])
runs_in_need_total = Counter(
    "agent_runs_in_need_total",
    "Times that a run could not go on without a person",
    ["tenant_id", "workflow", "status"],
)
step_seconds = Histogram("agent_step_duration_seconds", "Duration of steps", ["type", "tool"])
refused_starts_total = Counter(
    "run_starts_refused_total", "Runs that schedules and events could not start", ["why"]
)
sweeps_total = Counter("run_sweeps_total", "Sweeps for due runs, by whether they found any", ["found"])


def observe_step(kind: str, tool: str, seconds: float) -> None:
    """Measure one execution of a step."""
    step_seconds.labels(kind, tool).observe(seconds)
