"""The catalog's admin: lists whose cost does not depend on their length, and forms that check the rules."""

from __future__ import annotations

from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin import site
from django.urls import reverse

from catalog.admin.lists import EXACT_COUNT_LIMIT, EstimatingPaginator
from catalog.models import Brand, Category, FormerCategoryPath, Product, ProductImage, Status, Variant
from tests.catalog import factories
from tests.catalog.admin_forms import form_of

if TYPE_CHECKING:
    from django.test import Client
    from pytest_django import DjangoAssertNumQueries

pytestmark = pytest.mark.django_db


LISTS = ["brand", "category", "product", "variant"]


@pytest.mark.parametrize("model", LISTS)
def test_a_longer_list_takes_no_more_queries(
    staff: Client,
    model: str,
    django_assert_max_num_queries: DjangoAssertNumQueries,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    url = reverse(f"admin:catalog_{model}_changelist")
    factories.product("First", brand_name="Fernweh", sizes={"M": 1})
    staff.get(url)
    with django_assert_max_num_queries(9) as queries:
        assert staff.get(url).status_code == 200
    for number in range(12):
        factories.product(
            f"Other {number}",
            path=f"Kitchen {number}/Pans",
            brand_name=f"Brand {number}",
            sizes={"S": 1, "M": 0},
        )
    with django_assert_num_queries(len(queries)):
        assert staff.get(url).status_code == 200


def test_a_product_page_takes_the_same_queries_for_many_variants(
    staff: Client,
    django_assert_max_num_queries: DjangoAssertNumQueries,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    one = factories.product("One", sizes={"S": 1})
    many = factories.product("Many", sizes={str(size): 1 for size in range(20)})
    staff.get(reverse("admin:catalog_product_change", args=[one.pk]))
    with django_assert_max_num_queries(7) as queries:
        staff.get(reverse("admin:catalog_product_change", args=[one.pk]))
    with django_assert_num_queries(len(queries)):
        assert staff.get(reverse("admin:catalog_product_change", args=[many.pk])).status_code == 200


@pytest.mark.parametrize("term", ["fjord skil", "SKILLET", "t-00", "Halden", "KI-7-M", "ki-7-m"])
def test_products_are_found_by_words_and_skus(staff: Client, term: str) -> None:
    skillet = factories.product("Fjord Skillet", brand_name="Halden & Sons", sku="T-00X")
    factories.product("Something else", sku="U-1")
    Variant.objects.create(product=skillet, sku="KI-7-M")
    response = staff.get(reverse("admin:catalog_product_changelist"), {"q": term})
    assert [product.pk for product in response.context["cl"].result_list] == [skillet.pk]


def test_products_are_filtered_by_brand_by_category_with_all_below_and_by_availability(staff: Client) -> None:
    pan = factories.product("Pan", path="Kitchen/Pans", brand_name="Halden", sizes={"M": 1})
    tent = factories.product("Tent", path="Outdoor/Tents", brand_name="Vindur", sizes={"M": 0})
    queries: list[tuple[dict[str, Any], Product]] = [
        ({"brand__id__exact": pan.brand_id}, pan),
        ({"category__id__exact": Category.objects.get(url_path="kitchen").pk}, pan),
        ({"category__id__exact": tent.category_id}, tent),
        ({"available": "yes"}, pan),
        ({"available": "no"}, tent),
    ]
    for query, expected in queries:
        response = staff.get(reverse("admin:catalog_product_changelist"), query)
        assert list(response.context["cl"].result_list) == [expected], query
    response = staff.get(reverse("admin:catalog_product_changelist"), {"brand__id__exact": str(pan.brand_id)})
    assert "Clear" in response.content.decode()


def test_a_filter_by_nonsense_does_not_break_the_list(staff: Client) -> None:
    for nonsense in ("x", "²"):
        response = staff.get(
            reverse("admin:catalog_product_changelist"), {"category__id__exact": nonsense}, follow=True
        )
        assert response.status_code == 200, nonsense


def test_products_are_published_and_archived_together_with_history(staff: Client) -> None:
    drafts = [
        factories.product(f"Draft {number}", status=Status.DRAFT, publish_at=None) for number in range(3)
    ]
    pks = [draft.pk for draft in drafts]
    url = reverse("admin:catalog_product_changelist")
    response = staff.post(url, {"action": "publish", "_selected_action": pks}, follow=True)
    assert "3 products were changed." in response.content.decode()
    assert Product.objects.visible().count() == 3
    newest = drafts[0].history.first()
    assert (newest.status, newest.history_type, newest.history_user.username) == (
        Status.PUBLISHED,
        "~",
        "staff",
    )
    staff.post(url, {"action": "archive", "_selected_action": pks})
    assert not Product.objects.visible().exists()


def test_a_sale_price_above_the_price_gets_an_error_message(staff: Client) -> None:
    product = factories.product("Pan")
    url = reverse("admin:catalog_product_change", args=[product.pk])
    response = staff.post(url, {**form_of(staff.get(url)), "sale_price": "11.00"})
    assert "a sale price not above the price" in response.content.decode()


def test_changing_the_stock_on_the_product_page_writes_no_history(staff: Client) -> None:
    product = factories.product("Pan", sizes={"S": 1, "M": 1})
    url = reverse("admin:catalog_product_change", args=[product.pk])
    data = {
        **form_of(staff.get(url)),
        "variants-0-stock": "9",
        "variants-1-value": "XL",
        "variants-1-stock": "8",
    }
    assert staff.post(url, data).status_code == 302
    first, second = product.variants.order_by("position")
    assert (first.stock, first.history.count()) == (9, 1)
    assert (second.stock, second.value, second.history.count()) == (8, "XL", 2)


def test_the_stock_can_be_edited_in_the_list_of_variants(staff: Client) -> None:
    product = factories.product("Pan", sizes={"S": 1})
    variant = product.variants.get()
    data = {
        "form-TOTAL_FORMS": 1,
        "form-INITIAL_FORMS": 1,
        "form-0-id": variant.pk,
        "form-0-stock": 5,
        "_save": "Save",
    }
    assert staff.post(reverse("admin:catalog_variant_changelist"), data).status_code == 302
    variant.refresh_from_db()
    assert (variant.stock, variant.history.count()) == (5, 1)


def test_images_can_exchange_positions_and_need_a_text_and_a_position(staff: Client) -> None:
    product = factories.product("Pan")
    for position in (0, 1):
        ProductImage.objects.create(product=product, alt=f"View {position}", position=position)
    url = reverse("admin:catalog_product_change", args=[product.pk])
    page = form_of(staff.get(url))
    assert staff.post(url, {**page, "images-0-position": 1, "images-1-position": 0}).status_code == 302
    assert list(product.images.values_list("alt", flat=True)) == ["View 1", "View 0"]
    page = form_of(staff.get(url))
    assert "a position of its own" in staff.post(url, {**page, "images-0-position": 1}).content.decode()
    assert "This field is required" in staff.post(url, {**page, "images-0-alt": ""}).content.decode()


def test_a_new_category_gets_its_url_path_and_a_duplicate_slug_is_refused(staff: Client) -> None:
    pans = factories.category("Kitchen/Pans")
    url = reverse("admin:catalog_category_add")
    data = {"name": "Woks", "slug": "woks", "treebeard_position": "right", "treebeard_ref_node": pans.pk}
    assert staff.post(url, data).status_code == 302
    assert Category.objects.filter(url_path="kitchen/woks").exists()
    response = staff.post(url, {**data, "name": "Pans again", "slug": "pans"})
    assert "a category with this slug in this place already" in response.content.decode()


def test_a_category_is_moved_by_its_form(staff: Client) -> None:
    pans, garden = factories.category("Kitchen/Pans"), factories.category("Garden")
    data = {
        "name": "Pans",
        "slug": "pans",
        "treebeard_position": "first-child",
        "treebeard_ref_node": garden.pk,
    }
    assert staff.post(reverse("admin:catalog_category_change", args=[pans.pk]), data).status_code == 302
    assert Category.objects.get(pk=pans.pk).url_path == "garden/pans"


def test_creating_and_moving_a_category_uses_no_url_of_another_category_in_between(staff: Client) -> None:
    pans, garden = factories.category("Kitchen/Pans"), factories.category("Garden")
    for path in ("Kitchen/Pans/Woks", "Kitchen/Trays"):
        factories.category(path)
    add = reverse("admin:catalog_category_add")
    data = {"name": "Woks", "slug": "woks", "treebeard_position": "right", "treebeard_ref_node": pans.pk}
    assert staff.post(add, data).status_code == 302
    data |= {
        "name": "Trays",
        "slug": "trays",
        "treebeard_position": "first-child",
        "treebeard_ref_node": garden.pk,
    }
    assert staff.post(reverse("admin:catalog_category_change", args=[pans.pk]), data).status_code == 302
    assert [row.url_path for row in Category.objects.order_by("path")] == [
        "kitchen",
        "kitchen/woks",
        "kitchen/trays",
        "garden",
        "garden/trays",
        "garden/trays/woks",
    ]
    assert {former.url_path for former in FormerCategoryPath.objects.all()} == {
        "kitchen/pans",
        "kitchen/pans/woks",
    }
    newest = Category.history.filter(id=pans.pk).first()
    assert (newest.name, newest.slug, newest.history_user.username) == ("Trays", "trays", "staff")


def test_a_category_is_moved_by_dragging(staff: Client) -> None:
    pans, garden = factories.category("Kitchen/Pans"), factories.category("Garden")
    data = {"node": pans.pk, "target": garden.pk, "relation": "child"}
    assert staff.post("/admin/catalog/category/move/", data).status_code == 200
    assert Category.objects.get(pk=pans.pk).url_path == "garden/pans"


def test_a_category_is_not_dragged_to_a_place_where_its_url_is_a_duplicate_or_too_long(staff: Client) -> None:
    pans, garden = factories.category("Kitchen/Pans"), factories.category("Garden")
    factories.category("Garden/Pans")
    deep = factories.category("/".join(sign * 115 for sign in "abcdef"))
    kitchen = Category.objects.get(url_path="kitchen")
    for node, target, reason in [
        (pans, garden, "with this slug in this place already"),
        (kitchen, deep, "The path is too long"),
    ]:
        data = {"node": node.pk, "target": target.pk, "relation": "child"}
        response = staff.post("/admin/catalog/category/move/", data)
        assert (response.status_code, reason in response.content.decode()) == (400, True)
        assert reason in staff.get(reverse("admin:catalog_category_changelist")).content.decode()
    assert Category.objects.get(pk=pans.pk).url_path == "kitchen/pans"


def test_renaming_or_moving_a_category_must_not_make_urls_below_it_too_long(staff: Client) -> None:
    top = factories.category("a" * 115)
    factories.category("/".join(sign * 115 for sign in "abcdef"))
    url = reverse("admin:catalog_category_change", args=[top.pk])
    page = form_of(staff.get(url))
    assert "The path is too long" in staff.post(url, page | {"slug": "z" * 122}).content.decode()
    assert staff.post(url, page | {"slug": "z" * 120}).status_code == 302


def test_a_category_is_not_moved_deeper_than_the_tree_can_be(staff: Client) -> None:
    names = {"/".join("x" * depth): "X" for depth in range(1, 64)}
    deepest = Category.objects.add_paths(names)[-1]
    assert deepest.depth == 63
    url = reverse("admin:catalog_category_add")
    data = {"name": "Y", "slug": "y", "treebeard_position": "first-child", "treebeard_ref_node": deepest.pk}
    assert "The path is too long" in staff.post(url, data).content.decode()
    assert staff.post(url, data | {"treebeard_position": "right"}).status_code == 302


NO_TEXT = "a character in it that no text can have"


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        (r'{"a": "\u0000"}', NO_TEXT),
        (r'{"a\u0000": "x"}', NO_TEXT),
        (r'{"a": ["\ud800"]}', NO_TEXT),
        ('{"a": NaN}', "“a” is more than a number can be"),
        ('{"a": -1e999}', "“a” is more than a number can be"),
        ('{"a": 1' + 18 * "0" + "}", "“a” is more than a number can be"),
        ('{"a": 1' + 5000 * "0" + "}", "a number or a nesting that cannot be read"),
        (100_000 * "[", "a number or a nesting that cannot be read"),
        ("[]", "Attributes are a JSON object"),
        ('""', "Attributes are a JSON object"),
        ('{"a": ', "Enter a valid JSON"),
    ],
    ids=range(11),
)
def test_attributes_that_cannot_be_stored_get_an_error_message_and_are_shown_again(
    staff: Client, attributes: str, reason: str
) -> None:
    product = factories.product("Pan", attributes={"Colour": "Red"})
    url = reverse("admin:catalog_product_change", args=[product.pk])
    response = staff.post(url, form_of(staff.get(url)) | {"attributes": attributes})
    page_text = unescape(response.content.decode())
    assert response.status_code == 200
    assert reason in page_text
    assert attributes in page_text
    assert Product.objects.get().attributes == {"Colour": "Red"}


@pytest.mark.parametrize("nothing", ["", "{}", "null"])
def test_a_product_can_have_no_attributes(staff: Client, nothing: str) -> None:
    product = factories.product("Pan", attributes={"Colour": "Red"})
    url = reverse("admin:catalog_product_change", args=[product.pk])
    assert staff.post(url, form_of(staff.get(url)) | {"attributes": nothing}).status_code == 302
    assert Product.objects.get().attributes == {}


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_a_moment_that_some_time_zones_cannot_show_is_refused(
    staff: Client, settings: Any, zone: str, day: str
) -> None:
    settings.TIME_ZONE = zone
    product = factories.product("Pan")
    url = reverse("admin:catalog_product_change", args=[product.pk])
    data = form_of(staff.get(url)) | {
        "publish_at_0": day,
        "publish_at_1": "23:59:59" if day > "1" else "00:00",
    }
    response = staff.post(url, data)
    assert response.status_code == 200
    assert "A moment lies between" in response.content.decode()


def test_history_shows_and_reverts_a_product(staff: Client) -> None:
    product = factories.product("Pan")
    product.name = "Wok"
    product.save()
    assert staff.get(reverse("admin:catalog_product_history", args=[product.pk])).status_code == 200
    old = product.history.last()
    url = reverse("admin:catalog_product_simple_history", args=[product.pk, old.pk])
    page = staff.get(url)
    assert page.status_code == 200
    assert staff.post(url, form_of(page)).status_code == 302
    product.refresh_from_db()
    assert product.name == "Pan"


def test_restoring_a_version_of_a_category_keeps_its_place(staff: Client) -> None:
    pans, garden = factories.category("Kitchen/Pans"), factories.category("Garden")
    factories.category("Kitchen/Pans/Woks")
    old = pans.history.last()
    Category.objects.move(Category.objects.get(pk=pans.pk), garden, "first-child")
    Category.objects.filter(pk=pans.pk).update(name="Skillets")
    url = reverse("admin:catalog_category_simple_history", args=[pans.pk, old.pk])
    assert staff.post(url, form_of(staff.get(url))).status_code == 302
    assert list(Category.objects.values_list("url_path", "name")) == [
        ("kitchen", "Kitchen"),
        ("garden", "Garden"),
        ("garden/pans", "Pans"),
        ("garden/pans/woks", "Woks"),
    ]
    assert not any(Category.objects.find_problems())
    Category.objects.get(pk=pans.pk).delete()
    assert staff.get(url).status_code == 404


@pytest.mark.parametrize(
    ("model", "field", "term", "label"),
    [
        ("product", "brand", "hal", "Halden"),
        ("product", "category", "pan", "kitchen/pans"),
        ("variant", "product", "sk", "Skillet"),
    ],
)
def test_foreign_keys_are_searched_for(staff: Client, model: str, field: str, term: str, label: str) -> None:
    factories.product("Skillet", path="Kitchen/Pans", brand_name="Halden")
    query = {"app_label": "catalog", "model_name": model, "field_name": field, "term": term}
    results = staff.get(reverse("admin:autocomplete"), query).json()["results"]
    assert [result["text"] for result in results] == [label]


def test_long_lists_are_counted_by_estimate(
    staff: Client, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(5):
        Brand.objects.create(name=f"Brand {number}", slug=f"brand-{number}")
    assert EstimatingPaginator(Brand.objects.all(), 2).count == 5
    monkeypatch.setattr("catalog.admin.lists.EXACT_COUNT_LIMIT", 3)
    with django_assert_num_queries(2):
        assert EstimatingPaginator(Brand.objects.all(), 2).count >= 4
    assert EXACT_COUNT_LIMIT >= 10_000
    for admin in site._registry.values():
        if admin.opts.app_label == "catalog" and admin.opts.model_name in ("product", "variant"):
            assert admin.paginator is EstimatingPaginator
            assert not admin.show_full_result_count
