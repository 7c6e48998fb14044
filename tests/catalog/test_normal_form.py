"""Texts are stored in the form NFC of Unicode, in whatever form they are entered."""

from __future__ import annotations

import importlib
import json
from io import StringIO
from typing import TYPE_CHECKING
from unicodedata import normalize

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import connection

from catalog import search
from catalog.models import Brand, Category, Product, ProductImage, Variant
from tests.catalog import factories

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.django_db

COMPOSED = "Café Ångström 한국"
DECOMPOSED = normalize("NFD", COMPOSED)
ROW = {
    "sku": COMPOSED,
    "name": COMPOSED,
    "category": [COMPOSED],
    "price": 1,
    "brand": COMPOSED,
    "description": COMPOSED,
}
ROW |= {
    "attributes": {COMPOSED: COMPOSED, "List": [COMPOSED]},
    "variants": [{"sku": f"{COMPOSED}-1", "option": COMPOSED, "value": COMPOSED}],
    "images": [COMPOSED],
}


@pytest.fixture
def run_import(tmp_path: Path) -> Callable[..., str]:
    """Import a text and return the output of the command."""

    def run_import(content: str) -> str:
        file = tmp_path / "goods"
        file.write_text(content)
        output = StringIO()
        call_command("import_catalog", str(file), stdout=output, stderr=output)
        return output.getvalue()

    return run_import


def texts() -> list[str]:
    """Return all texts of the catalog as the database has them."""
    columns = {
        "catalog_brand": "name",
        "catalog_category": "name, description",
        "catalog_product": "name, sku, description, brand_name, attributes::text",
        "catalog_variant": "sku, option, value",
        "catalog_productimage": "alt",
    }
    with connection.cursor() as cursor:
        values = []
        for table, names in columns.items():
            cursor.execute(f"SELECT unnest(ARRAY[{names}]) FROM {table}")
            values += [text for (text,) in cursor.fetchall()]
    return values


@pytest.mark.parametrize("escaped", [True, False])
def test_an_import_of_both_forms_gives_one_row(run_import: Callable[..., str], escaped: bool) -> None:
    lines = [json.dumps(ROW, ensure_ascii=escaped), normalize("NFD", json.dumps(ROW, ensure_ascii=False))]
    assert "1 new, 0 changed, 0 unchanged" in run_import(lines[0])
    assert "0 new, 0 changed, 1 unchanged" in run_import(lines[1])
    assert "0 new, 0 changed, 1 unchanged" in run_import(json.dumps(json.loads(lines[1])))
    assert Brand.objects.count() == Category.objects.count() == Product.objects.count() == 1
    assert COMPOSED in texts()
    assert DECOMPOSED not in "".join(texts())
    assert "This SKU is on line 1 already" in run_import("\n".join(lines))


def test_csv_can_have_columns_and_values_in_either_form(run_import: Callable[..., str]) -> None:
    run_import(normalize("NFD", f"sku,name,category,price,attribute:Größe\nA,{COMPOSED},c,1,{COMPOSED}\n"))
    product = Product.objects.get()
    assert (product.name, product.attributes) == (COMPOSED, {"Größe": COMPOSED})


def test_a_brand_that_is_stored_in_the_other_form_is_found(run_import: Callable[..., str]) -> None:
    stored = factories.brand("Cafe")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE catalog_brand SET name = %s", [normalize("NFD", "Café")])
    run_import(json.dumps(ROW | {"brand": "CAFÉ"}))
    assert Product.objects.get().brand == stored
    assert Brand.objects.count() == 1


def test_the_models_normalize_what_code_writes() -> None:
    product = factories.product(
        DECOMPOSED,
        sku=DECOMPOSED,
        path=DECOMPOSED,
        brand_name=DECOMPOSED,
        attributes={DECOMPOSED: [DECOMPOSED]},
        sizes={DECOMPOSED: 1},
    )
    Variant.objects.update(option=DECOMPOSED)
    factories.image(product, alt=DECOMPOSED)
    assert Product.objects.get(sku=DECOMPOSED).name == COMPOSED
    assert ProductImage.objects.filter(alt=DECOMPOSED).exists()
    assert Product.objects.filter(attributes__contains={DECOMPOSED: [DECOMPOSED]}).exists()
    assert not [text for text in texts() if text != normalize("NFC", text)]


def test_a_form_refuses_the_other_form_of_an_existing_brand() -> None:
    factories.brand(COMPOSED)
    other = Brand(name=DECOMPOSED, slug="other")
    with pytest.raises(ValidationError, match="There is a brand of this name already"):
        other.full_clean()
    assert other.name == COMPOSED


def test_a_search_finds_either_form() -> None:
    factories.product(COMPOSED)
    for text in (COMPOSED, DECOMPOSED):
        result = search.search_products(text, among=Product.objects.visible())
        assert (result.match, [product.name for product in result.products]) == (search.Match.ALL, [COMPOSED])


def test_the_migration_normalizes_the_stored_texts() -> None:
    product = factories.product("a", brand_name="a", attributes={"a": 1}, sizes={"S": 1})
    factories.image(product, alt="a")
    other, same = factories.brand("Same"), factories.brand("b")
    twin = factories.product("b", sku="Twin")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE catalog_brand SET name = %s WHERE name = 'a'", [DECOMPOSED])
        cursor.execute("UPDATE catalog_category SET name = %s, description = %s", [DECOMPOSED, DECOMPOSED])
        cursor.execute(
            "UPDATE catalog_product SET name = %s, description = %s, sku = %s, attributes = %s WHERE id = %s",
            [DECOMPOSED, DECOMPOSED, DECOMPOSED, json.dumps({DECOMPOSED: DECOMPOSED}), product.pk],
        )
        cursor.execute(
            "UPDATE catalog_variant SET sku = %s, option = %s, value = %s",
            [DECOMPOSED, DECOMPOSED, DECOMPOSED],
        )
        cursor.execute("UPDATE catalog_productimage SET alt = %s", [DECOMPOSED])
        cursor.execute(
            "UPDATE catalog_brand SET name = %s WHERE id = %s", [normalize("NFD", "CAFÉ"), same.pk]
        )
        cursor.execute("UPDATE catalog_brand SET name = 'Café' WHERE id = %s", [other.pk])
        cursor.execute("UPDATE catalog_product SET sku = 'é' WHERE id = %s", [twin.pk])
        cursor.execute(importlib.import_module("catalog.migrations.0006_normal_form").SQL)
    unnormalized = [text for text in texts() if text != normalize("NFC", text)]
    assert unnormalized == [normalize("NFD", "CAFÉ")]
    assert Product.objects.get(pk=product.pk).attributes == {COMPOSED: COMPOSED}
