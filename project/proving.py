"""The settings of this project for the proof."""

from cachecontrol.prove.settings import proof_settings
from project import settings
from project.settings import *  # noqa: F403  # mypy reads their names and types here

globals().update(proof_settings(vars(settings)))
