"""The WSGI application that the production server runs."""

import os

from django.core.wsgi import get_wsgi_application

from project import celery, services

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
services.use()

__all__ = ["application", "celery"]  # what sends tasks has to know the broker

application = get_wsgi_application()
