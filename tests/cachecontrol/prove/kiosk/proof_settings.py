"""The settings of the kiosk for the proof."""

from cachecontrol.prove.settings import proof_settings

from . import settings

globals().update(proof_settings(vars(settings)))
