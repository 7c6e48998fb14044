"""The project as the proof runs it: with the proof's own tables and pages, and nothing of the shop."""

from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS, env

INSTALLED_APPS = [*INSTALLED_APPS, "cachecontrol.prove"]
ROOT_URLCONF = "cachecontrol.prove.urls"
ALLOWED_HOSTS = ["127.0.0.1"]
CACHECONTROL = {"MAX_LAG": env.float("LARDER_PROVE_MAX_LAG", default=2.0)}
WHITENOISE_AUTOREFRESH = True
