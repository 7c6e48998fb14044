"""The pages of the proof for the production server."""

from cachecontrol.prove import process_main

application = process_main.application()
