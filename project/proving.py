"""The project as the proof runs it: with the proof's own tables and pages, and nothing of the shop."""

from project import environment
from project.settings import *  # noqa: F403
from project.settings import DATABASES, INSTALLED_APPS, env

INSTALLED_APPS = [*INSTALLED_APPS, "cachecontrol.prove"]
ROOT_URLCONF = "cachecontrol.prove.urls"
MIDDLEWARE = ["cachecontrol.middleware.CachedPageMiddleware", "django.middleware.common.CommonMiddleware"]
ALLOWED_HOSTS = ["127.0.0.1"]
WHITENOISE_AUTOREFRESH = True
REPLICA = env.str("LARDER_PROVE_REPLICA", default="")
if REPLICA:
    DATABASES = {**DATABASES, "replica": environment.database(REPLICA)}
    DATABASE_ROUTERS = ["cachecontrol.prove.router.Router"]
CACHECONTROL = {
    "MAX_LAG": env.float("LARDER_PROVE_MAX_LAG", default=2.0),
    "REPLICAS": ("replica",) if REPLICA else (),
}
