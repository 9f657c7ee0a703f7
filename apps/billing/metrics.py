"""What billing measures."""

from prometheus_client import Counter

BILLING_USAGE = Counter(
    "billing_usage_total", "Metered usage, once for each event", ["tenant_id", "service", "type"]
)
