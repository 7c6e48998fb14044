"""The Celery application: its worker runs the keepers, its beat calls them."""

import os
import warnings
from typing import Any

from celery import Celery
from celery.exceptions import SecurityWarning
from django_structlog.celery.steps import DjangoStructLogInitStep

from project import services

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
services.use()

# It warns of root because of pickled tasks; ours are JSON, and nothing else is accepted.
warnings.filterwarnings("ignore", category=SecurityWarning)

app = Celery("larder")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.steps["worker"].add(DjangoStructLogInitStep)
app.autodiscover_tasks()


@app.on_after_finalize.connect
def _schedule(sender: Celery, **_: Any) -> None:
    """Take over the keepers' schedule; not before, since their tasks need Django to be set up."""
    from cachecontrol.tasks import BEAT_SCHEDULE

    sender.conf.beat_schedule = BEAT_SCHEDULE
