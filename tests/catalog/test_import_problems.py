"""Each kind of invalid row is reported with line, column, value and reason, and the other rows are imported."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import zlib
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from django.core.management import CommandError, call_command

from catalog.importing.records import Problem, Row
from catalog.importing.source import Source
from catalog.management.commands import import_catalog
from catalog.models import Product

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.django_db

GOOD = {"sku": "G-1", "name": "Good", "category": ["Shoes", "Boots"], "price": "12.50"}


def problems_of(tmp_path: Path, content: bytes, name: str = "goods.jsonl") -> list[tuple[str, ...]]:
    """Import the content, which is to be UTF-8, and return the problems as (line, column, value, reason)."""
    file = tmp_path / name
    file.write_bytes(content)
    errors = tmp_path / "errors.csv"
    output = StringIO()
    call_command("import_catalog", str(file), errors=errors, encoding="utf-8", stdout=output, stderr=output)
    with errors.open(encoding="utf-8") as rows:
        return [tuple(row.values()) for row in csv.DictReader(rows)]


def json_lines(*rows: object) -> bytes:
    return b"".join(row if isinstance(row, bytes) else json.dumps(row).encode() + b"\n" for row in rows)


@pytest.mark.parametrize(
    ("change", "column", "value", "reason"),
    [
        ({"name": None}, "name", "", "This is missing."),
        ({"name": "  "}, "name", "", "This is missing."),
        ({"name": "x" * 301}, "name", "x" * 120, "This is 301 characters long; 300 are allowed."),
        (
            {"name": "a\x00b"},
            "name",
            "a\N{REPLACEMENT CHARACTER}b",
            "a character in it that no text can have",
        ),
        ({"name": "\ud800"}, "name", "\N{REPLACEMENT CHARACTER}", "a character in it that no text can have"),
        ({"sku": None}, "sku", "", "This is missing."),
        ({"price": None}, "price", "", "This is missing."),
        ({"price": "12,x"}, "price", "12,x", "This is not a number such as 12.50."),
        ({"price": True}, "price", "true", "This is not a number"),
        ({"price": -3}, "price", "-3", "A price is not below zero."),
        ({"price": "0.999"}, "price", "0.999", "at most two decimals"),
        ({"price": 1e12}, "price", "1000000000000.0", "more than a price can be"),
        ({"sale_price": 13}, "sale_price", "13", "A sale price is not above the price."),
        ({"currency": "EURO"}, "currency", "EURO", "not a currency code"),
        ({"category": []}, "category", "[]", "This is missing."),
        (
            {"category": ["Shoes", "", "Boots"]},
            "category",
            '["Shoes", "", "Boots"]',
            "level 2 of the path is empty",
        ),
        (
            {"category": "Shoes > > Boots"},
            "category",
            '["Shoes", "", "Boots"]',
            "level 2 of the path is empty",
        ),
        ({"status": "sold"}, "status", "sold", "one of: draft, scheduled, published, archived"),
        ({"status": "scheduled"}, "publish_at", "", "needs the moment"),
        ({"publish_at": "soon"}, "publish_at", "soon", "not a moment"),
        ({"publish_at": 20260102}, "publish_at", "20260102", "A number is not a moment"),
        ({"price": "12,50"}, "price", "12,50", "unclear whether “,” stands before decimals"),
        ({"attributes": {"Size": 10**400}}, "attributes.Size", "1000", "more than a number can be"),
        ({"category": ["x"] * 64}, "category", '["x", "x"', "The path is too long."),
        (
            {"publish_at": "2026-02-01", "unpublish_at": "2026-01-01"},
            "unpublish_at",
            "2026-01-01",
            "unpublished after",
        ),
        ({"attributes": {"Size": {"eu": 42}}}, "attributes.Size", '{"eu": 42}', "An attribute is"),
        ({"attributes": "red"}, "attributes", "red", "This is not JSON."),
        ({"stock": -1}, "stock", "-1", "not a count"),
        ({"gtin": "4006381333932"}, "gtin", "4006381333932", "not a GTIN"),
        ({"variants": [{"stock": "many"}]}, "variants[1].stock", "many", "not a count"),
        ({"variants": ["M"]}, "variants[1]", "M", "A variant is an object"),
        ({"variants": [{"sku": "V"}, {"sku": "V"}]}, "variants[2].sku", "V", "on line 2 already"),
    ],
)
def test_an_invalid_value_is_reported_and_other_rows_are_imported(
    tmp_path: Path, change: dict[str, object], column: str, value: str, reason: str
) -> None:
    rows = json_lines(GOOD, {**GOOD, "sku": "B-1", **change}, {**GOOD, "sku": "G-2"})
    ((line, *problem),) = problems_of(tmp_path, rows)
    assert (line, problem[0]) == ("2", column)
    assert problem[1].startswith(value)
    assert reason in problem[2]
    assert set(Product.objects.values_list("sku", flat=True)) == {"G-1", "G-2"}


def test_all_problems_of_a_row_are_reported_at_once(tmp_path: Path) -> None:
    bad = {**GOOD, "name": "", "price": "x", "currency": "?"}
    assert [column for _line, column, *_ in problems_of(tmp_path, json_lines(bad))] == [
        "name",
        "price",
        "currency",
    ]


def test_a_sku_of_an_earlier_row_is_refused(tmp_path: Path) -> None:
    ((line, column, value, reason),) = problems_of(tmp_path, json_lines(GOOD, {**GOOD, "name": "Other"}))
    assert (line, column, value, reason) == ("2", "sku", "G-1", "This SKU is on line 1 already.")
    assert Product.objects.get().name == "Good"


def test_if_the_first_row_of_a_sku_is_invalid_the_second_is_imported(tmp_path: Path) -> None:
    assert len(problems_of(tmp_path, json_lines({**GOOD, "price": ""}, GOOD))) == 1
    assert Product.objects.get().name == "Good"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"sku": "B", "name":\n', "not JSON from character"),
        (b"[1, 2]\n", "not an object"),
        (b'{"sku": "B", "price": NaN}\n', "cannot be read"),
        (b"[" * 100_000 + b"\n", "cannot be read"),
        (b'{"sku": "B", "name": "caf\xe9"}\n', "The byte 0xE9 is not UTF-8"),
    ],
)
def test_a_damaged_line_is_reported_and_other_rows_are_imported(
    tmp_path: Path, line: bytes, reason: str
) -> None:
    ((number, _column, _value, message),) = problems_of(
        tmp_path, json_lines(GOOD, line, {**GOOD, "sku": "G-2"})
    )
    assert number == "2"
    assert reason in message
    assert Product.objects.count() == 2


def test_problems_of_csv_name_the_column_of_an_invalid_byte_and_the_first_line_of_the_row(
    tmp_path: Path,
) -> None:
    rows = [
        b'A;"Two\nlines";Shoes;1',
        b"B;caf\xe9;Shoes;1",
        b"C;c;Shoes;1;more",
        b"D;d;Shoes;1,50",
        b"E;e;Shoes;2",
    ]
    content = b"\n".join([b"sku;name;category;price", *rows])
    problems = problems_of(tmp_path, content, "goods.csv")
    assert [(line, column) for line, column, *_ in problems] == [("4", "name"), ("5", ""), ("6", "price")]
    assert set(Product.objects.values_list("sku", flat=True)) == {"A", "E"}


def test_an_incomplete_compressed_file_is_imported_up_to_its_end(tmp_path: Path) -> None:
    rows = json_lines(*({**GOOD, "sku": f"G-{n}", "name": f"Good {n * 7919}"} for n in range(500)))
    ((_line, _column, _value, reason),) = problems_of(tmp_path, gzip.compress(rows)[:-400], "goods.jsonl.gz")
    assert reason == "The compressed file is incomplete or damaged from here on."
    assert 0 < Product.objects.count() < 500


def test_only_the_row_that_the_database_refuses_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catalog.importing.values.gtin_is_valid", lambda value: True)
    rows = json_lines(GOOD, {**GOOD, "sku": "B", "gtin": "123"}, {**GOOD, "sku": "G-2"})
    ((line, column, value, reason),) = problems_of(tmp_path, rows)
    assert (line, column, value) == ("2", "sku", "B")
    assert "variant_gtin" in reason
    assert set(Product.objects.values_list("sku", flat=True)) == {"G-1", "G-2"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "The file is empty"),
        (b"[{}]", "one JSON list"),
        (b"hello\nworld\n", "neither JSON Lines nor CSV"),
        (b"a\rb\rc", "neither JSON Lines nor CSV"),
        (b"sku,name,sku\nA,B,C\n", "names “sku” twice"),
        (b"\x1f\x8bjunk", r"No line of the file can be read\. The compressed file is incomplete"),
        (
            gzip.compress(b"{}", mtime=0)[:12],
            r"No line of the file can be read\. The compressed file is incomplete",
        ),
    ],
)
def test_an_unreadable_file_gives_one_message(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(CommandError, match=reason):
        call_command("import_catalog", str(file))


def test_a_missing_file_gives_one_message(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"nothing\.csv: No such file"):
        call_command("import_catalog", str(tmp_path / "nothing.csv"))


def test_the_report_of_problems_does_not_overwrite_the_file(tmp_path: Path) -> None:
    file = tmp_path / "goods.jsonl"
    file.write_bytes(json_lines(GOOD))
    with pytest.raises(CommandError, match="would overwrite the file"):
        call_command("import_catalog", str(file), errors=file)
    assert file.read_bytes() == json_lines(GOOD)


def test_all_complete_rows_of_an_incomplete_compressed_file_are_read(tmp_path: Path) -> None:
    rows = [{"sku": hashlib.sha256(str(number).encode()).hexdigest()} for number in range(2000)]
    whole = gzip.compress(json_lines(*rows))
    file = tmp_path / "goods.gz"
    file.write_bytes(whole[: len(whole) * 2 // 3])
    complete_lines = zlib.decompressobj(wbits=31).decompress(file.read_bytes()).count(b"\n")
    *read_rows, problem = Source(file).rows()
    assert [row.columns for row in read_rows if isinstance(row, Row)] == rows[:complete_lines]
    assert isinstance(problem, Problem)


def test_problems_of_one_kind_are_printed_once_and_counted(tmp_path: Path) -> None:
    file, errors = tmp_path / "goods.jsonl", tmp_path / "errors.csv"
    rows = [{**GOOD, "sku": f"B-{number}", "price": f"{number},50"} for number in range(1, 31)]
    file.write_bytes(json_lines(GOOD, *rows, {**GOOD, "sku": "C", "name": ""}))
    output = StringIO()
    call_command("import_catalog", str(file), errors=errors, stdout=output, stderr=output)
    lines = output.getvalue().splitlines()
    assert lines[0].startswith("Line 2, price “1,50”: It is unclear whether “,”")
    assert lines[1].startswith("Line 32, name: This is missing.")
    assert lines[2].startswith("price: 30 rows, first at line 2: It is unclear whether “,”")
    assert lines[3] == (
        "All 30 numbers with a comma have it before one or two decimals: add --decimal , to read them."
    )
    assert lines[4] == "Done:"
    assert len(errors.read_text().splitlines()) == 32


def test_many_kinds_of_problems_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_catalog, "PRINTED_KINDS", 1)
    file = tmp_path / "goods.jsonl"
    file.write_bytes(json_lines({**GOOD, "name": "", "price": "x", "currency": "?"}))
    output = StringIO()
    call_command("import_catalog", str(file), stdout=output, stderr=output)
    assert "… and 2 more problems of other kinds; --errors FILE writes all of them." in output.getvalue()


@pytest.mark.parametrize("sku", ["12345.0", "1.2E+12", "4e+12"])
def test_codes_that_a_spreadsheet_turned_into_numbers_are_warned_of(tmp_path: Path, sku: str) -> None:
    file, errors = tmp_path / "goods.jsonl", tmp_path / "errors.csv"
    file.write_bytes(
        json_lines(GOOD, {**GOOD, "sku": sku}, {**GOOD, "sku": "1.2", "variants": [{"sku": "7.0"}]})
    )
    output = StringIO()
    call_command("import_catalog", str(file), errors=errors, stdout=output, stderr=output)
    assert "3 imported, 0 left out" in output.getvalue()
    assert f"Line 2, sku “{sku}” (warning): A spreadsheet seems to have turned" in output.getvalue()
    assert "sku: 2 rows, first at line 2" in output.getvalue()
    assert len(errors.read_text().splitlines()) == 3
