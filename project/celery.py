"""The Celery application: its worker runs the keepers, its beat calls them."""

import os

from celery import Celery
from django_structlog.celery.steps import DjangoStructLogInitStep

from project import services

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
services.use()

app = Celery("larder")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.steps["worker"].add(DjangoStructLogInitStep)
app.autodiscover_tasks()
