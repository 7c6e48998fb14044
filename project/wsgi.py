"""The WSGI application that the production server runs."""

import os
import signal


def _end_at_once_while_starting() -> None:
    """Let a granian worker obey signals while it loads the application, which takes a second or more.

    It is forked with the handlers of its parent, which only note that the server shall end, and installs its own
    after loading.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if getattr(signal.getsignal(number), "__module__", "").startswith("granian."):
            signal.signal(number, signal.SIG_DFL)


_end_at_once_while_starting()

from django.core.wsgi import get_wsgi_application  # noqa: E402

from cachecontrol.api import WSGIFront  # noqa: E402
from project import celery, endpoints  # noqa: E402

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
endpoints.start()

__all__ = ["application", "celery"]  # what sends tasks has to know the broker

application = WSGIFront(get_wsgi_application())
