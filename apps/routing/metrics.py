"""What routing counts."""

from prometheus_client import Counter

router_decisions_total = Counter(
    "router_decisions_total", "Route decisions by tier and confidence", ["tenant_id", "tier", "confidence"]
)


def confidence_label(confidence: float) -> str:
    """Name a confidence's band: high from 0.9, medium from 0.7, low below."""
    if confidence >= 0.9:
        return "high"
    return "medium" if confidence >= 0.7 else "low"
