"""The pages of the shop."""

from __future__ import annotations

import ast
import datetime as dt
import json
import re
from gettext import GNUTranslations
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings as django_settings
from django.core.files.base import ContentFile
from django.db import connection
from django.test.utils import CaptureQueriesContext

from catalog.models import Product, ProductImage
from catalog.search.statistics import count_lexemes
from tests.catalog import factories

if TYPE_CHECKING:
    from pathlib import Path

    from django.test import Client

EVIL = "</script><script>alert('x')</script>&\"<b>"


def html(client: Client, url: str, status: int = 200) -> str:
    response = client.get(url)
    assert response.status_code == status, url
    return response.content.decode()


def data_blocks(page: str) -> dict[str, dict[str, Any]]:
    blocks = re.findall(r'<script type="application/ld\+json">(.*?)</script>', page, re.DOTALL)
    return {block["@type"]: block for block in map(json.loads, blocks)}


def links(page: str, text: str) -> list[str]:
    """Return the URLs of the links with this text, in which tags are ignored."""
    anchors = re.findall(r"<a\b[^>]*?href=\"([^\"]*)\"[^>]*>(.*?)</a>", page, re.DOTALL)
    plain = [(href, " ".join(re.sub(r"<[^>]+>", " ", inner).split())) for href, inner in anchors]
    return [href.replace("&amp;", "&") for href, inner in plain if inner == text]


@pytest.mark.django_db
class TestListings:
    def test_a_category_lists_the_products_of_all_categories_below_it(self, client: Client) -> None:
        factories.product("Iron pan", path="Kitchen/Pans/Iron")
        factories.product("Bread knife", path="Kitchen/Knives")
        factories.product("Tall lamp", path="Home/Lamps")
        page = html(client, "/c/kitchen/")
        assert "Iron pan" in page
        assert "Bread knife" in page
        assert "Tall lamp" not in page
        assert links(page, "Pans 1") == ["/c/kitchen/pans/"]

    def test_a_page_has_24_products_and_pages_after_the_last_do_not_exist(self, client: Client) -> None:
        for number in range(49):
            factories.product(f"Pan {number:02}", price=5)
        first, last = html(client, "/c/kitchen/?sort=name"), html(client, "/c/kitchen/?sort=name&page=3")
        assert "49 products" in first
        assert "Pan 23" in first
        assert "Pan 24" not in first
        assert "Pan 48" in last
        assert links(first, "Next") == ["?sort=name&page=2"]
        assert links(last, "Previous") == ["?sort=name&page=2"]
        assert not links(last, "Next")
        for page in ("4", "9999", "0", "-1", "x", "9" * 30):
            html(client, f"/c/kitchen/?page={page}", 404)

    @pytest.mark.parametrize("sort", ["newest", "price", "-price", "name"])
    def test_every_product_is_on_exactly_one_page(self, client: Client, sort: str) -> None:
        slugs = {factories.product("Same", price=5).slug for _ in range(30)}
        pages = [html(client, f"/c/kitchen/?sort={sort}&page={number}") for number in (1, 2)]
        listed_slugs = [slug for page in pages for slug in re.findall(r"/p/([-\w]+)/", page)]
        assert sorted(listed_slugs) == sorted(slugs)

    def test_an_empty_category_has_one_empty_page(self, client: Client) -> None:
        factories.category("Kitchen/Pans")
        assert "There is nothing here yet" in html(client, "/c/kitchen/pans/")
        html(client, "/c/kitchen/pans/?page=2", 404)

    def test_filters_are_chips_that_can_be_removed(self, client: Client) -> None:
        factories.product("Pan", brand_name="Brasa", attributes={"Material": "Iron"})
        page = html(client, "/c/kitchen/?brand=brasa&attr=Material:Iron&price_to=20")
        assert links(page, "Remove filter: Brasa ×") == ["?attr=Material%3AIron&price_to=20"]
        assert links(page, "Remove filter: Material: Iron ×") == ["?brand=brasa&price_to=20"]
        assert links(page, "Remove filter: Up to 20 ×") == ["?brand=brasa&attr=Material%3AIron"]
        assert links(page, "Clear all") == ["."]

    def test_an_empty_listing_names_the_filters_to_drop_with_counts(self, client: Client) -> None:
        for number in range(3):
            factories.product(f"Pan {number}", brand_name="Brasa", price=50)
        factories.product("Cheap", brand_name="Other", price=5)
        page = html(client, "/c/kitchen/?brand=brasa&price_to=10")
        assert links(page, "Drop “Brasa” for 1 product") == ["?price_to=10"]
        assert links(page, "Drop “Up to 10” for 3 products") == ["?brand=brasa"]

    def test_an_attribute_with_a_colon_in_its_name_can_be_chosen(self, client: Client) -> None:
        factories.product("Wide", attributes={"Ratio: w:h": "16:9"})
        factories.product("Narrow", attributes={"Ratio: w:h": "4:3"})
        (query,) = links(html(client, "/c/kitchen/"), "16:9 ( 1 )")
        page = html(client, f"/c/kitchen/{query}")
        assert "1 product<" in page
        assert "Wide" in page

    def test_a_chosen_price_is_shown_in_the_notation_of_the_language(self, client: Client) -> None:
        factories.product("Pan", price=5)
        url = "/c/kitchen/?price_from=1.50&price_to=1e3"
        assert links(html(client, url), "Remove filter: 1.50 to 1,000 ×") == ["."]
        german = client.get(url, headers={"accept-language": "de"}).content.decode()
        assert links(german, "Filter entfernen: 1,50 bis 1.000 ×") == ["."]

    def test_a_sale_price_that_equals_the_price_is_no_sale(self, client: Client) -> None:
        factories.product("Pan", price=5, sale_price=5)
        assert "On sale" not in html(client, "/")
        assert "On sale" not in html(client, "/c/kitchen/")
        assert "0 products" in html(client, "/c/kitchen/?sale=1")

    def test_a_facet_shows_eight_options_at_first(self, client: Client) -> None:
        for number in range(11):
            factories.product("Pan", brand_name=f"Brand {number:02}")
        page = html(client, "/c/kitchen/")
        facet = page.partition("<details>")[0].rpartition("<h3")[2]
        assert facet.count('class="option"') == 8
        assert "Show 3 more" in page

    def test_unknown_parameters_and_brands_change_nothing(self, client: Client) -> None:
        factories.product("Pan", brand_name="Brasa")
        page = html(client, "/c/kitchen/?brand=nobody&utm_source=x&q=zzz")
        assert "1 product" in page
        assert "nobody" not in page
        assert "utm_source" not in page

    def test_only_unfiltered_pages_are_indexed(self, client: Client) -> None:
        factories.product("Pan", brand_name="Brasa")
        assert "noindex" not in html(client, "/c/kitchen/")
        assert "noindex" in html(client, "/c/kitchen/?brand=brasa")
        assert "noindex" in html(client, "/search/?q=pan")
        assert 'rel="canonical" href="http://testserver/c/kitchen/"' in html(client, "/c/kitchen/?sort=price")


@pytest.mark.django_db
class TestSearch:
    def test_it_shows_the_words_and_their_correction(self, client: Client) -> None:
        factories.product("Linen shirt", path="Clothing/Shirts")
        count_lexemes()
        assert "Results for “shirts”" in html(client, "/search/?q=shirts")
        corrected = html(client, "/search/?q=shrit")
        assert "Results for “shirt”" in corrected
        assert "No product, or hardly any, has “shrit”" in corrected
        assert "and nothing has a similar spelling" in html(client, "/search/?q=xqzwv")
        assert "What are you looking for?" in html(client, "/search/")

    def test_it_says_which_words_were_left_out_and_which_categories_are_near(self, client: Client) -> None:
        factories.product("Linen shirt", path="Clothing/Shirts")
        page = html(client, "/search/?q=linen xqzwv")
        assert "No product has all of these words." in page
        assert "No product has: <s>xqzwv</s>" in page
        assert links(page, "Shirts")[0] == "/c/clothing/shirts/"

    def test_it_says_how_many_have_all_words_unless_it_is_filtered_or_sorted(self, client: Client) -> None:
        for name in ("Linen shirt", "Linen shirt, long", "Silk shirt"):
            factories.product(name, path="Clothing/Shirts")
        for number in range(9):
            factories.product(f"Iron pan {number}")
        count_lexemes()
        text = "The first 2 products have all of your words, the others have some of them."
        assert text in html(client, "/search/?q=linen shirt")
        by_price = html(client, "/search/?q=linen shirt&sort=price")
        assert text not in by_price
        assert "Silk shirt" not in by_price

    def test_it_says_when_there_are_more_than_it_shows(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("catalog.search.products.PRODUCTS_LIMIT", 2)
        monkeypatch.setattr("catalog.search.products.ENOUGH_PRODUCTS", 2)
        for number in range(4):
            factories.product(f"Spoon {number}")
        assert "More than 2 products" in html(client, "/search/?q=spoon")

    def test_suggestions_link_to_what_they_name(self, client: Client) -> None:
        factories.product(
            "Silk <b>shirt</b>", path="Clothing/Silk", brand_name="Silk & Co", slug="silk-shirt"
        )
        count_lexemes()
        page = html(client, "/search/suggestions/?q=sil")
        assert re.findall(r'data-url="([^"]+)"', page) == [
            "/c/clothing/silk/",
            "/search/?q=Silk%20%26%20Co&amp;brand=silk-co",
            "/p/silk-shirt/",
        ]
        assert "<b>" not in page
        assert "<html" not in page
        assert not html(client, "/search/suggestions/").strip()

    def test_it_can_be_limited_to_a_department(self, client: Client) -> None:
        factories.product("Blue shirt", path="Clothing/Shirts")
        factories.product("Blue mug", path="Kitchen/Mugs")
        page = html(client, "/search/?q=blue")
        assert links(page, "Clothing ( 1 )") == ["?q=blue&in=clothing"]
        narrowed = html(client, "/search/?q=blue&in=clothing")
        assert "Blue shirt" in narrowed
        assert "Blue mug" not in narrowed

    def test_an_unknown_department_is_ignored(self, client: Client) -> None:
        factories.product("Blue shirt", path="Clothing/Shirts")
        page = html(client, "/search/?q=blue&in=garments")
        assert "1 product<" in page
        assert "garments" not in page

    @pytest.mark.parametrize("text", [EVIL, "%00", "a" * 500, "'; drop table x"])
    def test_no_text_breaks_it(self, client: Client, text: str) -> None:
        factories.product("Pan")
        page = client.get("/search/", {"q": text}).content.decode()
        assert "<script>alert" not in page


@pytest.mark.django_db
class TestProduct:
    def test_it_shows_variants_prices_and_attributes(self, client: Client) -> None:
        product = factories.product(
            "Pan",
            brand_name="Brasa",
            price=20,
            sale_price=15,
            sizes={"S": 3, "L": 0},
            attributes={"Induction": True},
        )
        factories.image(product, alt="The pan from above")
        page = html(client, product.get_absolute_url())
        assert "€15" in page
        assert "€20" in page
        assert "25% off" in page
        assert "In stock" in page
        assert page.count("sold out") == 1
        assert 'aria-label="The pan from above"' in page
        assert re.search(r"Induction</th>\s*<td>Yes", page)

    def test_structured_data_equals_the_contents_of_the_page(self, client: Client) -> None:
        product = factories.product(
            "Pan", path="Kitchen/Pans", brand_name="Brasa", price="19.90", sizes={"S": 1}
        )
        page = html(client, product.get_absolute_url())
        blocks = data_blocks(page)
        assert blocks["Product"]["sku"] == product.sku
        assert blocks["Product"]["brand"]["name"] == "Brasa"
        assert blocks["Product"]["offers"] == {
            "@type": "Offer",
            "price": "19.90",
            "priceCurrency": "EUR",
            "url": f"http://testserver{product.get_absolute_url()}",
            "availability": "https://schema.org/InStock",
        }
        crumbs = page.partition('class="crumbs"')[2].partition("</nav>")[0]
        visible = [
            " ".join(text.split())
            for text in re.findall(r"<li>\s*<(?:a|span)[^>]*>(.*?)</", crumbs, re.DOTALL)
        ]
        items = blocks["BreadcrumbList"]["itemListElement"]
        assert [item["name"] for item in items] == visible == ["Home", "Kitchen", "Pans", "Pan"]
        assert items[1]["item"] == "http://testserver/c/kitchen/"

    def test_without_a_price_there_is_no_offer(self, client: Client) -> None:
        product = factories.product("Pan", price=0)
        page = html(client, product.get_absolute_url())
        assert "offers" not in data_blocks(page)["Product"]
        assert "Price on request" in page

    def test_names_never_become_markup(self, client: Client) -> None:
        product = factories.product(
            EVIL, slug="evil", brand_name=EVIL, description=EVIL, attributes={EVIL: EVIL}, sku=EVIL
        )
        ProductImage.objects.create(product=product, alt=EVIL, position=0)
        for url in (product.get_absolute_url(), "/c/kitchen/", "/", f"/search/?q={product.sku}"):
            page = html(client, url)
            assert "<script>alert" not in page, url
            assert "<b>" not in page, url
        assert data_blocks(html(client, product.get_absolute_url()))["Product"]["name"] == EVIL

    def test_an_invisible_product_has_no_page(self, client: Client) -> None:
        html(client, factories.product("Secret", status="draft").get_absolute_url(), 404)


@pytest.mark.django_db
def test_the_sitemap_names_categories_and_visible_products(client: Client) -> None:
    shown, hidden = factories.product("Pan"), factories.product("Secret", status="archived")
    index = html(client, "/sitemap.xml")
    assert "http://testserver/sitemap-products.xml" in index
    products = html(client, "/sitemap-products.xml")
    assert shown.slug in products
    assert hidden.slug not in products
    assert "/c/kitchen/pans/" in html(client, "/sitemap-categories.xml")
    assert "Sitemap: http://testserver/sitemap.xml" in html(client, "/robots.txt")
    html(client, "/sitemap-nothing.xml", 404)
    assert client.get("/favicon.ico").status_code == 301


@pytest.mark.django_db(transaction=True)
class TestCaching:
    """Tests without a transaction around them, as in production, so that fills are stored."""

    @pytest.fixture(autouse=True)
    def goods(self, redis: Any) -> Product:
        for number in range(30):
            product = factories.product(
                f"Blue pan {number}",
                publish_at=factories.LONG_AGO + dt.timedelta(days=number),
                brand_name=f"B{number % 9}",
                sizes={"S": 1},
                attributes={"Material": f"M{number % 3}"},
            )
            factories.image(product, alt="a pan")
        return product

    def statements(self, client: Client, url: str) -> int:
        [*Product.objects.cached().filter(pk=0)]  # a process asks once which tables are captured
        with CaptureQueriesContext(connection) as captured:
            assert client.get(url).status_code == 200
        return len(captured)

    def test_every_page_is_stored_and_a_hit_sends_no_statement(self, client: Client, goods: Product) -> None:
        urls = [
            "/",
            "/c/kitchen/",
            "/c/kitchen/?brand=b1&page=1",
            goods.get_absolute_url(),
            "/search/?q=pan",
            "/search/?q=knives",
            "/search/?q=POCS-30017",
            "/search/?q=schuhe+groesse+手机壳",
            "/sitemap.xml",
            "/sitemap-products.xml",
        ]
        for url in urls:
            client.get(url)
            assert self.statements(client, url) == 0, url
            assert "hit" in client.get(url)["Cache-Status"], url

    def test_a_product_page_is_filled_by_at_most_eight_statements(
        self, client: Client, goods: Product
    ) -> None:
        assert self.statements(client, goods.get_absolute_url()) <= 8

    @pytest.mark.parametrize("query", ["", "?brand=b1&brand=b2&attr=Material:M1&price_to=99&sort=name"])
    def test_a_category_page_is_filled_by_at_most_twelve_statements(self, client: Client, query: str) -> None:
        assert self.statements(client, f"/c/kitchen/{query}") <= 12

    def test_pages_set_no_cookies(self, client: Client, goods: Product) -> None:
        for url in ("/", "/c/kitchen/", goods.get_absolute_url(), "/search/?q=pan"):
            assert not client.get(url).cookies, url

    def test_every_page_shows_a_changed_price_at_once(self, client: Client, goods: Product) -> None:
        urls = ("/", "/c/kitchen/", "/c/kitchen/pans/", goods.get_absolute_url(), f"/search/?q={goods.sku}")
        for url in urls:
            assert "€77.77" not in html(client, url)
        Product.objects.filter(pk=goods.pk).update(price="77.77")
        for url in urls:
            assert "€77.77" in html(client, url), url

    def test_the_page_of_a_category_stays_fresh_when_a_product_of_another_one_changes(
        self, client: Client
    ) -> None:
        other = factories.product("Lamp", path="Home/Lamps")
        assert client.get("/c/kitchen/")["Cache-Status"] == "larder; fwd=uri-miss; stored"
        Product.objects.filter(pk=other.pk).update(price="3.00")
        assert client.get("/c/kitchen/")["Cache-Status"] == "larder; hit"


@pytest.mark.django_db(transaction=True)
def test_each_language_has_its_own_page(client: Client, redis: Any) -> None:
    factories.product("Pfanne", price="1234.50")
    english, german = client.get("/c/kitchen/"), client.get("/c/kitchen/", headers={"accept-language": "de"})
    assert "1 product" in english.content.decode()
    assert "€1,234.50" in english.content.decode()
    assert "1 Artikel" in german.content.decode()
    assert "1.234,50\u00a0€" in german.content.decode()
    assert '<html lang="de"' in german.content.decode()
    assert "accept-language" in german["Vary"].lower()


@pytest.mark.django_db
def test_an_uploaded_picture_is_shown(client: Client, settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path
    pan = factories.product("Pan")
    picture = ProductImage(product=pan, alt="A pan from above")
    picture.file.save("pan.png", ContentFile(b"\x89PNG"))
    (src,) = re.findall(r'<img class="picture" src="([^"]+)"', html(client, pan.get_absolute_url()))
    response = client.get(src)
    assert (response.status_code, b"".join(response)) == (200, b"\x89PNG")
    assert response["Content-Type"] == "image/png"
    assert client.get("/media/../settings.py").status_code == 400


def test_every_text_of_the_shops_templates_has_a_german_translation() -> None:
    with (django_settings.BASE_DIR / "locale/de/LC_MESSAGES/django.mo").open("rb") as file:
        german = GNUTranslations(file)
    templates = (django_settings.BASE_DIR / "templates").rglob("*.html")
    texts = {text for file in templates for text in re.findall(r'{% translate "([^"]+)"', file.read_text())}
    assert "Departments" in texts
    assert sorted(text for text in texts if german.gettext(text) == text) == []


def test_every_german_translation_belongs_to_a_text_of_the_sources() -> None:
    """A text that is changed without its translation is found here."""
    base = django_settings.BASE_DIR
    with (base / "locale/de/LC_MESSAGES/django.mo").open("rb") as file:
        translations = GNUTranslations(file)._catalog  # type: ignore[attr-defined]
    modules = [
        ast.parse(file.read_text()) for app in ("catalog", "project") for file in (base / app).rglob("*.py")
    ]
    nodes = (node for module in modules for node in ast.walk(module) if isinstance(node, ast.Constant))
    texts = {node.value for node in nodes if isinstance(node.value, str)}
    templates = " ".join(file.read_text() for file in (base / "templates").rglob("*.html"))
    templates = re.sub(r"{{ (\w+) }}", r"%(\1)s", templates).replace("% off", "%% off")
    ids = {key if isinstance(key, str) else key[0] for key in translations} - {""}
    assert "Departments" in ids
    assert sorted(text for text in ids if text not in texts and text not in templates) == []
