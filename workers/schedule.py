"""Every periodic job of the product, on one page.

Runs themselves are not scheduled here: each worker sweeps for due ones (`workers.sweeper`).
"""

from __future__ import annotations

from typing import Any

SCHEDULE: dict[str, dict[str, Any]] = {
    "start the runs whose scheduled moment has come": {
        "task": "workers.tasks.start_scheduled_runs",
        "schedule": 5.0,
    },
    "take up documents whose hint or worker was lost": {"task": "workers.tasks.sweep", "schedule": 15.0},
    "take up trainings of routers whose hint or worker was lost": {
        "task": "workers.tasks.sweep_trainings",
        "schedule": 15.0,
    },
    "take up simulations of workflows whose hint or worker was lost": {
        "task": "workers.tasks.sweep_simulations",
        "schedule": 15.0,
    },
    "make companies whose sign-up was interrupted": {
        "task": "workers.tasks.sweep_sign_ups",
        "schedule": 10.0,
    },
    "mail those who answer that a customer waits": {
        "task": "workers.tasks.mail_escalations",
        "schedule": 15.0,
    },
    "tell companies' Slack that a customer waits": {
        "task": "workers.tasks.tell_slack",
        "schedule": 15.0,
    },
    "go on with bulk operations on runs whose hint or worker was lost": {
        "task": "workers.tasks.sweep_bulks",
        "schedule": 15.0,
    },
    "take up exports whose hint or worker was lost": {
        "task": "workers.tasks.sweep_exports",
        "schedule": 15.0,
    },
    "go on with erasures whose hint or worker was lost": {
        "task": "workers.tasks.sweep_erasures",
        "schedule": 15.0,
    },
    "delete companies whose time has come": {"task": "workers.tasks.delete_tenants", "schedule": 300.0},
    "mail owners what happened to their company": {"task": "workers.tasks.mail_notices", "schedule": 15.0},
    "ask companies' own domains for their proof": {"task": "workers.tasks.check_domains", "schedule": 300.0},
    "mail that a webhook endpoint was stopped": {
        "task": "workers.tasks.mail_webhook_notices",
        "schedule": 60.0,
    },
    "count conversations whose silence has lasted long enough": {
        "task": "workers.tasks.settle_silences",
        "schedule": 300.0,
    },
    "mail last week's figures": {"task": "workers.tasks.mail_reports", "schedule": 1800.0},
    "make the months' partitions ahead of time": {
        "task": "workers.tasks.ensure_partitions",
        "schedule": 86_400.0,
    },
    "finalise invoices": {"task": "workers.tasks.finalise_invoices", "schedule": 300.0},
    "remind of trials and end them": {"task": "workers.tasks.follow_trials", "schedule": 300.0},
    "raise and mail quota alerts": {"task": "workers.tasks.check_quotas", "schedule": 300.0},
    "compare figures and invoices with the raw events": {
        "task": "workers.tasks.check_figures",
        "schedule": 86_400.0,
    },
    "publish the next key that signs tokens": {
        "task": "workers.tasks.rotate_signing_key",
        "schedule": 3600.0,
    },
    "delete what is kept only for a time": {"task": "workers.tasks.purge", "schedule": 3600.0},
}
