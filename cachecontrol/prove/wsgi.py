"""The WSGI application of the proof's pages, for the web server."""

from cachecontrol.prove import process_main

application = process_main.application()
