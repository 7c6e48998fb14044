"""Settings of another process of the site in this folder, on the servers that its environment names."""

from project.settings import *  # noqa: F403
from project.settings import CACHECONTROL, CACHES, INSTALLED_APPS
from tests import patience

# The models are those of the tests: processes that know other columns have other keys.
INSTALLED_APPS = [*INSTALLED_APPS, "tests.shelf", "tests.library"]
ROOT_URLCONF = "tests.cachecontrol.site"
WHITENOISE_AUTOREFRESH = True
CACHES["default"]["OPTIONS"] |= patience.REDIS
CACHECONTROL = {**CACHECONTROL, **patience.CACHE}
