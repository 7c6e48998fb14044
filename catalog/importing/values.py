"""Parses single values of a row strictly: a value that does not clearly fit its column raises InvalidValueError."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.forms.utils import from_current_timezone
from django.utils import timezone
from django.utils.translation import gettext as _

from catalog import currencies
from catalog.fields import to_nfc
from catalog.importing.exceptions import InvalidValueError
from catalog.importing.numeric import parse_number
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

ITEMS_LIMIT = 2_000
TRUE_WORDS, FALSE_WORDS = {"true", "yes", "1"}, {"false", "no", "0"}
CELL_TYPES = ("", "text", "number", "boolean", "list")
"""The types that the header of CSV can give to the column of an attribute; an empty one means text."""

MOMENT = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d(:?\d\d)?)?)?", re.ASCII)
SECONDS = re.compile(r"-?\d{1,15}(\.\d{1,9})?", re.ASCII)


def parse_text(value: Any, *, limit: int) -> str:
    """Return a text without surrounding spaces, in the form NFC of Unicode; None gives an empty text.

    Raises:
        InvalidValueError: the value is not a text or a number, is longer than `limit` characters, or cannot be stored.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        if isinstance(value, dict | list | bool):
            raise InvalidValueError(_("A text is needed."))
        value = str(value)
    text = to_nfc(value.strip())
    if len(text) > limit:
        raise InvalidValueError(
            _("This is %(length)d characters long; %(limit)d are allowed.")
            % {"length": len(text), "limit": limit}
        )
    if not text_is_storable(text):
        raise InvalidValueError(_("This has a character in it that no text can have."))
    return text


def check_present(value: Any) -> Any:
    """Return the value.

    Raises:
        InvalidValueError: the value is None, an empty text or an empty list.
    """
    if value in (None, "", [], ()):
        raise InvalidValueError(_("This is missing."))
    return value


def parse_currency(value: Any) -> str:
    """Return a currency code in capitals."""
    code = str(value).upper()
    if code not in currencies.CODES:
        raise InvalidValueError(_("This is not a currency code of ISO 4217 such as EUR."))
    return code


def parse_category(value: Any) -> tuple[str, ...]:
    """Return the names of a category and of those above it, from the root down, from a list of names or one name."""
    items = check_present(value if isinstance(value, list) else [value])
    names = tuple(parse_text(item, limit=120) for item in items)
    if not any(names):
        raise InvalidValueError(_("This is missing."))
    if "" in names:
        level = names.index("") + 1
        raise InvalidValueError(_("The name at level %(level)d of the path is empty.") % {"level": level})
    if len(names) > DEPTH_LIMIT or len("/".join(map(slug_of, names))) > PATH_LIMIT:
        raise InvalidValueError(_("The path is too long."))
    return names


def parse_status(value: Any) -> str:
    """Return the status of a product, in lower case."""
    status = str(value).lower()
    if status not in Status.values:
        raise InvalidValueError(_("This is not one of: %(choices)s.") % {"choices": ", ".join(Status.values)})
    return status


def parse_moment(value: Any) -> datetime:
    """Return the moment of a date, or of a date and time, in the form of ISO 8601.

    A date means the beginning of the day. A text without an offset from UTC is in the shop's time zone.

    Raises:
        InvalidValueError: the value has another form, lies outside the years 1900 to 9999, or is a local time that the
            clocks of the time zone show twice or never.
    """
    text = str(value)
    if SECONDS.fullmatch(text):
        raise InvalidValueError(
            _(
                "A number is not a moment: write 2026-03-01, or set unix = true in the mapping if the number counts "
                "seconds since 1970."
            )
        )
    try:
        if not MOMENT.fullmatch(text):
            raise ValueError
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidValueError(
            _("This is not a moment such as 2026-03-01, 2026-03-01T08:00 or 2026-03-01T08:00+01:00.")
        ) from error
    return _check_bounds(_in_shop_zone(moment) if timezone.is_naive(moment) else moment)


def _in_shop_zone(moment: datetime) -> datetime:
    try:
        return from_current_timezone(moment)
    except ValidationError as error:
        raise InvalidValueError(
            _(
                "In the time zone %(zone)s, clocks show this time twice or never; add the offset from UTC, such as "
                "+01:00."
            )
            % {"zone": timezone.get_current_timezone_name()}
        ) from error


def parse_unix_time(value: Any) -> datetime:
    """Return the moment of a number of seconds since 1970."""
    if isinstance(value, bool) or not SECONDS.fullmatch(str(value)):
        raise InvalidValueError(_("This is not a number of seconds since 1970 such as 1767225600."))
    try:
        return _check_bounds(datetime.fromtimestamp(float(value), UTC))
    except (ValueError, OverflowError, OSError) as error:
        raise _out_of_bounds() from error


def _check_bounds(moment: datetime) -> datetime:
    if not EARLIEST <= moment <= LATEST:
        raise _out_of_bounds()
    return moment


def _out_of_bounds() -> InvalidValueError:
    return InvalidValueError(_("A moment lies between 1900-01-01 and 9999-12-31."))


def parse_gtin(value: Any) -> str:
    """Return a GTIN, or an empty text for an empty value."""
    gtin = parse_text(value, limit=20)
    if gtin and not gtin_is_valid(gtin):
        raise InvalidValueError(_("This is not a GTIN: its check digit or its length is wrong."))
    return gtin


def parse_boolean(value: Any) -> bool:
    """Return True for true, yes and 1, and False for false, no and 0, in any case."""
    word = str(value).lower()
    if word not in TRUE_WORDS | FALSE_WORDS:
        raise InvalidValueError(_("This is neither true nor false."))
    return word in TRUE_WORDS


def parse_list(value: Any) -> list[Any]:
    """Return a list of at most 2,000 items. A text is decoded as JSON; null gives an empty list."""
    items = _decoded(value)
    if items is None:
        return []
    if not isinstance(items, list):
        raise InvalidValueError(_("A list is needed, in CSV written as JSON."))
    if len(items) > ITEMS_LIMIT:
        raise InvalidValueError(
            _("The list has %(count)d items; %(limit)d are allowed.")
            % {"count": len(items), "limit": ITEMS_LIMIT}
        )
    return items


def parse_object(value: Any) -> dict[str, Any]:
    """Return an object of JSON as a dict. A text is decoded as JSON; null gives an empty dict."""
    items = _decoded(value)
    if items is None:
        return {}
    if not isinstance(items, dict):
        raise InvalidValueError(_("Names with values are needed, in CSV written as JSON."))
    return items


def parse_attribute(value: Any) -> Any:
    """Return the value of an attribute: a text, a number, a boolean, or a list of texts without the empty ones."""
    if isinstance(value, str):
        return parse_text(value, limit=ATTRIBUTE_LIMIT)
    if isinstance(value, list):
        items = [item for item in value if item not in (None, "")]
        value = [to_nfc(item.strip()) if isinstance(item, str) else item for item in items]
    if not attribute_is_valid(value):
        raise InvalidValueError(_("An attribute is a text, a number, true or false, or a list of texts."))
    if isinstance(value, list):
        parse_text("".join(value), limit=ATTRIBUTE_LIMIT)
    elif not abs(value) < NUMBER_LIMIT:
        raise InvalidValueError(_("This is more than a number can be."))
    return value


def parse_cell(value: str, *, cell_type: str, decimal: str = "") -> Any:
    """Return the cell of an attribute's column in CSV as the type that the header gives it.

    `cell_type` is one of CELL_TYPES; the items of a list are separated by `|`. `decimal` is the decimal sign of the file.
    """
    match cell_type:
        case "number":
            number = parse_number(value, decimal=decimal)
            return int(number) if number == number.to_integral_value() else float(number)
        case "boolean":
            return parse_boolean(value)
        case "list":
            return [part.strip() for part in value.split("|") if part.strip()]
        case "" | "text":
            return value
        case _:
            raise InvalidValueError(
                _("“%(type)s” is not one of: %(types)s.")
                % {"type": cell_type, "types": ", ".join(CELL_TYPES[1:])}
            )


def _decoded(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return DECODER.decode(value)
    except (ValueError, RecursionError) as error:
        raise InvalidValueError(_("This is not JSON.")) from error
