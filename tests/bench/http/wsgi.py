"""The WSGI application of a compared web server: only Larder has a front."""

import os

from django.core.wsgi import get_wsgi_application

from cachecontrol.api import WSGIFront
from tests.bench.http.settings import IS_LARDER

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.bench.http.settings")
handler = get_wsgi_application()
application = WSGIFront(handler) if IS_LARDER else handler
