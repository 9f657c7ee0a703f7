"""The Celery application; tasks are the doorways in `workers.tasks`."""

import os
from pathlib import Path

from celery import Celery
from celery.signals import worker_ready
from django.conf import settings

from workers.schedule import SCHEDULE

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aiaas.settings.local")
app = Celery("aiaas")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.beat_schedule = SCHEDULE
app.autodiscover_tasks(["workers"])
app.set_default()  # also in threads that did not import this


@worker_ready.connect
def tell_supervisor(**_: object) -> None:
    """Touch the file by which `manage.py up` sees that the worker takes tasks."""
    from aiaas.observability.pulse import start_pulse

    start_pulse("worker")
    if settings.READY_FILE:
        Path(settings.READY_FILE).touch()
