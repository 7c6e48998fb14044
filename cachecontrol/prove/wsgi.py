"""The pages of the proof for the production server."""

from cachecontrol.prove import entry

application = entry.application()
