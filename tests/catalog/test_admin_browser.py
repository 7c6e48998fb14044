"""The catalog's admin in a browser: it works under the strict CSP, on a phone too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth import get_user_model
from playwright.sync_api import expect

from catalog.models import Category, ProductImage
from tests.catalog import factories

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.test import Client
    from playwright.sync_api import Page
    from pytest_django.live_server_helper import LiveServer
    from redis import Redis

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WATCH_CSP = "window.violations = []; addEventListener('securitypolicyviolation', e => violations.push(e.violatedDirective))"


@pytest.fixture
def admin(
    live_server: LiveServer, client: Client, redis: Redis, page: Page
) -> Iterator[Callable[[str], Page]]:
    """Open a page of the admin as someone who may do everything; a violated policy fails the test."""
    client.force_login(get_user_model().objects.create_superuser("staff", password="secret"))
    page.context.add_cookies(
        [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}]
    )
    page.add_init_script(WATCH_CSP)

    def open_at(path: str) -> Page:
        page.goto(f"{live_server.url}/admin/catalog/{path}")
        return page

    yield open_at
    assert page.evaluate("violations") == []


def test_products_are_filtered_by_a_brand_that_is_searched_for(admin: Callable[[str], Page]) -> None:
    factories.product("Skillet", brand_name="Halden")
    factories.product("Tent", brand_name="Vindur")
    page = admin("product/")
    page.locator(".autocomplete-filter .select2-selection").first.click()
    page.locator(".select2-search__field").fill("hald")
    page.locator(".select2-results__option", has_text="Halden").click()
    page.locator(".autocomplete-filter button").first.click()
    page.wait_for_url("**brand__id__exact=**")
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    page.get_by_role("link", name="Clear", exact=True).click()
    expect(page.locator("#result_list tbody tr")).to_have_count(2)


def test_a_price_is_edited_and_a_variant_added(admin: Callable[[str], Page]) -> None:
    product = factories.product("Skillet", brand_name="Halden", sizes={"20 cm": 1})
    ProductImage.objects.create(product=product, alt="Skillet")
    page = admin(f"product/{product.pk}/change/")
    page.get_by_label("Sale price:").fill("7.50")
    page.locator("#variants-group .add-row a").click()
    page.locator("#id_variants-1-sku").fill("NEW-1")
    page.locator("#id_variants-1-stock").fill("3")
    page.locator("input[name=_save]").first.click()
    page.get_by_text("was changed successfully").wait_for()
    product.refresh_from_db()
    assert str(product.effective_price) == "7.50"
    assert product.variants.get(sku="NEW-1").in_stock
    page.goto(page.url + f"{product.pk}/history/")
    expect(page.locator("#change-history tbody tr")).to_have_count(2)


def test_the_tree_of_categories_opens(admin: Callable[[str], Page]) -> None:
    factories.category("Kitchen/Pans/Woks")
    page = admin("category/")
    page.locator(".treebeard-collapse").first.click()
    page.get_by_role("link", name="Pans").wait_for()
    page.get_by_role("link", name="Pans").click()
    page.get_by_label("Slug:").fill("skillets")
    page.locator("input[name=_save]").first.click()
    page.get_by_text("was changed successfully").wait_for()
    assert Category.objects.filter(url_path="kitchen/skillets/woks").exists()
