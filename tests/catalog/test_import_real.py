"""The shipped mappings import all rows of the real files, and importing again changes nothing."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import call_command

from catalog.models import Brand, Category, Product, Variant
from tests.catalog.real_data import DATA

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.django_db,
    pytest.mark.skipif(not DATA.exists(), reason="the real product data is not beside the project"),
]


def run_import(name: str, mapping: str) -> str:
    output = StringIO()
    call_command("import_catalog", str(DATA / name), mapping=mapping, stdout=output, stderr=output)
    return output.getvalue()


def test_the_fashion_sample_is_imported_completely_and_once() -> None:
    assert " 0 left out" in run_import("fashion_sample.jsonl.gz", "fashion")
    assert Product.objects.count() == 848
    assert Category.objects.filter(depth=3).count() == 169
    assert not any(Category.objects.find_problems())
    assert Brand.objects.filter(name__iexact="adidas").count() <= 1
    assert not Product.objects.exclude(currency="INR").exists()
    assert not any(
        "NA" in map(str, values)
        for values in map(dict.values, Product.objects.values_list("attributes", flat=True))
    )
    assert Variant.objects.count() > 848
    assert "0 new, 0 changed, 848 unchanged" in run_import("fashion_sample.jsonl.gz", "fashion")


def test_the_phones_are_imported_completely_and_once() -> None:
    assert " 0 left out" in run_import("bestbuy_products.jsonl.gz", "bestbuy")
    assert Product.objects.count() == 3291
    assert Product.objects.filter(sku__regex=r"^\d+$").count() == 3291
    assert "0 new, 0 changed, 3291 unchanged" in run_import("bestbuy_products.jsonl.gz", "bestbuy")
