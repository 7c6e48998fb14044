"""The former URL of a renamed product or category redirects, whatever program renamed it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.urls import reverse

from catalog.models import Category, FormerCategoryPath, FormerProductSlug, Product, Status
from tests.catalog import factories
from tests.catalog.admin_forms import form_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis")]


def visit(client: Client, url: str) -> tuple[int, str]:
    """Return the status of a page, and the URL of its redirect."""
    response = client.get(url)
    return response.status_code, response.headers.get("Location", "")


def sql(statement: str, *params: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


def rename_by_instance(product: Product, slug: str) -> None:
    product.slug = slug
    product.save()


def rename_in_bulk(product: Product, slug: str) -> None:
    product.slug = slug
    Product.objects.bulk_update([product], ["slug"])


RENAMES: dict[str, Callable[[Product, str], object]] = {
    "save": rename_by_instance,
    "update": lambda product, slug: Product.objects.filter(pk=product.pk).update(slug=slug),
    "bulk_update": rename_in_bulk,
    "sql": lambda product, slug: sql("UPDATE catalog_product SET slug = %s WHERE id = %s", slug, product.pk),
    "upsert": lambda product, slug: sql(
        "INSERT INTO catalog_product (name, slug, sku, description, brand_name, category_id, price, currency, status, "
        "attributes, created_at, updated_at) "
        "SELECT name, %s, sku, '', '', category_id, price, currency, 'draft', '{}', now(), now() "
        "FROM catalog_product WHERE id = %s ON CONFLICT (sku) DO UPDATE SET slug = excluded.slug",
        slug,
        product.pk,
    ),
}


@pytest.mark.parametrize("method", RENAMES)
def test_the_former_url_of_a_renamed_product_redirects(client: Client, method: str) -> None:
    product = factories.product("Pan", slug="pan")
    assert visit(client, "/p/pan/") == (200, "")
    assert visit(client, "/p/skillet/") == (404, "")
    RENAMES[method](product, "skillet")
    assert visit(client, "/p/pan/") == (301, "/p/skillet/")
    assert visit(client, "/p/skillet/") == (200, "")
    response = client.get("/p/pan/")
    assert response.headers["Cache-Status"] == "larder; hit"
    assert client.head("/p/pan/").status_code == 301


def test_the_former_url_of_a_product_renamed_in_the_admin_redirects(client: Client, staff: Client) -> None:
    product = factories.product("Pan", slug="pan")
    url = reverse("admin:catalog_product_change", args=[product.pk])
    assert staff.post(url, {**form_of(staff.get(url)), "slug": "skillet"}).status_code == 302
    assert visit(client, "/p/pan/") == (301, "/p/skillet/")


def test_after_several_renames_all_former_urls_redirect_to_the_last_one(client: Client) -> None:
    product = factories.product("Pan", slug="a")
    products = Product.objects.filter(pk=product.pk)
    for slug in ("b", "c", "d"):
        products.update(slug=slug)
    assert [visit(client, f"/p/{slug}/") for slug in "abcd"] == [*[(301, "/p/d/")] * 3, (200, "")]
    products.update(slug="b")
    assert visit(client, "/p/b/") == (200, "")
    assert visit(client, "/p/d/") == visit(client, "/p/a/") == (301, "/p/b/")


def test_a_url_shows_the_product_that_has_it_now_or_redirects_to_the_last_that_had_it(client: Client) -> None:
    first, second = factories.product("Pan", slug="pan"), factories.product("Wok", slug="wok")
    Product.objects.filter(pk=first.pk).update(slug="skillet")
    assert visit(client, "/p/pan/") == (301, "/p/skillet/")
    Product.objects.filter(pk=second.pk).update(slug="pan")
    assert visit(client, "/p/pan/") == (200, "")
    Product.objects.filter(pk=second.pk).update(slug="wok-2")
    assert visit(client, "/p/pan/") == visit(client, "/p/wok/") == (301, "/p/wok-2/")
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM catalog_product WHERE id = %s", [second.pk])
    assert visit(client, "/p/pan/") == (404, "")
    assert list(FormerProductSlug.objects.values_list("product_id", flat=True)) == []


def test_two_products_can_exchange_their_slugs(client: Client) -> None:
    factories.product("Pan", slug="a"), factories.product("Wok", slug="b")
    sql("ALTER TABLE catalog_product DROP CONSTRAINT product_slug")
    try:
        sql("UPDATE catalog_product SET slug = CASE slug WHEN 'a' THEN 'b' ELSE 'a' END")
    finally:
        sql("ALTER TABLE catalog_product ADD CONSTRAINT product_slug UNIQUE (slug)")
    assert "Wok" in client.get("/p/a/").content.decode()
    assert "Pan" in client.get("/p/b/").content.decode()


def test_a_former_url_does_not_redirect_to_an_invisible_product(client: Client) -> None:
    product = factories.product("Pan", slug="pan")
    Product.objects.update(slug="skillet")
    assert visit(client, "/p/pan/") == (301, "/p/skillet/")
    Product.objects.update(status=Status.ARCHIVED)
    assert visit(client, "/p/pan/") == (404, "")
    Product.objects.filter(pk=product.pk).publish()
    assert visit(client, "/p/pan/") == (301, "/p/skillet/")
    product.delete()
    assert visit(client, "/p/pan/") == (404, "")


def test_the_former_urls_of_all_categories_below_a_renamed_one_redirect(client: Client) -> None:
    factories.product("Pan", path="Kitchen/Pans/Iron")
    factories.product("Lamp", path="Home/Lamps")
    kitchen = Category.objects.get(url_path="kitchen")
    visit(client, "/c/kitchen/pans/")
    kitchen.slug = "cuisine"
    kitchen.save()
    assert visit(client, "/c/kitchen/") == (301, "/c/cuisine/")
    assert visit(client, "/c/kitchen/pans/iron/") == (301, "/c/cuisine/pans/iron/")
    former = {"kitchen", "kitchen/pans", "kitchen/pans/iron"}
    assert {*FormerCategoryPath.objects.values_list("url_path", flat=True)} == former
    assert visit(client, "/c/kitchen/knives/") == (404, "")

    kitchen.description = "All for cooks"
    kitchen.save()
    assert FormerCategoryPath.objects.count() == 3
    pans, home = Category.objects.get(url_path="cuisine/pans"), Category.objects.get(url_path="home")
    Category.objects.move(pans, home, "first-child")
    assert visit(client, "/c/kitchen/pans/") == visit(client, "/c/cuisine/pans/") == (301, "/c/home/pans/")
    factories.category("Kitchen/Pans")
    assert visit(client, "/c/kitchen/pans/") == (200, "")
    sql("UPDATE catalog_category SET slug = 'deco', url_path = 'deco' WHERE url_path = 'home'")
    assert visit(client, "/c/home/") == (301, "/c/deco/")


def test_a_redirect_keeps_the_declared_parameters(client: Client) -> None:
    factories.product("Pan", path="Kitchen", brand_name="Halden")
    Category.objects.update(slug="cuisine", url_path="cuisine")
    url = "/c/kitchen/?utm_source=mail&sort=name&brand=halden&page=1&attr=Colour:Red"
    location = "/c/cuisine/?attr=Colour%3ARed&brand=halden&page=1&sort=name"
    assert visit(client, url) == (301, location)
    assert client.get(location).status_code == 200


def test_sitemaps_and_canonical_links_have_only_present_urls(client: Client) -> None:
    factories.product("Pan", path="Kitchen", slug="pan")
    Product.objects.update(slug="skillet")
    Category.objects.update(slug="cuisine", url_path="cuisine")
    products, categories = (
        client.get(f"/sitemap-{name}.xml").content.decode() for name in ("products", "categories")
    )
    assert "/p/skillet/" in products
    assert "/p/pan/" not in products
    assert "/c/cuisine/" in categories
    assert "/c/kitchen/" not in categories
    assert (
        '<link rel="canonical" href="http://testserver/p/skillet/">'
        in client.get("/p/skillet/").content.decode()
    )


def test_programs_need_no_rights_on_the_table_of_former_slugs(client: Client) -> None:
    factories.product("Pan", slug="pan")
    sql("CREATE ROLE renamer; GRANT SELECT, UPDATE ON catalog_product TO renamer")
    try:
        sql("SET ROLE renamer; UPDATE catalog_product SET slug = 'skillet'; RESET ROLE")
    finally:
        sql("RESET ROLE; DROP OWNED BY renamer; DROP ROLE renamer")
    assert visit(client, "/p/pan/") == (301, "/p/skillet/")


def test_the_migration_takes_former_slugs_from_the_history(client: Client) -> None:
    product = factories.product("Pan", slug="pan")
    rename_by_instance(product, "wok")
    rename_by_instance(product, "skillet")
    executor = MigrationExecutor(connection)
    executor.migrate([("catalog", "0004_slugs_and_places")])
    call_command("migrate", verbosity=0)
    assert visit(client, "/p/pan/") == visit(client, "/p/wok/") == (301, "/p/skillet/")
