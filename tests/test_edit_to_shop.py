"""The whole path in a browser: staff change a price in the admin, and the shopper's next look shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.catalog import factories

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from playwright.sync_api import Page
    from pytest_django.live_server_helper import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis")]


def visited(page: Page, url: str) -> str:
    """Go there; what the cache says of it."""
    answer = page.goto(url)
    assert answer is not None
    return answer.headers["cache-status"]


def test_a_price_changed_in_the_admin_is_what_the_shop_shows_next(
    live_server: LiveServer, page: Page, admin_user: User
) -> None:
    pan = factories.product("Iron pan", path="Kitchen/Pans", price="40.10")
    shop, listing = f"{live_server.url}/p/{pan.slug}/", f"{live_server.url}/c/kitchen/"
    for url in (shop, listing):
        assert "stored" in visited(page, url)
        assert "€40.10" in page.inner_text("main")
        assert visited(page, url) == "larder; hit"

    page.goto(f"{live_server.url}/admin/login/?next=/admin/catalog/product/{pan.pk}/change/")
    page.fill("#id_username", admin_user.username)
    page.fill("#id_password", "password")
    page.click("[type=submit]")
    page.fill("#id_price", "34.50")
    page.click("[name=_save]")
    assert "was changed successfully" in page.inner_text(".messagelist")

    for url in (shop, listing):
        assert "hit" not in visited(page, url)
        assert "€34.50" in page.inner_text("main")
        assert "€40.10" not in page.inner_text("main")
