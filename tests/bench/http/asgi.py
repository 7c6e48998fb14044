"""The ASGI application of Larder."""

import os

from django.core.asgi import get_asgi_application

from cachecontrol.api import ASGIFront

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.bench.http.settings")
application = ASGIFront(get_asgi_application())
