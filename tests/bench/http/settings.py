"""The shop on the servers of the bench, as one of the compared web servers runs it: ``BENCH_CONTESTANT`` says which."""

import os

from tests.bench.settings import *  # noqa: F403
from tests.bench.settings import CACHECONTROL, INSTALLED_APPS, MIDDLEWARE, STORAGES

CONTESTANT = os.environ.get("BENCH_CONTESTANT", "larder")
IS_LARDER = CONTESTANT.startswith("larder")

INSTALLED_APPS = [name for name in INSTALLED_APPS if name != "tests.bench"]
ROOT_URLCONF = "tests.bench.http.urls"
STORAGES = {**STORAGES, "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
WHITENOISE_AUTOREFRESH = True  # or it warns of the folder that is not there
if not IS_LARDER:
    MIDDLEWARE = [name for name in MIDDLEWARE if not name.startswith("cachecontrol.")]
if CONTESTANT == "larder-redis":
    CACHECONTROL = {**CACHECONTROL, "LOCAL_BYTES": 0}
if CONTESTANT in ("cachalot", "cacheops"):
    INSTALLED_APPS = [*INSTALLED_APPS, CONTESTANT]
CACHALOT_ONLY_CACHABLE_TABLES = set()
CACHALOT_ONLY_CACHABLE_APPS = ("catalog",)
CACHEOPS = {"catalog.*": {"ops": "all", "timeout": 3600}}
