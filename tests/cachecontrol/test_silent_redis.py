"""Commands end with one clear line and exit code 1 where Redis does not answer, from the beginning or from the middle on."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import execute_from_command_line
from django.db.models import Value
from django.db.models.functions import Concat

from cachecontrol.drain import runner
from cachecontrol.frontends import pages, recipes
from cachecontrol.models import JobRun
from cachecontrol.prove.processes import suspended
from cachecontrol.redis import protocol, redis_client
from cachecontrol.stats import recording
from catalog.models import Brand
from tests.shelf.staging import staged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.test import Client
    from redis import Redis

    from project.local.valkey import Valkey

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.cachecontrol.site")]

COMMANDS = {
    "reconcile": ["reconcile"],
    "warm": ["warm", "--all"],
    "drain": ["drain", "--once"],
}
MIDDLES = [
    ("reconcile", pages.Page, "ask"),
    ("warm", recipes, "recomputation"),
    ("warm", pages.Page, "ask"),
    ("drain", protocol, "move"),
]
"""Calls that the commands make after Redis answered them, and before they need its next answer."""
PATIENCE = 0.3
"""Seconds that the commands wait for an answer."""


@pytest.fixture(params=["stopped", "hung"])
def fall_silent(
    valkey: Valkey, redis: Redis, settings: Any, request: pytest.FixtureRequest
) -> Iterator[Callable[[], object]]:
    """Returns the act after which Redis answers nobody, by refusing connections or by taking no command."""
    alias = settings.CACHES["default"]
    options = alias["OPTIONS"] | {"SOCKET_TIMEOUT": PATIENCE, "SOCKET_CONNECT_TIMEOUT": PATIENCE}
    location = f"{alias['LOCATION']}&client_name=impatient"  # a pool of its own, with these options
    settings.CACHES = {"default": {**alias, "LOCATION": location, "OPTIONS": options}}
    with ExitStack() as until_the_end:

        def hang() -> None:
            pid = valkey.pid()
            assert pid
            until_the_end.enter_context(suspended(pid))

        yield {"stopped": valkey.stop, "hung": hang}[request.param]


@pytest.fixture
def pages_read(redis: Redis, client: Client) -> None:
    """Two pages that visitors asked for and that are fresh."""
    runner.runner.run()
    for slug in ("acme", "bolt"):
        Brand.objects.create(name=slug.title(), slug=slug)
    for slug in ("acme", "bolt"):
        client.get(f"/brand/{slug}/")
    assert recording.flush()


def run(command: str) -> None:
    execute_from_command_line(["manage.py", *COMMANDS[command], "--skip-checks"])


def assert_reports_silence(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run(command)
    assert end.value.code == 1
    assert "CommandError: Redis does not answer: " in capsys.readouterr().err
    if command != "drain":
        assert "StoreDown" in JobRun.objects.get(name=command).note


@pytest.mark.parametrize("command", COMMANDS)
def test_redis_is_silent_from_the_beginning(
    command: str, pages_read: None, fall_silent: Callable[[], object], capsys: pytest.CaptureFixture[str]
) -> None:
    fall_silent()
    assert_reports_silence(command, capsys)


@pytest.mark.parametrize(("command", "owner", "name"), MIDDLES)
def test_redis_falls_silent_in_the_middle(
    command: str,
    owner: Any,
    name: str,
    pages_read: None,
    fall_silent: Callable[[], object],
    capsys: pytest.CaptureFixture[str],
) -> None:
    if command == "warm":
        Brand.objects.update(name=Concat("name", Value("!")))  # so that warm has pages to fill
    with staged(owner, name, before=fall_silent):
        assert_reports_silence(command, capsys)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_same_command_succeeds_when_redis_answers(command: str, pages_read: None) -> None:
    run(command)
    assert not redis_client.breaker.is_down
