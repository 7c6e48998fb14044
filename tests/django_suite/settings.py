"""Settings that Django's own tests expect, on servers of this run's own, which vanish with it."""

import os
import tempfile
from pathlib import Path

from project import environment
from project.local import services
from project.local.postgres import Postgres
from project.local.valkey import Valkey

HOME = Path(os.environ.get("LARDER_SUITE_HOME") or tempfile.mkdtemp(prefix="larder-suite-"))
os.environ["LARDER_SUITE_HOME"] = str(HOME)
postgres = Postgres(
    HOME / "postgres",
    settings={"fsync": "off", "full_page_writes": "off", "max_locks_per_transaction": "1024"},
)
valkey = Valkey(HOME / "valkey")
services.use([postgres, valkey], home=HOME, remove=True)

DATABASES = {alias: environment.database(postgres.url) for alias in ("default", "other")}
DATABASES["other"]["TEST"] = {"NAME": "test_other"}
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": environment.redis(valkey.url),
        "OPTIONS": {"SOCKET_CONNECT_TIMEOUT": 2, "SOCKET_TIMEOUT": 5},
    }
}
CACHECONTROL = {"ENABLED": os.environ.get("LARDER_SUITE_MODE") == "cached", "DRAIN_TIMEOUT": 10.0}
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sites",
    "django.contrib.sessions",
    "cachecontrol",
    *filter(None, [os.environ.get("LARDER_SUITE")]),
]
MIGRATION_MODULES = {"auth": None, "contenttypes": None, "sites": None, "sessions": None}
SECRET_KEY = "django_tests_secret_key"
SITE_ID = 1
USE_TZ = False
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
SILENCED_SYSTEM_CHECKS = ["fields.W342", "fields.W903"]
LOGGING = {"version": 1, "disable_existing_loggers": False, "loggers": {"cachecontrol": {"level": "ERROR"}}}
