"""The settings of the proven processes, which are those of a project with a few differences.

A project has a module for them, which ``DJANGO_SETTINGS_MODULE`` names::

    from cachecontrol.prove.settings import proof_settings
    from mysite import settings

    globals().update(proof_settings(vars(settings)))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.conninfo import conninfo_to_dict

from cachecontrol.prove.environment import ProcessEnvironment
from cachecontrol.prove.router import Router

if TYPE_CHECKING:
    from collections.abc import Mapping

APPLICATION = "cachecontrol.prove"
MIDDLEWARE = ["cachecontrol.middleware.CachedPageMiddleware", "django.middleware.common.CommonMiddleware"]


def proof_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a project as the proof needs them: with its own tables, pages and servers.

    Args:
        settings: the variables of the project's settings module; those that are no settings are left out.

    The databases are the one that the cache captures, as ``default``, and the replica of the proof, if there is one.
    """
    environment = ProcessEnvironment.read()
    base = {name: value for name, value in settings.items() if name.isupper()}
    cache = base.get("CACHECONTROL", {})
    database = base["DATABASES"][cache.get("DATABASE", "default")]
    replicas = {"replica": _replica(database, environment.replica_url)} if environment.replica_url else {}
    lag = {"MAX_LAG": environment.max_lag, "DATABASE": "default", "REPLICAS": tuple(replicas)}
    return {
        **base,
        "INSTALLED_APPS": [*base["INSTALLED_APPS"], APPLICATION],
        "ROOT_URLCONF": f"{APPLICATION}.urls",
        "MIDDLEWARE": MIDDLEWARE,
        "ALLOWED_HOSTS": ["127.0.0.1"],
        "DATABASES": {"default": database, **replicas},
        "DATABASE_ROUTERS": [Router()] if replicas else [],
        "CACHES": _caches(base["CACHES"], cache.get("ALIAS", "default"), environment.redis_url),
        "CACHECONTROL": {**cache, **lag},
    }


def _replica(primary: dict[str, Any], url: str) -> dict[str, Any]:
    """Return the primary's settings with the server of another URL."""
    parts = conninfo_to_dict(url)
    names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    return {**primary, **{name: str(parts.get(part) or "") for name, part in names.items()}}


def _caches(caches: dict[str, Any], alias: str, redis_url: str) -> dict[str, Any]:
    """Return CACHES with another location of the cache's alias, if ``redis_url`` is one."""
    return {**caches, alias: {**caches[alias], "LOCATION": redis_url}} if redis_url else caches
