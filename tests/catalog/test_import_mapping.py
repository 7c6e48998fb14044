"""Mappings read the columns of other shops' files, and error messages name what is wrong in a mapping."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from catalog.importing.column_mapping import SHIPPED, load_mapping
from catalog.importing.exceptions import MappingError
from catalog.importing.record_builder import build_records
from catalog.importing.records import Row

if TYPE_CHECKING:
    from pathlib import Path

    from catalog.importing.records import Problem, ProductRecord


def record(tmp_path: Path, mapping: str, columns: dict[str, Any]) -> ProductRecord:
    """Return the record of one row. Columns that every product needs have default values."""
    file = tmp_path / "mapping.toml"
    file.write_text(mapping)
    problems: list[Problem] = []
    row = Row(1, {"sku": "S", "name": "N", "category": ["C"], "price": 1, **columns})
    records = list(build_records([row], load_mapping(str(file)), report=problems.append))
    assert not problems
    return records[0]


PLAIN = '[product]\nsku = "sku"\nname = "name"\ncategory = "category"\nprice = "price"\n'


@pytest.mark.parametrize(
    ("spec", "columns", "brand"),
    [
        ('"maker"', {"maker": " Fernweh "}, "Fernweh"),
        ('"seller.name"', {"seller": {"name": "Fernweh"}}, "Fernweh"),
        ('"path.1"', {"path": ["a", "Fernweh"]}, "Fernweh"),
        ('"path.7"', {"path": ["a"]}, ""),
        ('{ value = "Ours" }', {}, "Ours"),
        ('{ text = "{a} & {b}" }', {"a": "Halden", "b": "Sons"}, "Halden & Sons"),
        ('{ text = "{a} & {b}" }', {"a": "Halden"}, ""),
        ('{ first = ["a", { value = "Nobody" }] }', {"a": "-"}, "Nobody"),
        ('{ join = ["a", "b", "c"] }', {"a": "x", "c": "y"}, "x\n\ny"),
        ("{ column = \"a\", match = '#(\\d+)' }", {"a": "No #12!"}, "12"),
        ("{ column = \"a\", match = '#(\\d+)' }", {"a": "none"}, ""),
        ('{ column = "a", words = { F = "Fernweh" } }', {"a": "F"}, "Fernweh"),
        ('{ column = "a", words = { F = "Fernweh" } }', {"a": "G"}, "G"),
    ],
)
def test_a_value_is_extracted_as_the_mapping_describes(
    tmp_path: Path, spec: str, columns: dict[str, object], brand: str
) -> None:
    mapping = f'nothing = ["-"]\n{PLAIN}brand = {spec}\n'
    assert record(tmp_path, mapping, columns).brand == brand


def test_a_text_is_split_into_a_path(tmp_path: Path) -> None:
    mapping = PLAIN.replace('"category"', '{ column = "path", split = "/" }')
    assert record(tmp_path, mapping, {"path": "Shoes / Boots"}).category == ("Shoes", "Boots")


def test_attributes_come_from_an_object_from_prefixes_and_from_columns(tmp_path: Path) -> None:
    mapping = f'nothing = ["NA"]\n{PLAIN}[attributes]\nspread = "more"\nprefix = "a:"\n[attributes.columns]\nColour = "color"\n'
    columns = {
        "more": {"Fit": "Slim", "Neck": "NA"},
        "a:Size:number": "42",
        "a:Lined:boolean": "yes",
        "color": ["Red", ""],
    }
    assert record(tmp_path, mapping, columns).attributes == {
        "Fit": "Slim",
        "Size": 42,
        "Lined": True,
        "Colour": ["Red"],
    }


def test_variants_and_images_come_from_lists(tmp_path: Path) -> None:
    mapping = (
        f'{PLAIN}[variants]\neach = "sizes"\nsku = "id"\nvalue = "label"\n'
        '[images]\neach = "views"\nalt = { text = "{name}, {item}" }\n'
    )
    product = record(
        tmp_path, mapping, {"sizes": [{"id": 7, "label": "M"}, {"label": "L"}], "views": ["front"]}
    )
    assert [(variant.sku, variant.value) for variant in product.variants] == [("7", "M"), ("S-2", "L")]
    assert product.images == ("N, front",)


def test_a_mapping_can_declare_moments_as_seconds_since_1970(tmp_path: Path) -> None:
    mapping = f'{PLAIN}publish_at = {{ column = "added", unix = true }}\nunpublish_at = "end"\n'
    product = record(tmp_path, mapping, {"added": 1767225600, "end": "2026-02-01T00:00Z"})
    assert product.publish_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert product.unpublish_at == datetime(2026, 2, 1, tzinfo=UTC)


def test_a_mapping_can_declare_the_decimal_sign_of_numbers_in_texts(tmp_path: Path) -> None:
    mapping = (
        f'decimal = ","\n{PLAIN}sale_price = "sale"\n[attributes]\nprefix = "a:"\n'
        '[variants]\neach = "sizes"\nprice = "price"\n'
    )
    columns = {"price": "1.250,50", "sale": 1200.5, "a:Weight:number": "1,5", "sizes": [{"price": "99,90"}]}
    product = record(tmp_path, mapping, columns)
    assert (product.price, product.sale_price) == (Decimal("1250.50"), Decimal("1200.50"))
    assert product.variants[0].price == Decimal("99.90")
    assert product.attributes == {"Weight": 1.5}


@pytest.mark.parametrize(
    ("text", "price"),
    [
        *(("€ 1.250,50", "1250.50"), ("1.250,50 €", "1250.50"), ("1250,50EUR", "1250.50"), ("1.250", "1250")),
        *((12.5, "12.50"), ("12,5", "12.50")),
    ],
)
def test_a_mapping_can_declare_how_prices_are_written(tmp_path: Path, text: object, price: str) -> None:
    signs = 'currency_signs = ["€", "EUR"]\nthousands = "."\n'
    assert record(tmp_path, signs + PLAIN, {"price": text}).price == Decimal(price)


@pytest.mark.parametrize("text", ["1 250,50", "1'250,50", "$ 12,50", "€ € 12,50", "€"])
def test_prices_in_other_ways_than_declared_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "mapping.toml").write_text(f'currency_signs = ["€"]\nthousands = "."\n{PLAIN}')
    problems: list[Problem] = []
    rows = [Row(1, {"sku": "S", "name": "N", "category": ["C"], "price": text})]
    assert not [*build_records(rows, load_mapping(str(tmp_path / "mapping.toml")), report=problems.append)]
    assert [(problem.column, problem.value) for problem in problems] == [("price", text)]


def test_a_sku_of_an_earlier_row_can_be_replaced(tmp_path: Path) -> None:
    file = tmp_path / "mapping.toml"
    file.write_text(PLAIN + 'sku_if_taken = { text = "{sku}-{id}" }\n')
    rows = [
        Row(line, {"sku": "S", "id": line, "name": "N", "category": ["C"], "price": 1}) for line in (1, 2)
    ]
    records = build_records(rows, load_mapping(str(file)), report=lambda problem: pytest.fail(str(problem)))
    assert [product.sku for product in records] == ["S", "S-2"]


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda path: path.stem)
def test_the_shipped_mappings_are_understood(path: Path) -> None:
    assert {"sku", "name", "category", "price"} <= load_mapping(path.stem).product.keys()


@pytest.mark.parametrize(
    ("mapping", "reason"),
    [
        ("[product", "mapping.toml: "),
        ('[product]\nprize = "p"', "“prize” has no meaning in \\[product\\]"),
        ('[prodcut]\nsku = "s"', "“prodcut” has no meaning"),
        ('[product]\nsku = { column = "a", value = "b" }', "exactly one of"),
        ('[product]\nsku = { columns = ["a"] }', "exactly one of"),
        ("[product]\nsku = { column = \"a\", match = '(' }", "unterminated"),
        ("[product]\nsku = { column = \"a\", match = 'a' }", "needs one group"),
        ('decimal = ";"', "“;” is not a decimal sign"),
        ('decimal = [","]', "is not a decimal sign"),
        ('decimal = ","\nthousands = ","', "are the same sign"),
        ('thousands = " "', "must also have “decimal”"),
        ('thousands = "x"', "“x” cannot separate thousands"),
        ('currency_signs = "€"', "is a list of texts"),
        ('encoding = "klingon"', "There is no encoding “klingon”"),
        ("encoding = 5", "There is no encoding “5”"),
        ('[product]\nsku = { column = "a", unix = true }', "“unix” has no meaning"),
        ('[product]\npublish_at = { column = "a", unix = "s" }', "“unix” is true or false"),
        ('[images]\neach = "v"', "“alt” is missing in \\[images\\]"),
        ('[variants]\neach = "v"\ncolour = "c"', "“colour” has no meaning in \\[variants\\]"),
    ],
)
def test_errors_name_what_is_wrong_in_a_mapping(tmp_path: Path, mapping: str, reason: str) -> None:
    file = tmp_path / "mapping.toml"
    file.write_text(mapping)
    with pytest.raises(MappingError, match=reason):
        load_mapping(str(file))


def test_the_error_for_a_missing_mapping_names_the_shipped_ones() -> None:
    with pytest.raises(MappingError, match="bestbuy, fashion, native"):
        load_mapping("nothing")
