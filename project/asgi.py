"""The ASGI application, for servers that speak it."""

import os

from django.core.asgi import get_asgi_application

from cachecontrol.api import ASGIFront
from project import celery, endpoints

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
endpoints.start()

__all__ = ["application", "celery"]  # what sends tasks has to know the broker

application = ASGIFront(get_asgi_application())
