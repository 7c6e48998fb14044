"""Settings of another process of the site in this folder, on the servers that its environment names."""

from project.settings import *  # noqa: F403

ROOT_URLCONF = "tests.cachecontrol.site"
WHITENOISE_AUTOREFRESH = True
