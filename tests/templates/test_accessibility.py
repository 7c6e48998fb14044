"""The shop's pages in a browser: accessible in light and dark, on a phone and on a desktop, without scripts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from catalog.search.statistics import count_lexemes
from tests.catalog import factories

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import BrowserContext, Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PAGES = {
    "home": "/",
    "category": "/c/kitchen/",
    "filtered": "/c/kitchen/?brand=brand-1&attr=Material:Iron&price_from=x&sort=price",
    "empty": "/c/kitchen/?brand=brand-1&price_to=1",
    "product": "/p/pan/",
    "search": "/search/?q=pann",
    "nothing found": "/search/?q=xqzwv",
    "search form": "/search/",
    "missing": "/nowhere/at/all/",
}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
NARROW, PHONE, DESK = (320, 640), (390, 844), (1280, 900)


@pytest.fixture(autouse=True)
def goods(redis: Any) -> None:
    for number in range(30):
        factories.product(
            f"An enamelled pan with an uncommonlylongandunbreakablenameofthingsforkitchens {number}",
            brand_name=f"Brand {number % 11}",
            attributes={"Material": ["Iron", "Steel"][number % 2], "Colour": "Blue"},
            price=20,
            sale_price=15 if number % 3 else None,
        )
    pan = factories.product(
        "Pan",
        slug="pan",
        brand_name="Brand 1",
        sizes={"Small": 1, "Large": 0},
        attributes={"Induction": True},
    )
    factories.image(pan, alt="The pan")
    factories.image(pan, alt="The pan, upside down", position=1)
    factories.product("Lamp", path="Home/Lamps")


@pytest.fixture
def shown(context: Callable[..., BrowserContext]) -> Callable[..., Page]:
    """Return a function that opens a page in a new browser context."""

    def show(url: str, size: tuple[int, int], **options: Any) -> Page:
        page = context(viewport={"width": size[0], "height": size[1]}, **options).new_page()
        page.goto(url)
        return page

    return show


@pytest.mark.parametrize(
    ("size", "scheme"),
    [(PHONE, "light"), (DESK, "light"), (DESK, "dark")],
    ids=["light phone", "light desk", "dark desk"],
)
def test_axe_finds_nothing(shown: Any, live_server: Any, scheme: str, size: tuple[int, int]) -> None:
    for name, path in PAGES.items():
        page = shown(live_server.url + path, size, color_scheme=scheme)
        results = Axe().run(page, options={"runOnly": RULES})
        assert results.violations_count == 0, f"{name}: {results.generate_report()}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_the_filters_of_a_phone(shown: Any, live_server: Any, scheme: str) -> None:
    page = shown(f"{live_server.url}/c/kitchen/#filters", PHONE, color_scheme=scheme)
    page.locator("summary").first.click()
    results = Axe().run(page, options={"runOnly": RULES})
    assert results.violations_count == 0, results.generate_report()


def test_no_page_scrolls_horizontally_at_320_pixels(shown: Any, live_server: Any) -> None:
    for name, path in PAGES.items():
        page = shown(live_server.url + path, NARROW)
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW[0], name


def test_filters_sort_orders_and_pages_work_without_scripts(shown: Any, live_server: Any) -> None:
    page = shown(f"{live_server.url}/", DESK, java_script_enabled=False)
    page.get_by_role("navigation", name="Departments").get_by_role("link", name="Kitchen").click()
    page.get_by_role("link", name="Next").click()
    expect(page).to_have_url(re.compile(r"\?page=2$"))
    page.get_by_label("From").fill("16")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("heading", name="10 products")).to_be_visible()
    page.get_by_role("link", name="Price, high to low").click()
    page.get_by_role("list", name="Material").get_by_role("link", name="Iron").click()
    expect(page).to_have_url(re.compile("attr=Material%3AIron&price_from=16&sort=-price"))
    page.get_by_role("link", name="Clear all").click()
    expect(page).to_have_url(re.compile(r"/c/kitchen/\?sort=-price$"))


def test_the_filters_of_a_phone_open_and_close_without_scripts(shown: Any, live_server: Any) -> None:
    page = shown(f"{live_server.url}/c/kitchen/", PHONE, java_script_enabled=False)
    filters = page.get_by_role("region", name="Filters")
    expect(filters).to_be_hidden()
    page.get_by_role("link", name="Filters").click()
    expect(filters).to_be_visible()
    page.get_by_role("link", name="Show results").click()
    expect(filters).to_be_hidden()


def test_drawings_are_shown_without_errors_in_the_console(page: Page, live_server: Any) -> None:
    """The `page` fixture fails on an error in the console, such as one of the Content-Security-Policy."""
    page.goto(f"{live_server.url}/p/pan/")
    page.wait_for_function("document.querySelector('.shot use').getBoundingClientRect().width > 100")
    assert (
        "frame-ancestors" in page.request.get(f"{live_server.url}/p/pan/").headers["content-security-policy"]
    )


def test_the_first_link_of_the_keyboard_skips_to_the_content(shown: Any, live_server: Any) -> None:
    page = shown(f"{live_server.url}/c/kitchen/", DESK)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("#content$"))


def test_suggestions_are_chosen_by_keyboard(shown: Any, live_server: Any) -> None:
    count_lexemes()
    page = shown(f"{live_server.url}/", DESK)
    field = page.get_by_role("combobox", name="Search the shop")
    field.press_sequentially("lam")
    options = page.get_by_role("listbox", name="Suggestions").get_by_role("option")
    expect(options).to_have_count(2)  # the category Lamps, and the product
    expect(field).to_have_attribute("aria-expanded", "true")
    results = Axe().run(page, options={"runOnly": RULES})
    assert results.violations_count == 0, results.generate_report()
    field.press("ArrowDown")
    expect(options.first).to_have_attribute("aria-selected", "true")
    field.press("ArrowUp")
    field.press("ArrowUp")
    expect(options.last).to_have_attribute("aria-selected", "true")
    expect(field).to_have_attribute("aria-activedescendant", "suggestion-1")
    field.press("Escape")
    expect(options.first).to_be_hidden()
    expect(field).to_have_value("lam")
    field.press("ArrowDown")
    expect(options.first).to_be_visible()
    field.press("ArrowDown")
    field.press("Enter")
    expect(page).to_have_url(re.compile(r"/c/home/lamps/$"))


def test_suggestions_are_chosen_by_pointer_and_go_with_the_focus(shown: Any, live_server: Any) -> None:
    count_lexemes()
    page = shown(f"{live_server.url}/", PHONE)
    field = page.get_by_role("combobox", name="Search the shop")
    field.press_sequentially("lamp")
    option = page.get_by_role("option", name="Lamp", exact=True)
    option.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    field.press("Tab")
    expect(option).to_be_hidden()
    field.press("ArrowDown")
    option.click()
    expect(page).to_have_url(re.compile(r"/p/lamp-\d+/$"))


def test_an_empty_suggestion_or_a_server_that_is_gone_leaves_a_plain_field(
    shown: Any, live_server: Any
) -> None:
    page = shown(f"{live_server.url}/", DESK)
    page.route("**/suggestions/*", lambda route: route.abort())
    field = page.get_by_role("combobox", name="Search the shop")
    field.press_sequentially("lamp")
    page.wait_for_timeout(400)
    expect(field).to_have_attribute("aria-expanded", "false")
    field.press("Enter")
    expect(page).to_have_url(re.compile(r"/search/\?q=lamp$"))
