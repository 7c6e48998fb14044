"""A mapping is guessed from a file, and a person can use it as it is or edit it."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from django.core.management import CommandError, call_command

from catalog.models import Product

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.django_db

GERMAN = (
    "Artikel-Nr.;Bezeichnung;Marke;Warengruppe;VK;UVP;Farbe;Beschreibung;Bestand;Notiz\n"
    "A-1;Küchenmesser;Halden;Küche / Messer;12,50;19,99;rot;" + "Ein langer Text. " * 20 + ";3;\n"
    "A-2;Brotmesser;NA;Küche / Messer;1.250,00;;blau;" + "Noch ein langer Text. " * 20 + ";0;\n"
)
SHOPIFY = (
    "Handle,Title,Body (HTML),Vendor,Type,Variant SKU,Variant Inventory Qty,Variant Price,Variant Barcode\n"
    'knife,Kitchen knife,<p>Sharp</p>,Halden,Knives,K-1,4,"1,250.00",4006381333931\n'
)
JSON = '{"itemNumber": "A-1", "productName": "Knife", "categories": ["Kitchen", "Knives"], "price": 12.5, "colour": "red"}\n'


@pytest.fixture
def guess(tmp_path: Path) -> Callable[[str], Path]:
    """Write the mapping that is guessed for a file beside it."""

    def guess(content: str, encoding: str = "utf-8") -> Path:
        file, mapping = tmp_path / "goods", tmp_path / "guess.toml"
        file.write_bytes(content.encode(encoding))
        output = StringIO()
        call_command("import_catalog", str(file), guess=True, stdout=output)
        mapping.write_text(output.getvalue())
        assert not Product.objects.exists()
        return mapping

    return guess


def imported(mapping: Path) -> Product:
    output = StringIO()
    file = mapping.with_name("goods")
    call_command("import_catalog", str(file), mapping=str(mapping), stdout=output, stderr=output)
    assert " 0 left out" in output.getvalue(), output.getvalue()
    product: Product = Product.objects.order_by("sku")[0]
    return product


def test_a_german_file_in_windows_1252(guess: Callable[..., Path]) -> None:
    mapping = guess(GERMAN, "cp1252")
    proposed = tomllib.loads(mapping.read_text())
    assert (proposed["encoding"], proposed["decimal"], proposed["nothing"]) == ("cp1252", ",", ["NA"])
    assert proposed["product"]["category"] == {"column": "Warengruppe", "split": "/"}
    assert proposed["attributes"]["columns"] == {"UVP": "UVP", "Farbe": "Farbe"}
    assert '# "Notiz" = "Notiz"' in mapping.read_text()
    product = imported(mapping)
    assert (product.sku, product.name, product.price) == ("A-1", "Küchenmesser", Decimal("12.50"))
    assert product.category.url_path == "kuche/messer"
    assert product.attributes == {"UVP": "19,99", "Farbe": "rot"}


def test_an_export_of_another_shop(guess: Callable[..., Path]) -> None:
    product = imported(guess(SHOPIFY))
    assert (product.sku, product.name, product.price) == ("K-1", "Kitchen knife", Decimal(1250))
    assert product.variants.get().gtin == "4006381333931"
    assert product.variants.get().stock == 4


def test_json_lines(guess: Callable[..., Path]) -> None:
    product = imported(guess(JSON))
    assert (product.sku, product.category.url_path) == ("A-1", "kitchen/knives")
    assert product.attributes == {"colour": "red"}


def test_what_is_missing_is_named(guess: Callable[..., Path]) -> None:
    text = guess("Was;Wert\nx;1\n").read_text()
    assert '# sku = ""  # no column looks like it, and each product needs one' in text
    assert tomllib.loads(text)["product"] == {}


def test_a_file_that_cannot_be_read_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(CommandError, match="The file is empty"):
        call_command("import_catalog", str(tmp_path / "empty"), guess=True)
