"""Proposes a mapping for a file, from the names of its columns and its first rows. A person checks and edits it."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from catalog.importing.field_parsers import REQUIRED_FIELDS
from catalog.importing.records import Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from catalog.importing.source import Source

SAMPLE_ROWS = 500
NAMES = {
    "sku": (
        "sku, article number, article no, item number, item no, product code, style code, variant sku, mpn, "
        "artikelnummer, artikelnr, artikel nr, art nr, artnr, bestellnummer, référence, ref, referencia, 货号, code, "
        "handle, product id, id"
    ),
    "gtin": "gtin, ean, ean code, upc, barcode, isbn, gtin13, variant barcode",
    "name": (
        "name, product name, title, item name, display name, produktname, artikelname, artikelbezeichnung, "
        "bezeichnung, titel, nom, nombre, titolo, 名称"
    ),
    "brand": "brand, brand name, vendor, manufacturer, marke, hersteller, marque, marca, fabricant, 品牌",
    "category": (
        "category, categories, category path, category tree, product category, product type, type, "
        "department, kategorie, kategorien, warengruppe, produktgruppe, catégorie, categoría, 类别"
    ),
    "sale_price": (
        "sale price, special price, discount price, promo price, aktionspreis, angebotspreis, sonderpreis, "
        "prix soldé"
    ),
    "price": (
        "price, regular price, list price, retail price, unit price, variant price, preis, verkaufspreis, vk, "
        "uvp, bruttopreis, prix, precio, prezzo, amount, msrp, 价格"
    ),
    "currency": "currency, currency code, währung, waehrung, devise, moneda",
    "description": (
        "description, long description, product description, body html, body, details, beschreibung, "
        "artikelbeschreibung, langtext, descripción, 描述"
    ),
    "stock": (
        "stock, quantity, qty, stock quantity, inventory, inventory quantity, variant inventory qty, "
        "available, bestand, lagerbestand, menge, quantité, cantidad, 库存"
    ),
}
"""By field of a product, the names that columns have, the most telling first, in lower case and without signs."""
SEPARATORS = (" > ", ">", " / ", "/", " | ", "|", " » ", "»")
COMMA_DECIMALS = re.compile(r"\D*\d[\d.' ]*,\d{1,2}\D*")
POINT_DECIMALS = re.compile(r"\D*\d[\d,' ]*\.\d{1,2}\D*")
LONGEST_ATTRIBUTE = 80
"""Characters of the values of a column that becomes an attribute, in the middle."""
NULL_TEXTS = ("NA", "N/A", "n/a", "NULL", "null", "-", "--", "None", "none", "#N/A")


def guess_mapping(source: Source) -> str:
    """Return a proposed mapping as TOML, with comments on what is uncertain or missing.

    Raises:
        UnreadableFileError: the file cannot be read.
    """
    rows = [row.columns for row in islice(source.rows(), SAMPLE_ROWS) if isinstance(row, Row)]
    columns = source.columns or [*dict.fromkeys(name for row in rows for name in row)]
    values = {column: [*_texts(row.get(column) for row in rows)] for column in columns if column}
    fields = _columns_by_field([*values])
    lines = [f"title = {_quoted(_('Guessed from %(file)s') % {'file': source.path.name})}"]
    if source.is_recognised and source.encoding not in ("utf-8", "xlsx"):
        lines.append(f"encoding = {_quoted(source.encoding)}")
    if nulls := [text for text in NULL_TEXTS if any(text in some for some in values.values())]:
        lines.append(f"nothing = [{', '.join(map(_quoted, nulls))}]")
    if decimal := _decimal_sign([values[fields[name]] for name in ("price", "sale_price") if name in fields]):
        lines.append(f"decimal = {_quoted(decimal)}")
    lines += ["", "[product]"]
    lines += [f"{field} = {_described(field, values, column)}" for field, column in fields.items()]
    lines += [
        f'# {field} = ""  # {_("no column looks like it, and each product needs one")}'
        for field in REQUIRED_FIELDS
        if field not in fields
    ]
    lines += ["", "[attributes.columns]", *_attribute_lines(values, {*fields.values()})]
    return "\n".join(lines) + "\n"


def _texts(values: Iterable[Any]) -> Iterable[str]:
    """Yield the values that are not missing, as texts. Lists and objects need a mapping that a person writes."""
    for value in values:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            yield " > ".join(value)
        elif value not in (None, "") and not isinstance(value, list | dict):
            yield str(value).strip()


def _columns_by_field(columns: Sequence[str]) -> dict[str, str]:
    """Return the most telling column for each field, in the order of ``NAMES``. No column is taken twice."""
    found: dict[str, str] = {}
    plain = {_plain(column): column for column in reversed(columns)}
    for field, names in NAMES.items():
        for name in names.split(", "):
            if (column := plain.get(name)) and column not in found.values():
                found[field] = column
                break
    return found


def _plain(name: str) -> str:
    """Return the name of a column in lower case, with single spaces in place of signs."""
    return " ".join(re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()))


def _decimal_sign(columns: Iterable[list[str]]) -> str:
    """Return the decimal sign of prices if all that have decimals agree and a comma occurs; else nothing."""
    texts = [text for values in columns for text in values]
    commas, points = (sum(map(bool, map(form.fullmatch, texts))) for form in (COMMA_DECIMALS, POINT_DECIMALS))
    if commas and not points:
        return ","
    return "." if points and not commas and any("," in text for text in texts) else ""


def _described(field: str, values: dict[str, list[str]], column: str) -> str:
    """Return how a mapping describes a column, with the separator of a path of categories."""
    if field != "category":
        return _quoted(column)
    counts = Counter(
        {separator: sum(separator in text for text in values[column]) for separator in SEPARATORS}
    )
    separator, count = counts.most_common(1)[0]
    return (
        f"{{ column = {_quoted(column)}, split = {_quoted(separator.strip())} }}"
        if count
        else _quoted(column)
    )


def _attribute_lines(values: dict[str, list[str]], taken: set[str]) -> list[str]:
    """Return a line for each column that no field took: long texts and empty columns are commented out."""
    lines = []
    for column, texts in values.items():
        if column in taken:
            continue
        lengths = sorted(map(len, texts))
        is_short = bool(lengths) and lengths[len(lengths) // 2] <= LONGEST_ATTRIBUTE
        lines.append(f"{'' if is_short else '# '}{_quoted(column)} = {_quoted(column)}")
    return lines


def _quoted(text: str) -> str:
    """Return a basic string of TOML, whose escapes are those of JSON."""
    return json.dumps(text, ensure_ascii=False)
