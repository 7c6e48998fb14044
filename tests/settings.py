"""The project's settings on servers of this test run's own, which vanish with it.

One PostgreSQL cluster for the run (``TEST_DATABASE_URL`` names another), in which pytest-django gives each
worker its own database; one Valkey for each worker, which its tests may flush, stop and break.
"""

import os
import tempfile
from pathlib import Path

from project.local import services
from project.local.postgres import Postgres
from project.local.valkey import Valkey
from tests import patience

HOME = Path(os.environ.setdefault("LARDER_TEST_HOME", "") or tempfile.mkdtemp(prefix="larder-test-"))
HOME.chmod(0o755)  # root's PostgreSQL runs as another user
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")
UNSAFE = {
    "fsync": "off",
    "synchronous_commit": "on",
    "full_page_writes": "off",
    "wal_keep_size": "256MB",  # for tests that copy the cluster
}  # the files never outlive the run

valkey = Valkey(HOME / f"valkey-{WORKER}")
postgres = Postgres(HOME / "postgres", settings=UNSAFE)

os.environ["LARDER_TEST_HOME"] = str(HOME)
os.environ["DATABASE_URL"] = os.environ.get("TEST_DATABASE_URL") or postgres.url
os.environ["REDIS_URL"] = valkey.url
os.environ["LOCAL"] = "1"
services.use([valkey] if os.environ.get("TEST_DATABASE_URL") else [postgres, valkey], home=HOME, remove=True)

from project.settings import *  # noqa: E402, F403

INSTALLED_APPS = [*INSTALLED_APPS, "debug_toolbar", "tests.shelf", "tests.library"]  # noqa: F405
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.MD5PasswordHasher"
]  # users are made often, and guarded from nobody
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
    },  # nothing is collected here
}
WHITENOISE_AUTOREFRESH = True  # or it warns of the folder that is not there
CACHES["default"]["OPTIONS"] |= patience.REDIS  # noqa: F405
# Tests that damage what is in Redis expect that Redis is asked; those of the local tier switch it on.
CACHECONTROL = {**CACHECONTROL, **patience.CACHE, "LOCAL_BYTES": 0}  # noqa: F405
