"""Single values of a row, read strictly: what is not plainly right is refused with the reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from catalog import currencies
from catalog.models import Status
from catalog.validators import attribute_is_valid, gtin_is_valid

CENT = Decimal("0.01")
PRICE_LIMIT = Decimal(10) ** 10
STOCK_LIMIT = 2**31
DESCRIPTION_LIMIT = 200_000  # a search vector ends at a megabyte
TRUE, FALSE = {"true", "yes", "1"}, {"false", "no", "0"}


class RefusedError(ValueError):
    """The value cannot be what the column is for; the text is the reason in plain words."""


def text(value: Any, *, limit: int) -> str:
    """Read a text of at most `limit` characters; None is an empty one."""
    if value is None:
        return ""
    if not isinstance(value, str):
        if isinstance(value, dict | list | bool):
            raise RefusedError(_("A text is needed."))
        value = str(value)
    said: str = value.strip()
    if len(said) > limit:
        raise RefusedError(
            _("This is %(length)d characters long; %(limit)d are allowed.")
            % {"length": len(said), "limit": limit}
        )
    check_storable(said)
    return said


def check_storable(said: str) -> None:
    """Refuse what a database cannot keep in a text: the character zero, and halves of characters."""
    try:
        storable = b"\0" not in said.encode()
    except UnicodeEncodeError:
        storable = False
    if not storable:
        raise RefusedError(_("This has a character in it that no text can have."))


def required(said: Any) -> Any:
    """Refuse an empty value."""
    if said in (None, "", [], ()):
        raise RefusedError(_("This is missing."))
    return said


def price(value: Any) -> Decimal:
    """Read an amount of money: digits, a point before the cents, not below zero."""
    try:
        amount = Decimal(str(value)) if not isinstance(value, bool | dict | list) else Decimal("NaN")
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite():
        raise RefusedError(_("This is not a number such as 12.50."))
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
    return names


def status(value: Any) -> str:
    """Read how far the product is."""
    if str(value).lower() not in Status.values:
        raise RefusedError(_("This is not one of: %(choices)s.") % {"choices": ", ".join(Status.values)})
    return str(value).lower()


def moment(value: Any) -> datetime:
    """Read a moment: seconds since 1970, or ISO 8601, in the shop's time zone unless it says another."""
    try:
        if isinstance(value, int | float) or str(value).isdigit():
            return datetime.fromtimestamp(float(value), UTC)
        said = datetime.fromisoformat(str(value))
        return timezone.make_aware(said) if timezone.is_naive(said) else said
    except (ValueError, OverflowError, OSError) as error:
        raise RefusedError(_("This is not a moment such as 2026-03-01T08:00.")) from error


def stock(value: Any) -> int:
    """Read a count of pieces."""
    said = str(value)
    if isinstance(value, bool) or not (said.isascii() and said.isdigit() and int(said) < STOCK_LIMIT):
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
    if isinstance(value, list):
        value = [item.strip() if isinstance(item, str) else item for item in value if item not in (None, "")]
    if not attribute_is_valid(value):
        raise RefusedError(_("An attribute is a text, a number, true or false, or a list of texts."))
    if isinstance(value, str):
        check_storable(value)
    elif isinstance(value, list):
        check_storable("".join(value))
    return value


def typed(value: str, *, kind: str) -> Any:
    """Read a cell of CSV as what its header calls it: text, number, boolean, or list (parted by `|`)."""
    match kind:
        case "number":
            number = float(amount) if (amount := _number(value)) is not None else None
            return int(number) if number is not None and number.is_integer() else number
        case "boolean":
            return flag(value)
        case "list":
            return [part.strip() for part in value.split("|") if part.strip()]
        case _:
            return value


def _number(value: str) -> Decimal | None:
    try:
        number = Decimal(value)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise RefusedError(_("This is not a number such as 12.5."))
    return number


def _unpacked(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise RefusedError(_("This is not JSON.")) from error
