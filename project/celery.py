"""The Celery application: its worker runs the jobs, its beat calls them."""

import logging
import os
import warnings
from logging.config import dictConfig
from typing import Any

from celery import Celery, signals
from celery.exceptions import SecurityWarning
from django.conf import settings
from django_structlog.celery.steps import DjangoStructLogInitStep

from project import endpoints

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
endpoints.start()

# Celery's command line takes BROKER_URL as it stands, which does not verify certificates; the settings have read it.
os.environ.pop("CELERY_BROKER_URL", None)

# It warns of root because of pickled tasks; ours are JSON, and nothing else is accepted.
warnings.filterwarnings("ignore", category=SecurityWarning)

app = Celery("larder")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.steps["worker"].add(DjangoStructLogInitStep)
app.autodiscover_tasks()


@signals.setup_logging.connect
def _log_as_the_site_does(loglevel: int, **_: Any) -> None:
    """Keep Celery from installing its own handlers and formats; its ``--loglevel`` counts for its own loggers."""
    dictConfig(settings.LOGGING)
    logging.getLogger("celery").setLevel(loglevel)


@app.on_after_finalize.connect
def _schedule(sender: Celery, **_: Any) -> None:
    """Take over the schedule of the jobs; not before, since their tasks need Django to be set up."""
    from cachecontrol import tasks as cache_tasks
    from catalog import tasks as catalog_tasks

    sender.conf.beat_schedule = cache_tasks.BEAT_SCHEDULE | catalog_tasks.BEAT_SCHEDULE
