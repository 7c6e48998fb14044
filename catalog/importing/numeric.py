"""Parses the numbers of a row strictly: a text that can mean two numbers is refused."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from catalog.importing.exceptions import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Sequence

CENT = Decimal("0.01")
PRICE_LIMIT = Decimal(10) ** 10
STOCK_LIMIT = 2**31

NUMBER_PATTERNS = {
    "": re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?"),
    ".": re.compile(
        r"[+-]?([0-9]{1,30}|[0-9]{1,3}([, '’\u00a0\u202f])[0-9]{3}(\2[0-9]{3})*)(\.[0-9]{1,30})?"
    ),
    ",": re.compile(r"[+-]?([0-9]{1,30}|[0-9]{1,3}([. '’\u00a0\u202f])[0-9]{3}(\2[0-9]{3})*)(,[0-9]{1,30})?"),
}
"""The numbers that texts may contain, by the decimal sign of the file. Without one, thousands cannot be separated."""
SEPARATORS = frozenset(". ,'’\u00a0\u202f")
"""The signs that separate thousands or stand before decimals."""
COMMA_BEFORE_DECIMALS = re.compile(r"[^,]*,[0-9]{1,2}[^,0-9]*")
"""A number whose comma cannot separate thousands."""
AMBIGUOUS_NUMBER = re.compile(r"[+-]?[0-9.]*,[0-9.,]*")
AMBIGUOUS_PRICE = re.compile(r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}")


def parse_number(value: Any, *, decimal: str = "") -> Decimal:
    """Return the number of a finite JSON number, or of a text with the digits 0 to 9.

    `decimal` is the decimal sign of the file, `.` or `,`. If it is empty, the sign is a point, and a text with a comma is
    ambiguous.

    Raises:
        InvalidValueError: the value is not a number, or it is ambiguous.
    """
    if type(value) is int or (isinstance(value, float) and math.isfinite(value)):
        return Decimal(str(value))
    if isinstance(value, str):
        if NUMBER_PATTERNS[decimal].fullmatch(value):
            separator = "." if decimal == "," else ","
            digits = value.replace(separator, "").replace(decimal or ".", ".")
            return Decimal(re.sub(r"[^0-9.+-]", "", digits))
        if not decimal and AMBIGUOUS_NUMBER.fullmatch(value):
            raise _ambiguity(",")
    raise InvalidValueError(_("This is not a number such as 12.50."))


def parse_price(
    value: Any, *, decimal: str = "", thousands: str = "", currency_signs: Sequence[str] = ()
) -> Decimal:
    """Return a price with two decimals. `1.250` is ambiguous unless `decimal` is given: its point may separate thousands.

    `thousands` is the only sign that may separate thousands; if it is empty, any other than the decimal sign may. One of
    `currency_signs` may stand before or behind the number.

    Raises:
        InvalidValueError: the value is not a number, is ambiguous or negative, is 10,000,000,000 or more, or has more than
            two decimals.
    """
    if isinstance(value, str):
        value = _without_sign(value, currency_signs)
        if not decimal and AMBIGUOUS_PRICE.fullmatch(value):
            raise _ambiguity(".")
        if thousands and set(value) & (SEPARATORS - {decimal, thousands}):
            raise InvalidValueError(_("Only “%(sign)s” separates thousands here.") % {"sign": thousands})
    price = parse_number(value, decimal=decimal)
    if price < 0:
        raise InvalidValueError(_("A price is not below zero."))
    if price >= PRICE_LIMIT:
        raise InvalidValueError(_("This is more than a price can be."))
    if price != price.quantize(CENT):
        raise InvalidValueError(_("A price has at most two decimals."))
    return price.quantize(CENT)


def _without_sign(value: str, currency_signs: Sequence[str]) -> str:
    """Return a price without the currency sign before or behind it, and without the spaces between them."""
    for sign in currency_signs:
        if value.startswith(sign) or value.endswith(sign):
            return value.removeprefix(sign).removesuffix(sign).strip()
    return value


def parse_stock(value: Any) -> int:
    """Return the number of pieces in stock, from 0 to 2,147,483,647.

    Raises:
        InvalidValueError: the value is not such a number in the digits 0 to 9.
    """
    digits = str(value)
    if isinstance(value, bool) or not (re.fullmatch("[0-9]{1,20}", digits) and int(digits) < STOCK_LIMIT):
        raise InvalidValueError(_("This is not a count of pieces such as 12."))
    return int(digits)


def is_unclear_comma(reason: str) -> bool:
    """Whether a problem is that of a number with a comma whose meaning nothing tells."""
    return reason == str(_ambiguity(","))


def _ambiguity(sign: str) -> InvalidValueError:
    return InvalidValueError(
        _(
            "It is unclear whether “%(sign)s” stands before decimals or between thousands; write 12.50, or name "
            "the decimal sign (--decimal)."
        )
        % {"sign": sign}
    )
