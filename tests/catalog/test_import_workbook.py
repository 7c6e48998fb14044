"""Workbooks (XLSX), as spreadsheets write them."""

from __future__ import annotations

import datetime
import io
import random
import zipfile
from decimal import Decimal
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from openpyxl import Workbook

from catalog.importing import workbook as workbook_module
from catalog.importing.exceptions import UnreadableFileError
from catalog.importing.workbook import is_workbook, read_rows
from catalog.models import Product

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.django_db

HEADER = [
    "sku",
    "name",
    "category",
    "price",
    "stock",
    "publish_at",
    "attribute:Weight:number",
    "attribute:Model",
]
ROW = ["A-1", "Größe 5", "Shoes > Boots", 12.5, 7, datetime.datetime(2026, 3, 1), 0.1 + 0.2, 2026]


@pytest.fixture
def run_import(tmp_path: Path) -> Callable[..., str]:
    """Import rows of a workbook, or bytes, and return the output of the command."""

    def run_import(content: bytes | list[list[Any]], **options: Any) -> str:
        file = tmp_path / "goods.xlsx"
        file.write_bytes(content if isinstance(content, bytes) else saved(content))
        output = StringIO()
        call_command("import_catalog", str(file), stdout=output, stderr=output, **options)
        return output.getvalue()

    return run_import


def saved(rows: list[list[Any]]) -> bytes:
    book, buffer = Workbook(), io.BytesIO()
    sheet: Any = book.active
    for row in rows:
        sheet.append(row)
    book.save(buffer)
    return buffer.getvalue()


def test_numbers_dates_and_texts_of_cells_are_imported(run_import: Callable[..., str]) -> None:
    output = run_import([HEADER, ROW])
    assert "1 imported, 0 left out" in output
    assert "workbook" in output
    product = Product.objects.get()
    assert (product.sku, product.name, product.price) == ("A-1", "Größe 5", Decimal("12.50"))
    assert product.category.url_path == "shoes/boots"
    assert product.publish_at is not None
    assert timezone.localdate(product.publish_at).isoformat() == "2026-03-01"
    assert product.attributes == {"Weight": 0.3, "Model": "2026"}
    assert product.variants.get().stock == 7


def test_a_code_of_digits_is_the_number_without_a_point(run_import: Callable[..., str]) -> None:
    assert "1 imported" in run_import([HEADER, [12345.0, *ROW[1:]]])
    assert Product.objects.get().sku == "12345"


def test_the_decimal_sign_of_texts_does_not_matter_for_numbers(run_import: Callable[..., str]) -> None:
    rows = [HEADER, ["A", *ROW[1:]], ["B", "B", "Shoes", "1.250,50", *ROW[4:]]]
    assert "2 imported" in run_import(rows, decimal=",")
    assert [*Product.objects.order_by("sku").values_list("price", flat=True)] == [
        Decimal("12.50"),
        Decimal("1250.50"),
    ]


def test_empty_rows_and_cells_are_skipped_and_problems_name_the_row(run_import: Callable[..., str]) -> None:
    rows = [
        [],
        HEADER,
        [None] * 8,
        ["A", "A", "Shoes", "x"],
        ["B", "B", "Shoes", 1, *[None] * 4, "more"],
        ROW,
    ]
    output = run_import(rows)
    assert "1 imported, 2 left out, 2 empty" in output
    assert "Line 4, price “x”" in output
    assert "Line 5: The row has more cells than the header (1 too many)." in output


@pytest.mark.filterwarnings("ignore::UserWarning:openpyxl")  # of damaged dates in cells
def test_a_workbook_with_any_damage_is_read_or_refused() -> None:
    whole, rng, refused = saved([HEADER, *[ROW] * 20]), random.Random(1), 0
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for _ in range(300):
        name = rng.choice([*parts])
        part = bytearray(parts[name])
        for _change in range(rng.randint(1, 5)):
            start = rng.randrange(len(part) - 60)
            part[start : start + rng.choice([1, 1, 30])] = bytes([rng.randrange(32, 127)])
        damaged = io.BytesIO()
        with zipfile.ZipFile(damaged, "w") as archive:
            for each, content in (parts | {name: bytes(part)}).items():
                archive.writestr(each, content)
        try:
            assert is_workbook(damaged)
            assert len([*read_rows(damaged)]) <= 21
        except UnreadableFileError:
            refused += 1
    assert 100 < refused < 300


def test_a_workbook_that_is_damaged_empty_or_too_large_is_one_message(
    run_import: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, damaged = saved([HEADER, ROW]), io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as archive, zipfile.ZipFile(damaged, "w") as other:
        for part in archive.namelist():
            other.writestr(part, archive.read(part)[:200])
    for content, reason in ((damaged.getvalue(), "damaged"), (saved([]), "empty")):
        with pytest.raises(CommandError, match=reason):
            run_import(content)
    monkeypatch.setattr(workbook_module, "UNPACKED_LIMIT", 100)
    monkeypatch.setattr(workbook_module, "RATIO_LIMIT", 0)
    with pytest.raises(CommandError, match="unpacks to too much"):
        run_import(whole)
