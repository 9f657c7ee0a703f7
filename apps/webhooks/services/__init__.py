"""Writes: endpoints and their secrets; deliveries, their attempts and replays; notices."""

from apps.webhooks.services.deliveries import enqueue, purge_deliveries, replay, replay_failed, send_test
from apps.webhooks.services.endpoints import (
    create_endpoint,
    delete_endpoint,
    pause_endpoint,
    resume_endpoint,
    rotate_secret,
    update_endpoint,
)
from apps.webhooks.services.notices import mail_notices
from apps.webhooks.services.sending import sweep_due_deliveries

__all__ = [
    "create_endpoint",
    "delete_endpoint",
    "enqueue",
    "mail_notices",
    "pause_endpoint",
    "purge_deliveries",
    "replay",
    "replay_failed",
    "resume_endpoint",
    "rotate_secret",
    "send_test",
    "sweep_due_deliveries",
    "update_endpoint",
]
