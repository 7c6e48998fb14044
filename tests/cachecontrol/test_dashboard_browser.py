"""The dashboard in a browser: accessible in light and dark, within its CSP, on narrow screens, live and paused by keyboard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from cachecontrol.stats import recording
from tests.cachecontrol.page_recipes import page_recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.contrib.auth.models import User
    from django.test import Client
    from playwright.sync_api import BrowserContext, Page
    from pytest_django.live_server_helper import LiveServer
    from redis import Redis

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WATCH_CSP = "window.violations = []; addEventListener('securitypolicyviolation', e => violations.push(e.violatedDirective))"


@pytest.fixture
def dashboard(
    live_server: LiveServer, client: Client, operator: User, redis: Redis, page: Page
) -> Callable[..., Page]:
    """Open the dashboard as an operator, with some reads recorded."""
    for number in range(20):
        recording.record_read(
            "catalog.product_page", "hit", "", 0.0004, key="k", recipe=page_recipe("/p/lamp/")
        )
        recording.record_read(
            "catalog.search", "hit" if number % 3 else "miss", "" if number % 3 else "absent", 0.02
        )
    recording.record_refusal("catalog.search", "uncovered", "SELECT 1 FROM somewhere")
    recording.flush()
    client.force_login(operator)
    page.context.add_cookies(
        [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}]
    )
    page.add_init_script(WATCH_CSP)

    def open_dashboard(*, width: int = 1280, scheme: Literal["light", "dark"] = "light") -> Page:
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme)
        page.goto(f"{live_server.url}/admin/cache/")
        page.get_by_text("Live", exact=True).wait_for()
        return page

    return open_dashboard


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_accessibility_or_csp_violations(dashboard: Callable[..., Page], scheme: str) -> None:
    page = dashboard(scheme=scheme)
    page.locator("summary").first.click()
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    assert page.evaluate("violations") == []


def test_charts_are_drawn_and_their_tables_open(dashboard: Callable[..., Page]) -> None:
    page = dashboard()
    expect(page.locator("[data-chart] canvas")).to_have_count(4)
    figure = page.locator("figure", has_text="Hit rate by policy")
    figure.locator("summary").click()
    expect(figure.get_by_role("columnheader", name="catalog.search")).to_be_visible()


@pytest.mark.parametrize("width", [320, 390, 768])
def test_a_narrow_screen_does_not_scroll_sideways(dashboard: Callable[..., Page], width: int) -> None:
    page = dashboard(width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_new_reads_appear_by_themselves_and_pausing_by_keyboard_holds(dashboard: Callable[..., Page]) -> None:
    page = dashboard()
    summary = page.locator("[data-section=summary]")
    for _ in range(100):
        recording.record_read("catalog.product_page", "hit", "", 0.0004)
    recording.flush()
    summary.get_by_text("140", exact=True).wait_for()
    page.get_by_role("button", name="Pause").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Paused at")).to_be_visible()
    recording.record_read("catalog.product_page", "hit", "", 0.0004)
    recording.flush()
    page.wait_for_timeout(2500)
    assert summary.get_by_text("140", exact=True).is_visible()
    page.keyboard.press("Enter")
    summary.get_by_text("141", exact=True).wait_for()


def test_the_page_says_when_the_server_stopped_answering(dashboard: Callable[..., Page]) -> None:
    page = dashboard()
    page.route(
        "**/data.json*",
        lambda route: route.fulfill(status=200, content_type="application/json", body="half of"),
    )
    page.get_by_text("No answer since").wait_for()


def test_it_works_without_scripts(
    context: Callable[..., BrowserContext],
    live_server: LiveServer,
    dashboard: Callable[..., Page],
    client: Client,
) -> None:
    plain = context(java_script_enabled=False)
    plain.add_cookies(
        [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}]
    )
    page = plain.new_page()
    page.goto(f"{live_server.url}/admin/cache/")
    page.get_by_label("Policy", exact=True).select_option("catalog.search")
    page.get_by_role("button", name="Show").click()
    page.locator("figure", has_text="Hit rate").first.locator("summary").click()
    expect(page.get_by_role("rowheader", name="catalog.search")).to_be_visible()
    expect(page.get_by_role("button", name="Pause")).to_be_hidden()
