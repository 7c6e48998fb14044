"""System checks: each misconfiguration has an id and a hint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import django
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, Warning

from cachecontrol.conf import conf
from cachecontrol.core import registry
from cachecontrol.dependencies import trusted_classes

if TYPE_CHECKING:
    from django.db.models import Model

FIRST = "cachecontrol.middleware.CachedPageMiddleware"
MAY_PRECEDE = frozenset({"debug_toolbar.middleware.DebugToolbarMiddleware"})
"""Middleware that changes no response that visitors get: it is used in development only."""
OLDEST_POSTGRESQL = 140000
OLDEST_REDIS, OLDEST_VALKEY = (7, 0), (7, 2)


def register() -> None:
    """Register every check of this application."""
    checks.register(middleware, Tags.compatibility)
    checks.register(alias, Tags.caches)
    checks.register(notices, Tags.compatibility)
    checks.register(models, Tags.models)
    checks.register(release_of_django, Tags.compatibility)
    checks.register(servers, Tags.database)


def middleware(**_: Any) -> list[CheckMessage]:
    """E001: the page middleware is not the first, or missing."""
    before = settings.MIDDLEWARE[: settings.MIDDLEWARE.index(FIRST)] if FIRST in settings.MIDDLEWARE else None
    if before is not None and set(before) <= MAY_PRECEDE:
        return []
    text = "CachedPageMiddleware is not the first middleware, so that pages are not hermetic."
    return [Error(text, f"Put {FIRST!r} at the head of MIDDLEWARE.", id="cachecontrol.E001")]


def alias(**_: Any) -> list[CheckMessage]:
    """E002 and E003: the alias of Redis is missing or not django-redis, or it ignores exceptions."""
    caches: dict[str, dict[str, Any]] = settings.CACHES
    cache = caches.get(conf.alias)
    if cache is None or not str(cache["BACKEND"]).startswith("django_redis."):
        hint = "Define it in CACHES with the backend django_redis.cache.RedisCache."
        return [Error(f"CACHES has no django-redis alias {conf.alias!r}.", hint, id="cachecontrol.E002")]
    default = getattr(settings, "DJANGO_REDIS_IGNORE_EXCEPTIONS", False)
    if not cache.get("OPTIONS", {}).get("IGNORE_EXCEPTIONS", default):
        return []
    text = f"The alias {conf.alias!r} ignores exceptions, so that lost moves are not noticed."
    hint = "Remove IGNORE_EXCEPTIONS from this alias; the cache has a breaker of its own."
    return [Error(text, hint, id="cachecontrol.E003")]


def notices(**_: Any) -> list[CheckMessage]:
    """W006: connections to the primary do not enable notices of their writes at startup."""
    from cachecontrol.postgres.sessions import NOTICE_OPTION

    options = settings.DATABASES.get(conf.database, {}).get("OPTIONS", {})
    if NOTICE_OPTION in str(options.get("options", "")):
        return []
    hint = (
        f"Add {NOTICE_OPTION!r} to 'options' in its OPTIONS. Silence this check behind a pooler that refuses it:"
        " a statement asks then, which a function may reset."
    )
    text = f"Connections to {conf.database!r} do not ask at startup to be told of their writes."
    return [Warning(text, hint, id="cachecontrol.W006")]


def models(**_: Any) -> list[CheckMessage]:
    """E004 and E005: a tracked model has a manager that does not report, or an untracked model has one that caches."""
    from django.apps import apps

    return [message for model in apps.get_models() for message in _managers(model)]


def _managers(model: type[Model]) -> list[CheckMessage]:
    from cachecontrol.frontends.querysets import TrackedQuerySet

    is_tracked, label = registry.find(model._meta.db_table) is not None, model._meta.label
    managers = model._default_manager, model._base_manager
    reports = [isinstance(manager.get_queryset(), TrackedQuerySet) for manager in managers]
    if is_tracked and not model._meta.auto_created and not all(reports):
        text = f"Queries of the tracked model {label} do not report."
        hint = "Give it objects = TrackedManager() and Meta.base_manager_name = 'objects'."
        return [Error(text, hint, obj=model, id="cachecontrol.E004")]
    if not is_tracked and any(reports):
        text = f"{label} has cached querysets and is not tracked."
        hint = "Decorate the model with @track(), or give it another manager."
        return [Error(text, hint, obj=model, id="cachecontrol.E005")]
    return []


def release_of_django(**_: Any) -> list[CheckMessage]:
    """W005: the classes of this release of Django were not reviewed, so that they may write other SQL."""
    if django.VERSION[:2] in trusted_classes.TESTED_DJANGO:
        return []
    tested = ", ".join(".".join(map(str, release)) for release in trusted_classes.TESTED_DJANGO)
    text = (
        f"The tags of queries were tested with Django {tested}, not {'.'.join(map(str, django.VERSION[:2]))}."
    )
    hint = f"Use Django {tested}, or turn the cache off (ENABLED) until this release was reviewed."
    return [Warning(text, hint, id="cachecontrol.W005")]


def servers(*, databases: Any = None, **_: Any) -> list[CheckMessage]:
    """W001 to W004 and W007: old servers, triggers not in order, silent Redis, large writes. Runs with ``--database``."""
    if conf.database not in (databases or ()):
        return []
    return [*_postgresql(), *_redis()]


def _postgresql() -> list[CheckMessage]:
    from django.db import connections
    from django.db.utils import DatabaseError

    from cachecontrol.postgres import temporary_files, triggers

    connection = connections[conf.database]
    try:
        version = connection.pg_version  # type: ignore[attr-defined]
        bare = triggers.tables_without_triggers(connection)
    except DatabaseError:
        return []  # not reachable or not migrated, which Django's own checks report
    if version < OLDEST_POSTGRESQL:
        hint = "Use PostgreSQL 14 or later."
        return [Error(f"PostgreSQL {version // 10000} is too old.", hint, id="cachecontrol.W001")]
    return [*_triggers(bare), *_large_writes(temporary_files.limits(connection))]


def _triggers(tables_without: list[str]) -> list[CheckMessage]:
    if not tables_without:
        return []
    text = f"Triggers are missing, disabled or not set to ALWAYS on: {', '.join(tables_without)}."
    return [Warning(text, "Run manage.py migrate.", id="cachecontrol.W002")]


def _large_writes(limits: list[str]) -> list[CheckMessage]:
    if not limits:
        return []
    hint = "Raise temp_file_limit or work_mem, or change fewer rows in one statement."
    text = f"A statement that changes very many rows may be refused: temp_file_limit is {', '.join(limits)}."
    return [Warning(text, hint, id="cachecontrol.W007")]


def _redis() -> list[CheckMessage]:
    from cachecontrol.exceptions import StoreDown
    from cachecontrol.redis import server_state

    try:
        name, version = server_state.version()
    except StoreDown as error:
        text, hint = f"Redis does not answer: {error}", "Nothing is cached until it does."
        return [Warning(text, hint, id="cachecontrol.W003")]
    if version < (OLDEST_VALKEY if name == "valkey" else OLDEST_REDIS):
        hint = "Use Redis 7.0 or Valkey 7.2 or later."
        return [Error(f"{name} {'.'.join(map(str, version))} is too old.", hint, id="cachecontrol.W004")]
    return []
