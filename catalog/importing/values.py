"""Single values of a row, read strictly: what is not plainly right is refused with the reason."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.forms.utils import from_current_timezone
from django.utils import timezone
from django.utils.translation import gettext as _

from catalog import currencies
from catalog.fields import normal
from catalog.importing.records import slug_of
from catalog.importing.source import DECODER
from catalog.models import Status
from catalog.models.category import DEPTH_LIMIT, PATH_LIMIT
from catalog.validators import (
    ATTRIBUTE_LIMIT,
    EARLIEST,
    LATEST,
    NUMBER_LIMIT,
    attribute_is_valid,
    gtin_is_valid,
    text_is_storable,
)

CENT = Decimal("0.01")
PRICE_LIMIT = Decimal(10) ** 10
STOCK_LIMIT = 2**31
ITEMS_LIMIT = 2_000
TRUE, FALSE = {"true", "yes", "1"}, {"false", "no", "0"}

DECIMAL_SIGNS = {
    "": re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?"),
    ".": re.compile(
        r"[+-]?([0-9]{1,30}|[0-9]{1,3}([, '’\u00a0\u202f])[0-9]{3}(\2[0-9]{3})*)(\.[0-9]{1,30})?"
    ),
    ",": re.compile(r"[+-]?([0-9]{1,30}|[0-9]{1,3}([. '’\u00a0\u202f])[0-9]{3}(\2[0-9]{3})*)(,[0-9]{1,30})?"),
}
"""How a text writes a number. Between thousands may stand a sign only where the one before decimals is known."""
UNCLEAR_NUMBER = re.compile(r"[+-]?[0-9.]*,[0-9.,]*")
UNCLEAR_PRICE = re.compile(r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}")

KINDS = ("", "text", "number", "boolean", "list")
"""Types that the header of a column of CSV can give an attribute."""

MOMENT = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d(:?\d\d)?)?)?", re.ASCII)
SECONDS = re.compile(r"-?\d{1,15}(\.\d{1,9})?", re.ASCII)


class RefusedError(ValueError):
    """The value cannot be what the column is for; the text is the reason in plain words."""


def text(value: Any, *, limit: int) -> str:
    """Read a text of at most `limit` characters, in the form NFC of Unicode; None is an empty one."""
    if value is None:
        return ""
    if not isinstance(value, str):
        if isinstance(value, dict | list | bool):
            raise RefusedError(_("A text is needed."))
        value = str(value)
    said = normal(value.strip())
    if len(said) > limit:
        raise RefusedError(
            _("This is %(length)d characters long; %(limit)d are allowed.")
            % {"length": len(said), "limit": limit}
        )
    check_storable(said)
    return said


def check_storable(said: str) -> None:
    """Refuse what a database cannot keep in a text: the character zero, and halves of characters."""
    if not text_is_storable(said):
        raise RefusedError(_("This has a character in it that no text can have."))


def required(said: Any) -> Any:
    """Refuse an empty value."""
    if said in (None, "", [], ()):
        raise RefusedError(_("This is missing."))
    return said


def number(value: Any, *, decimal: str = "") -> Decimal:
    """Read a number: of JSON, or a text of the digits 0 to 9 with the decimal sign, by default a point."""
    if type(value) is int or (isinstance(value, float) and math.isfinite(value)):
        return Decimal(str(value))
    if isinstance(value, str):
        if DECIMAL_SIGNS[decimal].fullmatch(value):
            thousands = "." if decimal == "," else ","
            return Decimal(
                re.sub(r"[^0-9.+-]", "", value.replace(thousands, "").replace(decimal or ".", "."))
            )
        if not decimal and UNCLEAR_NUMBER.fullmatch(value):
            raise _unclear(",")
    raise RefusedError(_("This is not a number such as 12.50."))


def _unclear(sign: str) -> RefusedError:
    return RefusedError(
        _(
            "It is unclear whether “%(sign)s” stands before decimals or between thousands; write 12.50, or name "
            "the decimal sign (--decimal)."
        )
        % {"sign": sign}
    )


def price(value: Any, *, decimal: str = "") -> Decimal:
    """Read an amount of money, not below zero and with at most two decimals; 1.250 may be meant as thousands."""
    if not decimal and isinstance(value, str) and UNCLEAR_PRICE.fullmatch(value):
        raise _unclear(".")
    amount = number(value, decimal=decimal)
    if amount < 0:
        raise RefusedError(_("A price is not below zero."))
    if amount >= PRICE_LIMIT:
        raise RefusedError(_("This is more than a price can be."))
    if amount != amount.quantize(CENT):
        raise RefusedError(_("A price has at most two decimals."))
    return amount.quantize(CENT)


def currency(value: Any) -> str:
    """Read a currency code."""
    code = str(value).upper()
    if code not in currencies.CODES:
        raise RefusedError(_("This is not a currency code of ISO 4217 such as EUR."))
    return code


def category(value: Any) -> tuple[str, ...]:
    """Read the names from the root down; none may be empty, whatever is below it."""
    names = tuple(text(name, limit=120) for name in required(value if isinstance(value, list) else [value]))
    if not any(names):
        return required(())  # type: ignore[no-any-return]
    if "" in names:
        raise RefusedError(_("The path has a hole at level %(level)d.") % {"level": names.index("") + 1})
    if len(names) > DEPTH_LIMIT or len("/".join(map(slug_of, names))) > PATH_LIMIT:
        raise RefusedError(_("The path is too long."))
    return names


def status(value: Any) -> str:
    """Read how far the product is."""
    if str(value).lower() not in Status.values:
        raise RefusedError(_("This is not one of: %(choices)s.") % {"choices": ", ".join(Status.values)})
    return str(value).lower()


def moment(value: Any) -> datetime:
    """Read a date or a date with a time in the form of ISO 8601, in the shop's time zone unless it says another."""
    said = str(value)
    if SECONDS.fullmatch(said):
        raise RefusedError(
            _(
                "A number is not a moment: write 2026-03-01, or let the mapping say that it counts seconds (unix)."
            )
        )
    try:
        if not MOMENT.fullmatch(said):
            raise ValueError
        read = datetime.fromisoformat(said)
    except ValueError as error:
        raise RefusedError(
            _("This is not a moment such as 2026-03-01, 2026-03-01T08:00 or 2026-03-01T08:00+01:00.")
        ) from error
    return _within_bounds(_in_shop_zone(read) if timezone.is_naive(read) else read)


def _in_shop_zone(read: datetime) -> datetime:
    try:
        return from_current_timezone(read)
    except ValidationError as error:
        raise RefusedError(
            _(
                "In the time zone %(zone)s, this comes twice or never, as clocks change; add the zone, such as +01:00."
            )
            % {"zone": timezone.get_current_timezone_name()}
        ) from error


def seconds(value: Any) -> datetime:
    """Read a moment in seconds since 1970."""
    if isinstance(value, bool) or not SECONDS.fullmatch(str(value)):
        raise RefusedError(_("This is not a number of seconds since 1970 such as 1767225600."))
    try:
        return _within_bounds(datetime.fromtimestamp(float(value), UTC))
    except (ValueError, OverflowError, OSError) as error:
        raise _out_of_bounds() from error


def _within_bounds(read: datetime) -> datetime:
    if not EARLIEST <= read <= LATEST:
        raise _out_of_bounds()
    return read


def _out_of_bounds() -> RefusedError:
    return RefusedError(_("A moment lies between 1900-01-01 and 9999-12-31."))


def stock(value: Any) -> int:
    """Read a count of pieces."""
    said = str(value)
    if isinstance(value, bool) or not (re.fullmatch("[0-9]{1,20}", said) and int(said) < STOCK_LIMIT):
        raise RefusedError(_("This is not a count of pieces such as 12."))
    return int(said)


def gtin(value: Any) -> str:
    """Read a GTIN, or an empty text."""
    said = text(value, limit=20)
    if said and not gtin_is_valid(said):
        raise RefusedError(_("This is not a GTIN: its check digit or its length is wrong."))
    return said


def flag(value: Any) -> bool:
    """Read yes or no."""
    said = str(value).lower()
    if said not in TRUE | FALSE:
        raise RefusedError(_("This is neither true nor false."))
    return said in TRUE


def listing(value: Any) -> list[Any]:
    """Read a list, which in a cell of CSV is written as JSON; null is an empty one."""
    said = _unpacked(value)
    if said is None:
        return []
    if not isinstance(said, list):
        raise RefusedError(_("A list is needed, in CSV written as JSON."))
    if len(said) > ITEMS_LIMIT:
        raise RefusedError(
            _("The list has %(count)d items; %(limit)d are allowed.")
            % {"count": len(said), "limit": ITEMS_LIMIT}
        )
    return said


def mapping(value: Any) -> dict[str, Any]:
    """Read names with their values, which in a cell of CSV are written as JSON; null is none."""
    said = _unpacked(value)
    if said is None:
        return {}
    if not isinstance(said, dict):
        raise RefusedError(_("Names with values are needed, in CSV written as JSON."))
    return said


def attribute(value: Any) -> Any:
    """Read an attribute: a text, a number, true or false, or a list of texts, empty ones dropped."""
    if isinstance(value, str):
        return text(value, limit=ATTRIBUTE_LIMIT)
    if isinstance(value, list):
        value = [
            normal(item.strip()) if isinstance(item, str) else item
            for item in value
            if item not in (None, "")
        ]
    if not attribute_is_valid(value):
        raise RefusedError(_("An attribute is a text, a number, true or false, or a list of texts."))
    if isinstance(value, list):
        text("".join(value), limit=ATTRIBUTE_LIMIT)
    elif not abs(value) < NUMBER_LIMIT:
        raise RefusedError(_("This is more than a number can be."))
    return value


def typed(value: str, *, kind: str, decimal: str = "") -> Any:
    """Read a cell of CSV as what its header calls it: text, number, boolean, or list (parted by `|`)."""
    match kind:
        case "number":
            amount = number(value, decimal=decimal)
            return int(amount) if amount == amount.to_integral_value() else float(amount)
        case "boolean":
            return flag(value)
        case "list":
            return [part.strip() for part in value.split("|") if part.strip()]
        case "" | "text":
            return value
        case _:
            raise RefusedError(
                _("“%(kind)s” is not one of: %(kinds)s.") % {"kind": kind, "kinds": ", ".join(KINDS[1:])}
            )


def _unpacked(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return DECODER.decode(value)
    except (ValueError, RecursionError) as error:
        raise RefusedError(_("This is not JSON.")) from error
