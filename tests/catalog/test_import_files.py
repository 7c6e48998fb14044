"""Files as spreadsheets and other programs write them: encodings, line ends, delimiters, headers, archives, empty rows."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from decimal import Decimal
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command

from catalog.importing import source, text_file
from catalog.importing.column_mapping import SHIPPED
from catalog.importing.records import Problem
from catalog.importing.source import Source
from catalog.models import Product

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


pytestmark = pytest.mark.django_db

ROW = "A;Größe 5;Shoes > Boots;12.50"
CSV = f"sku;name;category;price\n{ROW}\n"


@pytest.fixture
def run_import(tmp_path: Path) -> Callable[..., str]:
    """Import bytes and return the output of the command."""

    def run_import(content: bytes, **options: Any) -> str:
        file = tmp_path / "goods"
        file.write_bytes(content)
        output = StringIO()
        call_command("import_catalog", str(file), stdout=output, stderr=output, **options)
        return output.getvalue()

    return run_import


def zipped(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def encrypted() -> bytes:
    """Return an archive that marks its file as encrypted, in the header of the file and in the directory."""
    archive_bytes = bytearray(zipped({"goods.csv": CSV}))
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        archive_bytes[archive_bytes.index(magic) + flags] |= 1
    return bytes(archive_bytes)


@pytest.mark.parametrize(
    "content",
    [
        CSV.encode(),
        CSV.encode("utf-8-sig"),
        CSV.encode("utf-16"),
        CSV.replace(";", "\t").encode("utf-16"),
        ("\ufeff" + CSV).encode("utf-16-be"),
        CSV.encode("utf-32"),
        CSV.replace("\n", "\r\n").encode(),
        CSV.replace("\n", "\r").encode(),
        CSV.replace("\n", "\r").encode("utf-16"),
        CSV.rstrip().replace("\n", "\r").encode(),
        f"sep=;\n{CSV}".encode(),
        f'\n"SEP=;"\r\n{CSV}'.encode("utf-8-sig"),
        ("sep=\t\r\n" + CSV.replace(";", "\t")).encode("utf-16"),
        ("sep=|\n" + CSV.replace(";", "|")).encode(),
        CSV.replace("sku;name;category;price", "SKU; Name ;CATEGORY;Price").encode(),
        CSV.replace("sku;name;category;price", "sku;name;category;price;;").encode(),
        CSV.replace(ROW, f"{ROW};;;").encode(),
        gzip.compress(CSV.encode("utf-16")),
        zipped({"goods.csv": CSV}),
        zipped({"goods/": "", "goods/goods.csv": CSV, "__MACOSX/goods/._goods.csv": "x"}),
    ],
)
def test_files_in_the_forms_that_programs_write_are_imported(
    run_import: Callable[..., str], content: bytes
) -> None:
    assert "1 imported, 0 left out" in run_import(content)
    product = Product.objects.get()
    assert (product.sku, product.name, product.category.url_path) == ("A", "Größe 5", "shoes/boots")


def test_json_lines_in_utf_16_with_a_byte_order_mark_are_imported(run_import: Callable[..., str]) -> None:
    row = {"sku": "A", "name": "Größe", "category": ["Shoes"], "price": 1}
    assert "1 imported" in run_import(json.dumps(row, ensure_ascii=False).encode("utf-16"))


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "utf-16-le", "utf-16-be", "utf-32-le", "utf-8"])
def test_the_encoding_is_recognised_and_said(run_import: Callable[..., str], encoding: str) -> None:
    output = run_import(CSV.encode(encoding))
    taken = "CP1252" if encoding == "latin-1" else encoding.upper()
    assert f"{taken}, recognised; --encoding names another" in output
    assert Product.objects.get().name == "Größe 5"


def test_what_is_not_ascii_may_begin_far_behind_the_head(run_import: Callable[..., str]) -> None:
    plain = "".join(f"P{number};Plain;Shoes;1\n" for number in range(10_000))
    header, row = CSV.splitlines()
    assert "CP1252, recognised" in run_import(f"{header}\n{plain}{row}\n".encode("cp1252"))
    assert Product.objects.get(sku="A").name == "Größe 5"


def test_an_encoding_that_is_named_is_taken(run_import: Callable[..., str], tmp_path: Path) -> None:
    assert "1 imported" in run_import(CSV.encode("mac-roman"), encoding="mac-roman")
    assert Product.objects.get().name == "Größe 5"
    output = run_import(CSV.encode("cp1252"), encoding="utf-8")
    assert "Line 2, name" in output
    assert "is not UTF-8; save the file in UTF-8, or name its encoding (--encoding)." in output
    mapping = tmp_path / "mine.toml"
    native = (SHIPPED / "native.toml").read_text()
    mapping.write_text(f'encoding = "mac-roman"\n{native}')
    Product.objects.all().delete()
    assert "MAC-ROMAN" in run_import(CSV.encode("mac-roman"), mapping=str(mapping))
    assert Product.objects.get().name == "Größe 5"
    mapping.write_text(f'encoding = "klingon"\n{native}')
    with pytest.raises(CommandError, match="no encoding “klingon”"):
        run_import(CSV.encode(), mapping=str(mapping))


def test_a_byte_that_is_invalid_in_the_named_encoding_is_reported(run_import: Callable[..., str]) -> None:
    assert "The byte 0x81 is not CP1252" in run_import(
        CSV.encode().replace("ß".encode(), b"\x81"), encoding="cp1252"
    )


@pytest.mark.parametrize(
    ("content", "options", "reason"),
    [
        (
            CSV.replace("name", "Größe").encode("cp1252"),
            {"encoding": "utf-8"},
            "The header cannot be read. The byte 0xF6",
        ),
        (
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\0\0\0\1\0\x08\6\0\0\0\\r\xa8f",
            {},
            "neither JSON Lines nor CSV",
        ),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", {}, "an old workbook (.xls), or one with a password"),
        (CSV.encode(), {"encoding": "utf-16"}, "No line of the file can be read. The file is not UTF-16"),
        (CSV.encode(), {"encoding": "klingon"}, "no encoding “klingon”"),
        (CSV.encode(), {"encoding": "base64"}, "no encoding “base64”"),
        (CSV.encode(), {"encoding": "undefined"}, "no encoding “undefined”"),
        (
            CSV.replace("sku", "Artikel").encode(),
            {},
            "no column “sku”. It has: Artikel, name, category, price. --guess proposes a mapping.",
        ),
        (CSV.replace("sku;name", "SKU;Sku;name").encode(), {}, "names “sku” twice"),
        (
            CSV.replace("price", "price;attribute:Size:numbr").encode(),
            {},
            "“numbr” is not one of: text, number",
        ),
        (b"sep=;\n", {}, "neither JSON Lines nor CSV"),
        (zipped({"a.csv": CSV, "b.csv": CSV}), {}, "has 2 files; it must have exactly one"),
        (zipped({}), {}, "has 0 files; it must have exactly one"),
        (zipped({"[Content_Types].xml": "", "xl/workbook.xml": ""}), {}, "The workbook is damaged."),
        (zipped({"a.csv": CSV})[:-30], {}, "archive is damaged"),
        (encrypted(), {}, "in the zip archive is encrypted"),
    ],
)
def test_an_error_of_the_whole_file_is_one_message(
    run_import: Callable[..., str], content: bytes, options: dict[str, str], reason: str
) -> None:
    with pytest.raises(CommandError) as error:
        run_import(content, **options)
    assert reason in str(error.value)
    assert not Product.objects.exists()


def test_the_case_of_the_header_does_not_matter_for_columns_of_attributes(
    run_import: Callable[..., str],
) -> None:
    run_import(
        "SKU,NAME,CATEGORY,PRICE,ATTRIBUTE:Weight (kg):NUMBER,Attribute:Größe\nA,a,c,1,1.5,L\n".encode()
    )
    assert Product.objects.get().attributes == {"Weight (kg)": 1.5, "Größe": "L"}


def test_a_column_with_the_exact_name_is_preferred_to_one_in_capitals(run_import: Callable[..., str]) -> None:
    output = run_import(b"sku,SKU,name,category,price\nA,B,a,c,1\n")
    assert Product.objects.get().sku == "A"
    assert "not read    SKU" in output


def test_the_decimal_sign_can_be_named(run_import: Callable[..., str]) -> None:
    content = CSV.replace("12.50", "1.250,50").encode()
    assert "unclear whether “,” stands before decimals" in run_import(content)
    assert "1 imported" in run_import(content, decimal=",")
    assert Product.objects.get().price == Decimal("1250.50")


def test_columns_that_the_mapping_does_not_read_are_named(run_import: Callable[..., str]) -> None:
    output = run_import(b"sku,name,category,price,colour,attribute:Size,descripton\nA,a,c,1,red,5,text\n")
    assert "not read    colour, descripton\n" in output


def test_empty_rows_are_skipped_and_counted(run_import: Callable[..., str]) -> None:
    output = run_import(f"\n{CSV};;;\n\n ; ; ; \nB;b;c;x\n;;;;;;\n".encode())
    assert "rows        1 imported, 1 left out, 5 empty" in output
    assert "Line 7, price “x”" in output


def test_additional_cells_are_reported_only_if_they_are_not_empty(run_import: Callable[..., str]) -> None:
    output = run_import(f"{CSV}B;b;c;1;;\nC;c;c;1;;more\n".encode())
    assert "2 imported, 1 left out" in output
    assert "Line 4: The row has more cells than the header (2 too many)." in output


def test_a_carriage_return_in_a_cell_does_not_end_a_row_if_lines_end_with_lf(
    run_import: Callable[..., str],
) -> None:
    output = run_import(b'sku,name,category,price,description\nA,a,c,1,"one\rtwo"\nB,b,c,x,\n')
    assert Product.objects.get().description == "one\rtwo"
    assert "Line 3, price" in output


def test_a_line_feed_in_a_quoted_cell_does_not_end_a_row_if_lines_end_with_cr(
    run_import: Callable[..., str],
) -> None:
    run_import(b'sku,name,category,price,description\rA,a,c,1,"one\ntwo"\rB,b,c,1,\r')
    assert set(Product.objects.values_list("sku", "description")) == {("A", "one\ntwo"), ("B", "")}


def test_a_row_with_half_a_surrogate_pair_is_left_out(run_import: Callable[..., str]) -> None:
    content = (CSV + "B;b\ud800;c;1\nC;c;c;1\n").encode("utf-16", "surrogatepass")
    output = run_import(content)
    assert "2 imported, 1 left out" in output
    assert "Line 3, name" in output


def test_a_file_that_ends_inside_of_a_character_is_imported_up_to_there(
    run_import: Callable[..., str],
) -> None:
    output = run_import(CSV.encode("utf-16")[:-1])
    assert "The file is not UTF-16-LE from here on." in output


def rows_of(tmp_path: Path, content: bytes) -> list[Any]:
    file = tmp_path / "goods"
    file.write_bytes(content)
    return list(Source(file).rows())


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_line_that_is_too_long_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compress: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr(source, "LINE_LIMIT", 1000)
    rows = [f"{CSV}B;{'b' * 5000};c;1\n{ROW}\n", '{"a": 1}\n{"a": "%s"}\n{"a": 2}\n' % ("b" * 5000)]
    for content, line in zip(rows, (3, 2), strict=True):
        first, long, last = rows_of(tmp_path, compress(content.encode()))
        assert long == Problem(line=line, reason="The line is longer than 1000 characters.")
        assert [first.line, last.line] == [line - 1, line + 1]


@pytest.mark.parametrize("pack", [gzip.compress, lambda content: zipped({"a": content.decode()})])
def test_a_file_that_unpacks_to_too_much_is_read_up_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr(source, "UNPACKED_LIMIT", 10_000)
    bomb = pack(CSV.encode() + b"\n" * 400_000)
    assert len(bomb) * text_file.RATIO_LIMIT < 200_000
    row, problem = rows_of(tmp_path, bomb)
    assert row.columns["sku"] == "A"
    assert problem.reason == "The compressed file unpacks to too much text from here on."
    assert problem.line < 200_000
