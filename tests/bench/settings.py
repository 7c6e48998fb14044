"""The project on servers of the bench's own, as durable as in production, which vanish with it.

``BENCH_PEER`` puts another cache library in our place, for context: ``cachalot`` or ``cacheops``.
"""

import os
import tempfile
from pathlib import Path

from project import environment
from project.local import services
from project.local.postgres import Postgres
from project.local.valkey import Valkey

HOME = Path(os.environ.get("LARDER_BENCH_HOME") or tempfile.mkdtemp(prefix="larder-bench-"))
PEER = os.environ.get("BENCH_PEER", "")
postgres, valkey = Postgres(HOME / "postgres"), Valkey(HOME / "valkey")

os.environ["LARDER_BENCH_HOME"] = str(HOME)
os.environ["DATABASE_URL"], os.environ["REDIS_URL"] = postgres.url, valkey.url
os.environ["LOCAL"] = "1"
os.environ["LOG_LEVEL"] = "ERROR"
services.use([postgres, valkey], home=HOME, remove=True)

from project.settings import *  # noqa: E402, F403
from project.settings import CACHES, DATABASES, INSTALLED_APPS  # noqa: E402

INSTALLED_APPS = [*INSTALLED_APPS, "tests.bench", *([PEER] if PEER else [])]
ROOT_URLCONF = "tests.bench.urls"
ALLOWED_HOSTS = ["*"]
# The same database, seen by connections that do not ask to be told of their writes: triggers run, nobody drains.
DATABASES["silent"] = environment.database(postgres.url, behind_pooler=True) | {"TEST": {"MIRROR": "default"}}
# Pages of Django's own cache are pickled responses, as by default.
CACHES["pages"] = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": valkey.url}
CACHALOT_CACHE = "pages"
CACHEOPS_REDIS = valkey.url.replace("?db=0", "?db=3")
CACHALOT_ONLY_CACHABLE_TABLES = {"bench_peer", "bench_peerpart", "bench_peermaker"}
CACHEOPS = {f"bench.{model}": {"ops": "all", "timeout": 3600} for model in ("peer", "peerpart", "peermaker")}
