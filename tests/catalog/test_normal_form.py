"""One text is one text, in whichever form of Unicode it is written."""

from __future__ import annotations

import importlib
import json
from io import StringIO
from unicodedata import normalize

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import connection

from catalog import search
from catalog.models import Brand, Category, Product, ProductImage, Variant
from tests.catalog import shelves

pytestmark = pytest.mark.django_db

WORD = "Café Ångström 한국"
APART = normalize("NFD", WORD)
ROW = {"sku": WORD, "name": WORD, "category": [WORD], "price": 1, "brand": WORD, "description": WORD}
ROW |= {
    "attributes": {WORD: WORD, "List": [WORD]},
    "variants": [{"sku": f"{WORD}-1", "option": WORD, "value": WORD}],
    "images": [WORD],
}


@pytest.fixture
def bring(tmp_path):
    """Import text and return what the command said."""

    def bring(content: str) -> str:
        file = tmp_path / "goods"
        file.write_text(content)
        said = StringIO()
        call_command("import_catalog", str(file), stdout=said, stderr=said)
        return said.getvalue()

    return bring


def texts() -> list[str]:
    """Every text of the catalog as the database has it."""
    columns = {
        "catalog_brand": "name",
        "catalog_category": "name, description",
        "catalog_product": "name, sku, description, brand_name, attributes::text",
        "catalog_variant": "sku, option, value",
        "catalog_productimage": "alt",
    }
    with connection.cursor() as cursor:
        found = []
        for table, names in columns.items():
            cursor.execute(f"SELECT unnest(ARRAY[{names}]) FROM {table}")
            found += [text for (text,) in cursor.fetchall()]
    return found


@pytest.mark.parametrize("escaped", [True, False])
def test_an_import_takes_the_two_forms_for_one(bring, escaped):
    lines = [json.dumps(ROW, ensure_ascii=escaped), normalize("NFD", json.dumps(ROW, ensure_ascii=False))]
    assert "1 new, 0 changed, 0 unchanged" in bring(lines[0])
    assert "0 new, 0 changed, 1 unchanged" in bring(lines[1])
    assert "0 new, 0 changed, 1 unchanged" in bring(json.dumps(json.loads(lines[1])))
    assert Brand.objects.count() == Category.objects.count() == Product.objects.count() == 1
    assert WORD in texts()
    assert APART not in "".join(texts())
    assert "This SKU is on line 1 already" in bring("\n".join(lines))


def test_csv_has_its_columns_and_values_in_either_form(bring):
    bring(normalize("NFD", f"sku,name,category,price,attribute:Größe\nA,{WORD},c,1,{WORD}\n"))
    product = Product.objects.get()
    assert (product.name, product.attributes) == (WORD, {"Größe": WORD})


def test_a_brand_that_is_stored_in_the_other_form_is_found(bring):
    stored = shelves.brand("Cafe")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE catalog_brand SET name = %s", [normalize("NFD", "Café")])
    bring(json.dumps(ROW | {"brand": "CAFÉ"}))
    assert Product.objects.get().brand == stored
    assert Brand.objects.count() == 1


def test_what_code_and_forms_write_is_normalized():
    product = shelves.product(
        APART, sku=APART, at=APART, by=APART, attributes={APART: [APART]}, sizes={APART: 1}
    )
    Variant.objects.update(option=APART)
    shelves.image(product, alt=APART)
    assert Product.objects.get(sku=APART).name == WORD
    assert ProductImage.objects.filter(alt=APART).exists()
    assert Product.objects.filter(attributes__contains={APART: [APART]}).exists()
    assert not [text for text in texts() if text != normalize("NFC", text)]


def test_the_two_forms_of_a_brand_are_one_to_a_form():
    shelves.brand(WORD)
    other = Brand(name=APART, slug="other")
    with pytest.raises(ValidationError, match="There is a brand of this name already"):
        other.full_clean()
    assert other.name == WORD


def test_a_search_finds_either_form():
    shelves.product(WORD)
    for text in (WORD, APART):
        result = search.search_products(text, among=Product.objects.visible())
        assert (result.match, [product.name for product in result.products]) == (search.Match.ALL, [WORD])


def test_what_was_stored_before_is_normalized_once():
    product = shelves.product("a", by="a", attributes={"a": 1}, sizes={"S": 1})
    shelves.image(product, alt="a")
    other, same = shelves.brand("Same"), shelves.brand("b")
    twin = shelves.product("b", sku="Twin")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE catalog_brand SET name = %s WHERE name = 'a'", [APART])
        cursor.execute("UPDATE catalog_category SET name = %s, description = %s", [APART, APART])
        cursor.execute(
            "UPDATE catalog_product SET name = %s, description = %s, sku = %s, attributes = %s WHERE id = %s",
            [APART, APART, APART, json.dumps({APART: APART}), product.pk],
        )
        cursor.execute("UPDATE catalog_variant SET sku = %s, option = %s, value = %s", [APART, APART, APART])
        cursor.execute("UPDATE catalog_productimage SET alt = %s", [APART])
        cursor.execute(
            "UPDATE catalog_brand SET name = %s WHERE id = %s", [normalize("NFD", "CAFÉ"), same.pk]
        )
        cursor.execute("UPDATE catalog_brand SET name = 'Café' WHERE id = %s", [other.pk])
        cursor.execute("UPDATE catalog_product SET sku = 'é' WHERE id = %s", [twin.pk])
        cursor.execute(importlib.import_module("catalog.migrations.0006_normal_form").SQL)
    left = [text for text in texts() if text != normalize("NFC", text)]
    assert left == [normalize("NFD", "CAFÉ")]
    assert Product.objects.get(pk=product.pk).attributes == {WORD: WORD}
