"""The settings of the kiosk for the proof."""

from kiosk import settings  # type: ignore[import-not-found]  # tests run a copy of this folder

from cachecontrol.prove.settings import proof_settings

globals().update(proof_settings(vars(settings)))
