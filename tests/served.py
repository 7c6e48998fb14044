"""Settings of the product's own processes in tests: production, but for static files, which nobody collected here."""

import os

from project.local.folders import VAR
from project.settings import *  # noqa: F403
from project.settings import CACHECONTROL, CACHES, STORAGES
from tests import patience

ROOT_URLCONF = "tests.served_urls"
STORAGES = {**STORAGES, "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
WHITENOISE_AUTOREFRESH = True
CACHES["default"]["OPTIONS"] |= patience.REDIS
CACHECONTROL = {**CACHECONTROL, **patience.CACHE}
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR / f"test-beat-{os.getpid()}")
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # as in tests.settings
