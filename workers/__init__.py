"""Process doorways: Celery tasks, the outbox relay, event consumers and the schedule."""
