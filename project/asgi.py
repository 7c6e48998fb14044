"""The ASGI application, for servers that speak it."""

import os

from django.core.asgi import get_asgi_application

from project import services

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
services.use()

application = get_asgi_application()
