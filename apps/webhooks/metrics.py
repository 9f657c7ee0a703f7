"""What operators watch of outbound webhooks."""

from prometheus_client import Counter

attempts_total = Counter("webhook_attempts_total", "Attempts to deliver a webhook", ["outcome"])
