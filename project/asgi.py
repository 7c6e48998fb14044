"""The ASGI application, for servers that speak it."""

import os

from django.core.asgi import get_asgi_application

from project import celery, endpoints

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
endpoints.start()

__all__ = ["application", "celery"]  # what sends tasks has to know the broker

application = get_asgi_application()
