"""System checks: each misconfiguration is found and has its id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import django
import pytest
from django.core import checks
from django.db import connection, models

from cachecontrol import checks as ours
from cachecontrol.frontends.querysets import TrackedManager
from catalog.models import Brand

if TYPE_CHECKING:
    from django.core.checks import CheckMessage


def ids(messages: list[CheckMessage]) -> list[str | None]:
    """Return the ids of messages, without those about models that only tests have."""
    return [
        message.id
        for message in messages
        if getattr(message.obj, "__module__", "").partition(".")[0] != "tests"
    ]


def test_this_project_passes_them_all() -> None:
    assert [name for name in ids(checks.run_checks()) if str(name).startswith("cachecontrol")] == []


@pytest.mark.parametrize("index", [1, 3])
def test_the_page_middleware_must_be_the_first(settings: Any, index: int) -> None:
    others = [name for name in settings.MIDDLEWARE if name != ours.FIRST]
    settings.MIDDLEWARE = [*others[:index], ours.FIRST, *others[index:]]
    assert ids(ours.middleware()) == ["cachecontrol.E001"]


def test_the_page_middleware_must_be_there(settings: Any) -> None:
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if name != ours.FIRST]
    assert ids(ours.middleware()) == ["cachecontrol.E001"]


def test_the_debug_toolbar_may_be_before_it(settings: Any) -> None:
    settings.MIDDLEWARE = ["debug_toolbar.middleware.DebugToolbarMiddleware", *settings.MIDDLEWARE]
    assert ours.middleware() == []


def test_a_django_that_was_not_tested_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ours.release_of_django() == []
    monkeypatch.setattr(django, "VERSION", (6, 1, 0, "final", 0))
    (warning,) = ours.release_of_django()
    assert warning.id == "cachecontrol.W005"
    assert "Django 5.2, not 6.1" in warning.msg


def test_the_alias_must_exist_and_be_django_redis(settings: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    assert ids(ours.alias()) == ["cachecontrol.E002"]
    settings.CACHES = {"other": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    assert ids(ours.alias()) == ["cachecontrol.E002"]


def test_the_alias_must_not_ignore_exceptions(settings: Any) -> None:
    caches = settings.CACHES
    options = {**caches["default"]["OPTIONS"], "IGNORE_EXCEPTIONS": True}
    settings.CACHES = {**caches, "default": {**caches["default"], "OPTIONS": options}}
    assert ids(ours.alias()) == ["cachecontrol.E003"]


def test_a_tracked_model_needs_managers_that_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Brand._meta.__dict__, "base_manager", models.Manager())
    Brand._meta.base_manager.model = Brand
    assert ids(ours.models()) == ["cachecontrol.E004"]


def test_a_cached_queryset_needs_a_tracked_model(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.contrib.auth.models import Group

    manager: TrackedManager[Any] = TrackedManager()
    manager.model = Group
    monkeypatch.setitem(Group._meta.__dict__, "default_manager", manager)
    assert ids(ours.models()) == ["cachecontrol.E005"]


@pytest.mark.django_db
def test_missing_and_disabled_triggers_are_named() -> None:
    assert ours.servers(databases=["default"]) == []
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE catalog_brand DISABLE TRIGGER cachecontrol_update")
        cursor.execute("DROP TRIGGER cachecontrol_insert ON catalog_variant")
    (warning,) = ours.servers(databases=["default"])
    assert warning.id == "cachecontrol.W002"
    assert "catalog_brand, catalog_variant" in warning.msg


@pytest.mark.parametrize(
    ("limit", "named"),
    [
        ("SET temp_file_limit = '1 MB'", "this role: 1MB"),
        ("ALTER ROLE CURRENT_USER SET temp_file_limit = '2 MB'", "postgres: 2 MB"),
        ("ALTER ROLE postgres IN DATABASE {} SET temp_file_limit = '3 MB'", "postgres in {}: 3 MB"),
    ],
)
@pytest.mark.django_db
def test_a_limit_of_temporary_files_is_named(limit: str, named: str) -> None:
    """Triggers keep the rows of a statement in temporary files, so that a large one may be refused."""
    name = connection.settings_dict["NAME"]
    with connection.cursor() as cursor:
        cursor.execute(limit.format(name))
        (warning,) = ours.servers(databases=["default"])
        cursor.execute("RESET temp_file_limit")
    assert warning.id == "cachecontrol.W007"
    assert warning.msg.endswith(f"temp_file_limit is {named.format(name)}.")


def test_connections_must_ask_at_startup_for_notices(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ours.notices() == []
    monkeypatch.setitem(settings.DATABASES["default"]["OPTIONS"], "options", "-c geqo=off")
    assert ids(ours.notices()) == ["cachecontrol.W006"]


@pytest.mark.django_db
def test_a_redis_that_does_not_answer_is_a_warning(valkey: Any) -> None:
    valkey.stop()
    try:
        assert ids(ours.servers(databases=["default"])) == ["cachecontrol.W003"]
    finally:
        valkey.start()


@pytest.mark.django_db
def test_old_servers_are_errors(monkeypatch: pytest.MonkeyPatch, redis: Any) -> None:
    monkeypatch.setattr(ours, "OLDEST_POSTGRESQL", 990000)
    monkeypatch.setattr(ours, "OLDEST_VALKEY", (99, 0))
    assert ids(ours.servers(databases=["default"])) == ["cachecontrol.W001", "cachecontrol.W004"]


def test_servers_are_checked_only_with_their_database() -> None:
    assert ours.servers(databases=None) == []
