"""What billing measures."""

from prometheus_client import Counter

BILLING_USAGE = Counter(
    "billing_usage_total", "Metered usage, once for each event", ["tenant_id", "service", "type"]
)
DRAFT_DIFFERENCES = Counter(
    "billing_draft_differences_total", "Drafts whose read model differed from the raw events"
)
