"""System checks: a misconfiguration has an id and a hint."""

from __future__ import annotations

from typing import Any

import django
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, Warning

from cachecontrol.conf import conf
from cachecontrol.core import registry
from cachecontrol.dependencies import trusted_classes

FIRST = "cachecontrol.middleware.CachedPageMiddleware"
MAY_PRECEDE = frozenset({"debug_toolbar.middleware.DebugToolbarMiddleware"})
"""Middleware that only looks at responses, and only in development."""
OLDEST_POSTGRESQL = 140000
OLDEST_REDIS, OLDEST_VALKEY = (7, 0), (7, 2)


def register() -> None:
    """Register every check of this application."""
    checks.register(middleware, Tags.compatibility)
    checks.register(alias, Tags.caches)
    checks.register(asking, Tags.compatibility)
    checks.register(models, Tags.models)
    checks.register(release_of_django, Tags.compatibility)
    checks.register(servers, Tags.database)


def middleware(**_: Any) -> list[CheckMessage]:
    """E001: the page middleware does not stand first."""
    before = settings.MIDDLEWARE[: settings.MIDDLEWARE.index(FIRST)] if FIRST in settings.MIDDLEWARE else None
    if before is not None and set(before) <= MAY_PRECEDE:
        return []
    hint = f"Put {FIRST!r} at the head of MIDDLEWARE."
    return [
        Error(
            "CachedPageMiddleware does not stand first, so that pages are not hermetic.",
            hint,
            id="cachecontrol.E001",
        )
    ]


def alias(**_: Any) -> list[CheckMessage]:
    """E002: the Redis alias is missing, not django-redis, or swallows exceptions."""
    caches: dict[str, dict[str, Any]] = settings.CACHES
    options = caches.get(conf.alias)
    if options is None or not str(options["BACKEND"]).startswith("django_redis."):
        hint = "Define it in CACHES with the backend django_redis.cache.RedisCache."
        return [Error(f"CACHES has no django-redis alias {conf.alias!r}.", hint, id="cachecontrol.E002")]
    swallows = options.get("OPTIONS", {}).get(
        "IGNORE_EXCEPTIONS", getattr(settings, "DJANGO_REDIS_IGNORE_EXCEPTIONS", False)
    )
    if swallows:
        hint = "Remove IGNORE_EXCEPTIONS from this alias; the cache has a breaker of its own."
        return [
            Error(
                f"The alias {conf.alias!r} swallows exceptions, so that lost moves go unseen.",
                hint,
                id="cachecontrol.E003",
            )
        ]
    return []


def asking(**_: Any) -> list[CheckMessage]:
    """W006: connections to the primary do not enable notices of their writes at startup."""
    from cachecontrol.postgres.sessions import NOTICE_OPTION

    options = settings.DATABASES.get(conf.database, {}).get("OPTIONS", {})
    if NOTICE_OPTION in str(options.get("options", "")):
        return []
    hint = (
        f"Add {NOTICE_OPTION!r} to 'options' in its OPTIONS. Silence this check behind a pooler that refuses it:"
        " a statement asks then, which a function may reset."
    )
    return [
        Warning(
            f"Connections to {conf.database!r} do not ask at startup to be told of their writes.",
            hint,
            id="cachecontrol.W006",
        )
    ]


def models(**_: Any) -> list[CheckMessage]:
    """E004 and E005: a manager of a tracked model does not report, or a cached queryset could be over an untracked model."""
    from django.apps import apps

    from cachecontrol.frontends.querysets import TrackedQuerySet

    found: list[CheckMessage] = []
    for model in apps.get_models():
        is_tracked = registry.find(model._meta.db_table) is not None
        managers = model._default_manager, model._base_manager
        reports = [isinstance(manager.get_queryset(), TrackedQuerySet) for manager in managers]
        if is_tracked and not model._meta.auto_created and not all(reports):
            hint = "Give it objects = TrackedManager() and Meta.base_manager_name = 'objects'."
            found.append(
                Error(
                    f"Queries of the tracked model {model._meta.label} do not report.",
                    hint,
                    obj=model,
                    id="cachecontrol.E004",
                )
            )
        if not is_tracked and any(reports):
            hint = "Decorate the model with @track(), or give it another manager."
            found.append(
                Error(
                    f"{model._meta.label} has cached querysets and is not tracked.",
                    hint,
                    obj=model,
                    id="cachecontrol.E005",
                )
            )
    return found


def release_of_django(**_: Any) -> list[CheckMessage]:
    """W005: a release of Django whose classes were not reviewed, so that they may write other SQL."""
    if django.VERSION[:2] in trusted_classes.TESTED_DJANGO:
        return []
    tested = ", ".join(".".join(map(str, release)) for release in trusted_classes.TESTED_DJANGO)
    found = ".".join(map(str, django.VERSION[:2]))
    hint = f"Use Django {tested}, or turn the cache off (ENABLED) until this release was looked at."
    return [
        Warning(
            f"What queries depend on was tested with Django {tested}, not {found}.",
            hint,
            id="cachecontrol.W005",
        )
    ]


def servers(*, databases: Any = None, **_: Any) -> list[CheckMessage]:
    """W001 to W004 and W007: servers too old, triggers not in order, Redis silent, large writes. Runs with ``--database``."""
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
        return []  # not reachable or not migrated: Django's own checks say so
    if version < OLDEST_POSTGRESQL:
        hint = "Use PostgreSQL 14 or later."
        return [Error(f"PostgreSQL {version // 10000} is too old.", hint, id="cachecontrol.W001")]
    return [*_bare(bare), *_limited(temporary_files.limits(connection))]


def _bare(relations: list[str]) -> list[CheckMessage]:
    if not relations:
        return []
    hint = "Run manage.py migrate."
    text = f"Triggers are missing, disabled or not set to ALWAYS on: {', '.join(relations)}."
    return [Warning(text, hint, id="cachecontrol.W002")]


def _limited(limits: list[str]) -> list[CheckMessage]:
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
        return [
            Warning(
                f"Redis does not answer: {error}", "Nothing is cached until it does.", id="cachecontrol.W003"
            )
        ]
    if version < (OLDEST_VALKEY if name == "valkey" else OLDEST_REDIS):
        hint = "Use Redis 7.0 or Valkey 7.2 or later."
        return [Error(f"{name} {'.'.join(map(str, version))} is too old.", hint, id="cachecontrol.W004")]
    return []
