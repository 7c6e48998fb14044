"""The settings of the kiosk for the proof."""

from kiosk import settings

from cachecontrol.prove.settings import proof_settings

globals().update(proof_settings(vars(settings)))
