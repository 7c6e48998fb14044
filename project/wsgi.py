"""The WSGI application that the production server runs."""

import os

from django.core.wsgi import get_wsgi_application

from project import services

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
services.use()

application = get_wsgi_application()
