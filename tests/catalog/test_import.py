"""The rows that an import writes, and the rows that it does not change."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from decimal import Decimal
from io import StringIO
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection

from catalog.importing.loader import BATCH_SIZE
from catalog.importing.lock import LOCK_ID
from catalog.importing.prefetch import prefetch_batches
from catalog.models import Brand, Category, Product, ProductImage, Variant
from tests.catalog import factories
from tests.shelf.cluster import _wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BOOT: dict[str, Any] = {
    "sku": "B-1",
    "name": "Boot",
    "brand": "Fernweh",
    "category": ["Shoes", "Boots"],
    "description": "Warm.",
    "price": "80.00",
    "sale_price": "60.00",
    "currency": "chf",
    "publish_at": "2026-01-01T08:00:00+00:00",
    "attributes": {"Colour": ["Black", "Brown"], "Weight (kg)": 1.5, "Lined": True, "Empty": ""},
    "variants": [
        {"sku": "B-1-42", "option": "Size", "value": 42, "stock": 3, "gtin": "4006381333931"},
        {"sku": "B-1-43", "option": "Size", "value": 43, "price": "85.00"},
    ],
    "images": ["Boot, from the side", "Boot, from above"],
}


@pytest.fixture
def run_import(tmp_path: Path) -> Callable[..., str]:
    """Import rows and return the output of the command."""

    def run_import(*rows: dict[str, Any], **options: Any) -> str:
        file = tmp_path / "goods.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        output = StringIO()
        call_command("import_catalog", str(file), stdout=output, stderr=output, **options)
        return output.getvalue()

    return run_import


def versions() -> set[tuple[Any, ...]]:
    """Return every row with the transaction that wrote it. If it is equal before and after, nothing was written."""
    tables = (
        "catalog_product",
        "catalog_variant",
        "catalog_productimage",
        "catalog_brand",
        "catalog_category",
    )
    with connection.cursor() as cursor:
        cursor.execute(
            " UNION ALL ".join(f"SELECT '{name}', id, ctid::text, xmin::text FROM {name}" for name in tables)
        )
        return set(cursor.fetchall())


@pytest.mark.django_db
def test_a_row_creates_a_product_with_its_brand_category_variants_and_images(
    run_import: Callable[..., str],
) -> None:
    run_import(BOOT)
    boot = Product.objects.get()
    assert (boot.name, boot.slug, boot.sku, boot.description) == ("Boot", "boot", "B-1", "Warm.")
    assert (boot.price, boot.sale_price, boot.currency) == (Decimal("80.00"), Decimal("60.00"), "CHF")
    assert (boot.brand.name, boot.brand_name, boot.category.url_path) == ("Fernweh", "Fernweh", "shoes/boots")
    assert boot.attributes == {"Colour": ["Black", "Brown"], "Weight (kg)": 1.5, "Lined": True}
    assert Product.objects.visible().exists()
    assert list(boot.variants.values_list("value", "stock", "price", "gtin", "in_stock")) == [
        ("42", 3, None, "4006381333931", True),
        ("43", 0, Decimal("85.00"), "", False),
    ]
    assert list(boot.images.values_list("alt", flat=True)) == BOOT["images"]
    assert not any(Category.objects.find_problems())


@pytest.mark.django_db
@pytest.mark.parametrize(
    "text", [r"\N", "a\\.b", "\\.", "tab\there", "two\nlines", "two\r\nlines", "C:\\new", '"q", x']
)
def test_texts_with_special_characters_of_copy_are_stored_unchanged(
    run_import: Callable[..., str], text: str
) -> None:
    row = {"sku": text, "name": text, "category": [text], "price": 1, "description": text, "brand": text}
    run_import(
        {**row, "attributes": {"Note": text}, "variants": [{"sku": "V", "value": text}], "images": [text]}
    )
    product = Product.objects.get()
    assert {product.sku, product.name, product.description, product.attributes["Note"]} == {text}
    assert {product.brand.name, product.category.name, product.variants.get().value} == {text}
    assert product.images.get().alt == text


@pytest.mark.django_db
def test_importing_again_writes_nothing(run_import: Callable[..., str]) -> None:
    run_import(BOOT)
    before = versions()
    assert "1 unchanged" in run_import(BOOT)
    assert versions() == before


@pytest.mark.django_db
def test_only_rows_that_differ_are_written(run_import: Callable[..., str]) -> None:
    run_import(BOOT, {**BOOT, "sku": "B-2", "variants": []})
    before = versions()
    output = run_import(BOOT, {**BOOT, "sku": "B-2", "price": "81.00", "variants": []})
    assert "0 new, 1 changed, 1 unchanged" in output
    assert {row[0] for row in versions() ^ before} == {"catalog_product"}
    assert Product.objects.get(sku="B-2").price == Decimal("81.00")


@pytest.mark.django_db
def test_without_a_stock_the_stored_one_is_kept(run_import: Callable[..., str]) -> None:
    run_import(BOOT)
    Variant.objects.update(stock=7)
    run_import(BOOT)
    assert list(Variant.objects.order_by("sku").values_list("stock", flat=True)) == [3, 7]


@pytest.mark.django_db
def test_variants_that_the_file_no_longer_has_become_inactive(run_import: Callable[..., str]) -> None:
    run_import(BOOT)
    run_import({**BOOT, "variants": BOOT["variants"][:1]})
    assert list(Variant.objects.order_by("sku").values_list("active", flat=True)) == [True, False]


@pytest.mark.django_db
def test_a_product_without_variants_gets_one_with_its_sku(run_import: Callable[..., str]) -> None:
    run_import({**BOOT, "variants": None, "stock": 4})
    assert Variant.objects.values_list("sku", "stock").get() == ("B-1", 4)


@pytest.mark.django_db
def test_products_with_the_same_name_get_different_slugs_and_keep_them(
    run_import: Callable[..., str],
) -> None:
    rows = [{**BOOT, "sku": f"B-{number}", "variants": None} for number in range(3)]
    run_import(*rows)
    slugs = dict(Product.objects.values_list("sku", "slug"))
    assert len(set(slugs.values())) == 3
    assert slugs["B-0"] == "boot"
    run_import(*reversed(rows))
    assert dict(Product.objects.values_list("sku", "slug")) == slugs


@pytest.mark.django_db
def test_brands_that_differ_only_by_case_are_one_brand(run_import: Callable[..., str]) -> None:
    run_import(BOOT, {**BOOT, "sku": "B-2", "brand": "FERNWEH", "variants": None})
    assert Brand.objects.get().products.count() == 2


@pytest.mark.django_db
def test_a_dry_run_prints_the_numbers_and_saves_nothing(run_import: Callable[..., str]) -> None:
    run_import(BOOT)
    before = versions()
    output = run_import(
        {**BOOT, "price": "99.00"}, {**BOOT, "sku": "B-2", "brand": "New", "variants": None}, dry_run=True
    )
    assert "1 new, 1 changed, 0 unchanged" in output
    assert "brands      1 new" in output
    assert versions() == before


@pytest.mark.django_db
@pytest.mark.parametrize("compressed", [False, True])
def test_csv_gives_the_same_products_as_json_lines(tmp_path: Path, compressed: bool) -> None:
    content = (
        "\ufeffsku,name,category,price,brand,attribute:Colour,attribute:Weight (kg):number,attribute:Tags:list,variants\n"
        'B-1,"Boot, high",Shoes > Boots,80.00,Fernweh,Black,1.5,a|b,"[{""sku"": ""B-1-42"", ""value"": ""42""}]"\n'
    ).encode()
    file = tmp_path / "goods"
    file.write_bytes(gzip.compress(content) if compressed else content)
    call_command("import_catalog", str(file), stdout=StringIO())
    boot = Product.objects.get()
    assert (boot.name, boot.category.url_path) == ("Boot, high", "shoes/boots")
    assert boot.attributes == {"Colour": "Black", "Weight (kg)": 1.5, "Tags": ["a", "b"]}
    assert boot.variants.get().sku == "B-1-42"


@pytest.mark.django_db
def test_several_batches_are_imported(
    run_import: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catalog.importing.run.BATCH_SIZE", 3)
    run_import(*({**BOOT, "sku": f"B-{number}", "variants": None} for number in range(10)))
    assert Product.objects.count() == 10
    assert len(set(Product.objects.values_list("slug", flat=True))) == 10
    assert ProductImage.objects.count() == 20


@pytest.mark.django_db(transaction=True)
def test_two_imports_do_not_run_at_once(run_import: Callable[..., str]) -> None:
    with psycopg.connect(dsn()) as rival:
        rival.execute("SELECT pg_advisory_lock(%s)", [LOCK_ID])
        with pytest.raises(CommandError, match="Another import is running"):
            run_import(BOOT)
    run_import(BOOT)
    assert Product.objects.exists()


def dsn() -> str:
    database = connection.settings_dict
    host = quote(str(database["HOST"]))
    return f"postgresql://{database['USER']}@/{database['NAME']}?host={host}&port={database['PORT'] or 5432}"


def waits() -> list[str | None]:
    """Return the wait events of the sessions of imports in other processes."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT wait_event FROM pg_stat_activity"
            " WHERE application_name = 'larder import_catalog' AND datname = current_database()"
        )
        return [event for (event,) in cursor.fetchall()]


@pytest.mark.django_db(transaction=True)
def test_the_next_import_finishes_one_that_was_killed_in_a_batch(tmp_path: Path) -> None:
    """The killed import waits for a locked row in its third batch."""
    factories.product("Another boot", sku="B-5000")
    file = tmp_path / "goods.jsonl"
    rows = ({**BOOT, "sku": f"B-{n}", "name": f"Boot {n}", "variants": None} for n in range(9000))
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    environ = {
        **os.environ,
        "DATABASE_URL": dsn(),
        "LOCAL": "1",
        "DJANGO_SETTINGS_MODULE": "project.settings",
    }
    command = [sys.executable, "manage.py", "import_catalog", str(file)]
    with psycopg.connect(dsn()) as other:
        other.execute("SELECT FROM catalog_product FOR UPDATE")
        process = subprocess.Popen(command, cwd=settings.BASE_DIR, env=environ, stdout=subprocess.DEVNULL)
        _wait(lambda: process.poll() is not None or "transactionid" in waits())
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    _wait(lambda: not waits())
    assert Product.objects.count() == 1 + 2 * BATCH_SIZE
    call_command("import_catalog", str(file), stdout=StringIO())
    assert Product.objects.count() == Variant.objects.count() == 9000
    assert ProductImage.objects.count() == 18000


def test_an_error_in_the_thread_is_raised_where_the_batches_are_used() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise LookupError

    with pytest.raises(LookupError):
        list(prefetch_batches(items(), size=1, prepare=list))
