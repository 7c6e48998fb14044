"""What all tests share: the servers of this worker, and a browser."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from django.utils import translation
from redis import Redis
from redis.connection import AbstractConnection

from cachecontrol.core import registry
from cachecontrol.drain import catch_up
from cachecontrol.drain.runner import runner
from cachecontrol.frontends.known_pages import known_pages
from cachecontrol.postgres import read_point
from cachecontrol.redis import redis_client
from tests import settings as test_settings
from tests.front_client import FrontHandler
from tests.patience import LONG
from tests.slow import is_slow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

    from project.local.valkey import Valkey

# How long an example takes says nothing on a busy machine.
hypothesis.settings.register_profile(
    "larder", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("larder")

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium() -> str | None:
    """Return the path of this machine's Chromium, or of the one that CHROMIUM names."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUMS)), None)


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark slow tests. Skip what needs a Chromium that is not there, unless LARDER_REQUIRE_BROWSER says that it has to be."""
    for item in filter(is_slow, items):
        item.add_marker("slow")
    if chromium() or os.environ.get("LARDER_REQUIRE_BROWSER") == "1":
        return
    for item in items:
        if item.get_closest_marker("browser") or "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.skip(reason="no Chromium on this machine"))


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> Iterator[None]:
    """The test database, which cannot be dropped while the drain is connected to it."""
    yield
    runner.close()


@pytest.fixture(scope="session")
def valkey() -> Valkey:
    """This worker's Valkey server: tests may flush, stop, start and freeze it, and leave it running."""
    return test_settings.valkey


@pytest.fixture(autouse=True)
def closed_breaker() -> None:
    """Each test asks Redis and drains, whatever the test before it did to the servers."""
    for breaker in (redis_client.breaker, redis_client.memory_breaker, catch_up.breaker, read_point.breaker):
        breaker.answered()


@pytest.fixture(autouse=True)
def own_language() -> None:
    """Each test begins in the site's language, whatever the last visitor of the test before it spoke."""
    translation.deactivate()


@pytest.fixture(autouse=True)
def whole_schema() -> None:
    """Each test's keys name all columns that the code knows, whatever tables the test before it took away."""
    registry.schema.cache_clear()


@pytest.fixture
def redis(valkey: Valkey) -> Iterator[Redis]:
    """A client of this worker's Valkey, empty before and after the test."""
    valkey.start()
    with Redis.from_url(valkey.url) as client:
        client.flushall()
        yield client
        valkey.start()
        client.flushall()


@pytest.fixture(params=["handler", "front"])
def each_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let test clients ask Django's handler, and in a second run the front before it, which knows each page after one request."""
    way: str = request.param
    if way == "front":
        known_pages.clear()
        monkeypatch.setattr("django.test.client.ClientHandler", FrontHandler)
    return way


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that this thread sends to Redis; statistics have a thread of their own."""
    sent: list[str] = []
    send: Any = AbstractConnection.send_command
    here = threading.current_thread()

    def note(line: AbstractConnection, *arguments: Any, **options: Any) -> Any:
        if threading.current_thread() is here:
            sent.append(arguments[0])
        return send(line, *arguments, **options)

    monkeypatch.setattr(AbstractConnection, "send_command", note)
    return sent


@pytest.fixture
def library(redis: Redis, transactional_db: None) -> None:
    """A filled library and an empty Redis. Mark the test with ``shelf.committed``: it commits, and empties the library."""
    from tests.library import shelf

    shelf.fill()


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty folder for servers or a checkout of a test's own, which other users may pass through."""
    folder = Path(tempfile.mkdtemp(prefix="larder-home-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium of this machine."""
    from playwright.sync_api import expect, sync_playwright

    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # Playwright's loop runs in the thread of the tests
    path = chromium()
    assert path, "LARDER_REQUIRE_BROWSER is set and no Chromium was found"
    with sync_playwright() as playwright:
        expect.set_options(timeout=1000 * LONG)
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"], timeout=1000 * LONG)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Opens contexts of the browser, which are closed at the end."""
    opened: list[BrowserContext] = []

    def open_one(**options: Any) -> BrowserContext:
        opened.append(browser.new_context(**options))
        opened[-1].set_default_timeout(1000 * LONG)
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


@pytest.fixture
def page(context: Callable[..., BrowserContext]) -> Iterator[Page]:
    """A fresh page of the browser, in a context of its own; errors on its console fail the test."""
    page = context().new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.context.close()
    assert not errors, errors
