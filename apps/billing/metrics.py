"""What billing measures."""

from prometheus_client import Counter

BILLING_USAGE = Counter(
    "billing_usage_total", "Metered usage, once for each event", ["tenant_id", "service", "type"]
)
DRAFT_DIFFERENCES = Counter(
    "billing_draft_differences_total", "Drafts whose read model differed from the raw events"
)
QUOTA_FALLBACK = Counter(
    "quota_fallback_total", "Times that PostgreSQL had to count because the quick counter was away"
)
QUOTA_REBUILDS = Counter("quota_rebuilds_total", "Quick counters that were counted anew from PostgreSQL")
