"""Saving a form of the admin keeps the changes that others made while the form was open."""

from __future__ import annotations

import datetime as dt
import json
import re
from decimal import Decimal
from html import unescape
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.db.models.signals import pre_save
from django.urls import reverse
from django.utils import timezone

from catalog.models import Brand, Category, Product, ProductImage, Status, Variant
from tests.catalog import factories
from tests.catalog.admin_forms import form_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db import models
    from django.test import Client

    from tests.replies import ClientResponse

pytestmark = pytest.mark.django_db


def url_of(row: models.Model) -> str:
    return reverse(f"admin:catalog_{row._meta.model_name}_change", args=[row.pk])


def sql(statement: str, *params: Any) -> None:
    """Execute a statement as another program would, without the models."""
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


def notices(response: ClientResponse) -> list[str]:
    """Return the notices about changes by others."""
    text = " ".join(str(message) for message in get_messages(response.wsgi_request))
    return [unescape(line) for line in re.findall("<li>(.*?)</li>", text, re.DOTALL)]


def errors(response: ClientResponse) -> str:
    """Return the text of the errors of a form that is shown again."""
    assert response.status_code == 200
    lists = re.findall(r'<ul class="errorlist.*?</ul>', response.content.decode(), re.DOTALL)
    return unescape(re.sub(r"<[^>]+>", " ", " ".join(lists)))


def test_a_price_imported_while_the_form_is_open_is_kept_and_named(staff: Client) -> None:
    product = factories.product("Pan", price="10.00")
    page = form_of(staff.get(url_of(product)))
    sql("UPDATE catalog_product SET price = 12.5, updated_at = now() - interval '1 day'")
    response = staff.post(url_of(product), {**page, "name": "Iron pan"})
    assert response.status_code == 302
    assert "Price: “10.00” → “12.50”" in notices(response)
    stored_row = Product.objects.get()
    assert (stored_row.name, stored_row.price, stored_row.effective_price) == (
        "Iron pan",
        Decimal("12.50"),
        Decimal("12.50"),
    )
    assert timezone.now() - stored_row.updated_at < dt.timedelta(hours=1)
    newest, created = stored_row.history.all()
    assert (newest.name, newest.price, newest.history_user.username) == (
        "Iron pan",
        Decimal("12.50"),
        "staff",
    )
    assert created.name == "Pan"


ROWS: dict[str, tuple[Callable[[], Any], list[tuple[str, Any, Any]]]] = {
    "product": (
        lambda: factories.product("Pan", description="One\nTwo", attributes={"Colour": "Red"}),
        [
            ("name", "Theirs", "Mine"),
            ("description", "Theirs", "Mine"),
            ("sku", "THEIRS", "MINE"),
            ("currency", "USD", "CHF"),
            ("sale_price", Decimal("7.50"), "6.50"),
            ("attributes", {"Colour": "Blue"}, '{"Colour": "Green"}'),
        ],
    ),
    "brand": (lambda: factories.brand("Halden"), [("name", "Theirs", "Mine"), ("slug", "theirs", "mine")]),
    "category": (
        lambda: factories.category("Kitchen"),
        [("name", "Theirs", "Mine"), ("description", "Theirs", "Mine")],
    ),
    "variant": (
        lambda: Variant.objects.get(product=factories.product("Pan", sizes={"M": 5})),
        [
            ("value", "Theirs", "Mine"),
            ("price", Decimal("7.50"), "6.50"),
            ("stock", 4, "9"),
            ("active", False, None),
        ],
    ),
}


@pytest.mark.parametrize("model", ROWS)
def test_every_field_is_kept_or_gets_a_conflict(staff: Client, model: str) -> None:
    make, fields = ROWS[model]
    row = make()
    url, rows = url_of(row), type(row).objects.filter(pk=row.pk)
    theirs = {name: value for name, value, _mine in fields}
    mine: dict[str, Any] = {name: value for name, _theirs, value in fields if value is not None}

    def stored() -> dict[str, Any]:
        return {name: getattr(rows.get(), name) for name in theirs}

    page = form_of(staff.get(url))
    rows.update(**theirs)
    response = staff.post(url, page)
    assert response.status_code == 302
    assert len(notices(response)) == len(theirs)
    assert stored() == theirs

    response = staff.post(url, {**page, **mine})
    assert errors(response).count("Somebody else changed this") == len(mine)
    assert stored() == theirs
    assert staff.post(url, form_of(response)).status_code == 302
    for name, value in stored().items():
        expected = mine.get(name, theirs[name])
        assert value == (json.loads(expected) if name == "attributes" else type(value)(expected))


def test_a_conflict_shows_both_values_and_a_third_value_is_another_conflict(staff: Client) -> None:
    product = factories.product("Pan", price="10.00")
    url = url_of(product)
    page = form_of(staff.get(url))
    Product.objects.update(price="12.00")
    response = staff.post(url, {**page, "price": "11", "name": "Iron pan"})
    assert "from “10.00” to “12.00”; you entered “11.00”." in errors(response)
    assert Product.objects.get().name == "Pan"
    Product.objects.update(price="13.00")
    response = staff.post(url, form_of(response))
    assert "from “12.00” to “13.00”; you entered “11.00”." in errors(response)
    assert staff.post(url, form_of(response)).status_code == 302
    stored_row = Product.objects.get()
    assert (stored_row.price, stored_row.name, stored_row.history.count()) == (
        Decimal("11.00"),
        "Iron pan",
        2,
    )


def test_two_editors_who_enter_the_same_value_have_no_conflict(staff: Client) -> None:
    product = factories.product("Pan", price="10.00")
    page = form_of(staff.get(url_of(product)))
    Product.objects.update(price="12.00")
    assert staff.post(url_of(product), {**page, "price": "12"}).status_code == 302


def test_a_brand_set_by_somebody_else_is_named_and_the_deleted_former_brand_is_no_error(
    staff: Client,
) -> None:
    product = factories.product("Pan", brand_name="Halden")
    page = form_of(staff.get(url_of(product)))
    Product.objects.update(brand=factories.brand("Vindur"))
    Brand.objects.get(name="Halden").delete()
    response = staff.post(url_of(product), {**page, "name": "Iron pan"})
    assert response.status_code == 302
    assert any(notice.endswith("→ “Vindur”") for notice in notices(response))
    assert Product.objects.get().brand.name == "Vindur"


def test_saving_without_a_change_writes_nothing(staff: Client) -> None:
    product = factories.product(
        "Pan", brand_name="Halden", sizes={"M": 1}, description=" One\nTwo \n", unpublish_at=None
    )
    factories.image(product, alt="Pan")
    Product.objects.update(publish_at=timezone.now())
    before = Product.objects.values().get()
    page = form_of(staff.get(url_of(product)))
    page["description"] = page["description"].replace("\n", "\r\n")
    assert staff.post(url_of(product), page).status_code == 302
    assert Product.objects.values().get() == before
    assert (product.history.count(), product.variants.get().history.count()) == (1, 1)


def test_line_ends_of_browsers_do_not_reach_the_database(staff: Client) -> None:
    product = factories.product("Pan", description="One\nTwo")
    page = form_of(staff.get(url_of(product)))
    staff.post(url_of(product), {**page, "description": "One\r\nTwo\r\nThree"})
    assert Product.objects.get().description == "One\nTwo\nThree"


def test_values_that_the_model_fills_in_are_saved_too(staff: Client) -> None:
    product = factories.product("Pan", status=Status.DRAFT, publish_at=None)
    page = form_of(staff.get(url_of(product)))
    assert staff.post(url_of(product), {**page, "status": Status.PUBLISHED}).status_code == 302
    assert Product.objects.get().publish_at is not None


def test_constraints_are_checked_for_the_changes_of_both_editors_together(staff: Client) -> None:
    product = factories.product("Pan", price="10.00")
    page = form_of(staff.get(url_of(product)))
    Product.objects.update(price="5.00")
    response = staff.post(url_of(product), {**page, "sale_price": "8.00"})
    assert "a sale price not above the price" in errors(response)
    assert "Price: “10.00” → “5.00”" in response.content.decode()


def test_stock_sold_while_the_product_is_edited_is_not_put_back(staff: Client) -> None:
    product = factories.product("Pan", sizes={"S": 5, "M": 5})
    url = url_of(product)
    page = form_of(staff.get(url))
    sql("UPDATE catalog_variant SET stock = stock - 1")
    response = staff.post(url, {**page, "name": "Iron pan", "variants-1-value": "Medium"})
    assert response.status_code == 302
    assert list(product.variants.values_list("value", "stock")) == [("S", 4), ("Medium", 4)]
    assert "Size S, Stock: “5” → “4”" in notices(response)
    assert [variant.history.count() for variant in product.variants.all()] == [1, 2]

    response = staff.post(url, {**page, "variants-0-stock": "9"})
    assert "from “5” to “4”; you entered “9”." in errors(response)
    assert staff.post(url, form_of(response)).status_code == 302
    assert list(product.variants.values_list("stock", flat=True)) == [9, 4]


def test_of_many_changes_the_first_ones_are_named(staff: Client) -> None:
    product = factories.product("Pan", sizes={str(size): 5 for size in range(15)})
    page = form_of(staff.get(url_of(product)))
    sql("UPDATE catalog_variant SET stock = stock - 1")
    lines = notices(staff.post(url_of(product), page))
    assert len([notice for notice in lines if "Stock: “5” → “4”" in notice]) == 10
    assert "and 5 more values" in lines


def test_stock_sold_while_the_list_is_edited_is_not_put_back(staff: Client) -> None:
    first, second = factories.product("Pan", sizes={"S": 5, "M": 5}).variants.all()
    url = reverse("admin:catalog_variant_changelist")

    def form_data(response: ClientResponse) -> dict[str, object]:
        formset = response.context["cl"].formset
        forms = [formset.management_form, *formset.forms]
        return {f.add_prefix(n): f[n].value() for f in forms for n in f.fields} | {"_save": "Save"}

    page = form_data(staff.get(url))
    assert str(page["form-0-snapshot"]) in staff.get(url).content.decode()
    sql("UPDATE catalog_variant SET stock = stock - 1 WHERE id = %s", second.pk)
    assert staff.post(url, {**page, "form-0-stock": 7}).status_code == 302
    assert list(Variant.objects.values_list("stock", flat=True)) == [7, 4]

    response = staff.post(url, {**page, "form-0-stock": 8})
    assert "from “5” to “7”; you entered “8”." in errors(response)
    assert staff.post(url, form_data(response)).status_code == 302
    assert list(Variant.objects.values_list("stock", flat=True)) == [8, 4]

    page = form_data(staff.get(url))
    Variant.objects.filter(pk=first.pk).delete()
    response = staff.post(url, {**page, "form-1-stock": 3})
    assert response.status_code == 302
    assert Variant.objects.get().stock == 3
    response = staff.post(url, {**page, "form-0-stock": 3, "form-1-stock": "x"})
    rows = response.context["cl"].result_list
    assert [row.pk for row in rows] == [None, second.pk]
    assert "was deleted by somebody else" in errors(response)


def test_a_variant_deleted_by_somebody_else_is_named_and_the_rest_is_saved(staff: Client) -> None:
    product = factories.product("Pan", sizes={"S": 1, "M": 2, "L": 3})
    url = url_of(product)
    page = form_of(staff.get(url))
    product.variants.get(value="S").delete()
    response = staff.post(url, {**page, "variants-2-stock": "9"})
    assert response.status_code == 302
    assert "“Size S” was deleted" in notices(response)
    assert list(product.variants.values_list("value", "stock")) == [("M", 2), ("L", 9)]

    response = staff.post(url, {**page, "variants-0-stock": "7", "variants-1-stock": "6"})
    assert "This was deleted by somebody else while you edited" in errors(response)
    text = response.content.decode()
    assert all(f'name="variants-{row}-sku"' in text for row in range(3))
    assert staff.post(url, {**form_of(response), "variants-0-DELETE": "on"}).status_code == 302
    assert list(product.variants.values_list("value", "stock")) == [("M", 6), ("L", 9)]


def test_deleting_a_variant_that_somebody_else_changed_needs_a_second_save(staff: Client) -> None:
    product = factories.product("Pan", sizes={"S": 5})
    page = form_of(staff.get(url_of(product)))
    sql("UPDATE catalog_variant SET stock = stock - 1")
    response = staff.post(url_of(product), {**page, "variants-0-DELETE": "on"})
    assert "“Size S” was changed by somebody else (Stock: “5” → “4”)" in errors(response)
    assert product.variants.exists()
    assert staff.post(url_of(product), {**form_of(response), "variants-0-DELETE": "on"}).status_code == 302
    assert not product.variants.exists()


def test_images_changed_added_or_deleted_by_somebody_else(staff: Client) -> None:
    product = factories.product("Pan")
    front, back = (
        factories.image(product, alt=alt, position=position) for position, alt in enumerate(["Front", "Back"])
    )
    url = url_of(product)
    page = form_of(staff.get(url))
    ProductImage.objects.filter(pk=front.pk).update(alt="From the front", file="products/front.png")
    response = staff.post(url, {**page, "images-0-seed": "5"})
    assert response.status_code == 302
    front.refresh_from_db()
    assert (front.alt, front.file.name, front.seed) == ("From the front", "products/front.png", 5)
    assert "“Front” to “From the front”" in errors(staff.post(url, {**page, "images-0-alt": "Mine"}))

    page = form_of(staff.get(url))
    factories.image(product, alt="Added meanwhile", position=2)
    added = {"images-TOTAL_FORMS": 3, "images-2-alt": "Mine", "images-2-position": 2, "images-2-seed": 0}
    assert "a position of its own" in errors(staff.post(url, {**page, **added}))
    back.delete()
    assert staff.post(url, {**page, "name": "Iron pan"}).status_code == 302
    assert staff.post(url, {**page, "images-1-DELETE": "on"}).status_code == 302


@pytest.mark.parametrize("model", ["product", "brand", "category", "variant"])
def test_a_row_deleted_by_somebody_else_gets_a_message(staff: Client, model: str) -> None:
    row = ROWS[model][0]()
    url = url_of(row)
    page = form_of(staff.get(url))
    Variant.objects.all().delete()
    Product.objects.all().delete()
    type(row).objects.filter(pk=row.pk).delete()
    for target in (url, url.replace("change", "delete")):
        response = staff.post(target, {**page, "post": "yes"}, follow=True)
        assert response.status_code == 200
        assert "Perhaps it was deleted?" in response.content.decode()


def test_a_category_moved_by_somebody_else_keeps_its_new_place(staff: Client) -> None:
    pans, garden = factories.category("Kitchen/Pans"), factories.category("Garden")
    page = form_of(staff.get(url_of(pans)))
    Category.objects.move(Category.objects.get(pk=pans.pk), garden, "first-child")
    assert staff.post(url_of(pans), {**page, "name": "Skillets"}).status_code == 302
    stored_row = Category.objects.get(pk=pans.pk)
    assert (stored_row.name, stored_row.url_path, stored_row.history.count()) == (
        "Skillets",
        "garden/pans",
        2,
    )
    response = staff.post(
        url_of(pans), {**page, "treebeard_ref_node": "", "treebeard_position": "first-child"}
    )
    assert "to “garden”" in errors(response)
    assert Category.objects.get(pk=pans.pk).url_path == "garden/pans"
    assert staff.post(url_of(pans), form_of(response)).status_code == 302
    assert Category.objects.get(pk=pans.pk).url_path == "pans"


def test_moving_or_creating_a_category_adds_one_version(staff: Client) -> None:
    pans, garden = factories.category("Kitchen/Pans"), factories.category("Garden")
    page = form_of(staff.get(url_of(pans)))
    moved = {"treebeard_ref_node": garden.pk, "treebeard_position": "first-child", "name": "Skillets"}
    assert staff.post(url_of(pans), {**page, **moved}).status_code == 302
    stored_row = Category.objects.get(pk=pans.pk)
    assert (stored_row.name, stored_row.url_path, stored_row.history.count()) == (
        "Skillets",
        "garden/pans",
        2,
    )
    data = {
        "name": "Woks",
        "slug": "woks",
        "treebeard_position": "first-child",
        "treebeard_ref_node": garden.pk,
    }
    assert staff.post(reverse("admin:catalog_category_add"), data).status_code == 302
    assert Category.objects.get(slug="woks").history.count() == 1


def test_restoring_a_version_keeps_fields_that_somebody_else_changed(staff: Client) -> None:
    product = factories.product("Pan", price="10.00")
    Product.objects.get().save()
    data = {**form_of(staff.get(url_of(product))), "name": "Wok"}
    staff.post(url_of(product), data)
    url = reverse("admin:catalog_product_simple_history", args=[product.pk, product.history.last().pk])
    page = form_of(staff.get(url))
    Product.objects.update(price="12.00")
    assert page["snapshot"] in staff.get(url).content.decode() or page["snapshot"]
    assert staff.post(url, page).status_code == 302
    stored_row = Product.objects.get()
    assert (stored_row.name, stored_row.price, stored_row.history.first().price) == (
        "Pan",
        Decimal("12.00"),
        Decimal("12.00"),
    )


def test_a_deleted_product_comes_back_from_its_history(staff: Client) -> None:
    product = factories.product("Pan")
    version = product.history.last()
    product.delete()
    url = reverse("admin:catalog_product_simple_history", args=[version.id, version.pk])
    assert staff.post(url, form_of(staff.get(url))).status_code == 302
    assert Product.objects.get().name == "Pan"


@pytest.mark.parametrize("snapshot", ["x", "x:y:z"])
def test_a_damaged_snapshot_gets_an_error_message(staff: Client, snapshot: str) -> None:
    product = factories.product("Pan")
    page = form_of(staff.get(url_of(product)))
    response = staff.post(url_of(product), {**page, "name": "Iron pan", "snapshot": snapshot})
    assert "Load the page again" in errors(response)
    other = form_of(staff.get(url_of(factories.product("Wok"))))
    response = staff.post(url_of(product), {**page, "name": "Iron pan", "snapshot": other["snapshot"]})
    assert "Load the page again" in errors(response)


@pytest.mark.django_db(transaction=True)
def test_the_rows_are_locked_between_the_comparison_and_the_save(staff: Client) -> None:
    product = factories.product("Pan", sizes={"M": 5})
    page = form_of(staff.get(url_of(product)))
    refused_statements = []

    def act_as_rival(sender: type[Product], **_kwargs: Any) -> None:
        with psycopg.connect(**connection.get_connection_params(), autocommit=True) as rival:
            rival.execute("SET lock_timeout = '50ms'")
            for statement in ("UPDATE catalog_product SET price = 1", "UPDATE catalog_variant SET stock = 1"):
                with pytest.raises(psycopg.errors.LockNotAvailable):
                    rival.execute(statement)
                refused_statements.append(statement)

    pre_save.connect(act_as_rival, sender=Product)
    try:
        data = {**page, "name": "Iron pan", "variants-0-value": "L"}
        assert staff.post(url_of(product), data).status_code == 302
    finally:
        pre_save.disconnect(act_as_rival, sender=Product)
    assert len(refused_statements) == 2


@pytest.mark.parametrize(("shown", "stored"), [("Black.", "Blue."), ("", "Black.")])
def test_notices_show_the_difference_of_long_texts(staff: Client, shown: str, stored: str) -> None:
    text = "Iron. " * 100
    product = factories.product("Pan", description=f"{text}{shown}")
    page = form_of(staff.get(url_of(product)))
    Product.objects.update(description=f"{text}{stored}")
    (notice,) = notices(staff.post(url_of(product), page))
    assert re.fullmatch(rf"Description: “…[Iron. ]{{15,20}}{shown}” → “…[Iron. ]{{15,20}}{stored}”", notice)


RIVALS = {
    "sku": (
        "INSERT INTO catalog_variant (product_id, sku, option, value, gtin, position, active, stock) "
        "SELECT id, 'NEW-1', '', '', '', 1, true, 1 FROM catalog_product",
        "Variant with this SKU already exists",
    ),
    "position": (
        "INSERT INTO catalog_productimage (product_id, file, seed, alt, position) "
        "SELECT id, '', 0, 'Theirs', 0 FROM catalog_product",
        "Each image needs a position of its own",
    ),
    "brand": ("DELETE FROM catalog_brand WHERE slug = 'vindur'", "That choice is not one of the available"),
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("rival", RIVALS)
def test_a_conflicting_commit_between_the_checks_and_the_save_becomes_an_error_of_the_form(
    staff: Client, rival: str
) -> None:
    product, vindur = factories.product("Pan"), factories.brand("Vindur")
    page = form_of(staff.get(url_of(product)))
    statement, expected = RIVALS[rival]
    done: list[str] = []

    def act_as_rival(sender: type[Product], **_kwargs: Any) -> None:
        if not done:
            done.append(statement)
            with psycopg.connect(**connection.get_connection_params(), autocommit=True) as other:
                other.execute(statement)

    rows: dict[str, dict[str, Any]] = {
        "sku": {
            "variants-TOTAL_FORMS": 1,
            "variants-0-sku": "NEW-1",
            "variants-0-stock": 1,
            "variants-0-position": 0,
        },
        "position": {
            "images-TOTAL_FORMS": 1,
            "images-0-alt": "Mine",
            "images-0-position": 0,
            "images-0-seed": 0,
        },
        "brand": {"brand": vindur.pk},
    }
    added = rows[rival]
    pre_save.connect(act_as_rival, sender=Product)
    try:
        response = staff.post(url_of(product), {**page, "name": "Iron pan", **added})
    finally:
        pre_save.disconnect(act_as_rival, sender=Product)
    assert done
    assert expected in errors(response)
    assert "was changed successfully" not in response.content.decode()
    assert Product.objects.get().name == "Pan"
