"""The settings that mypy's plugin for Django reads: those of the proof and all applications of tests. They start no servers."""

from project.local.folders import BASE_DIR  # noqa: F401 (tests read it from the settings)
from project.proving import *  # noqa: F403
from project.proving import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.shelf", "tests.library", "tests.bench"]
