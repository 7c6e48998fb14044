"""Checks of values before they are stored in the catalog. The database repeats them as constraints."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

# The URLs of the shop match this pattern, so a page could not link to a row with another slug.
SLUG = r"^[-a-zA-Z0-9_]+$"
GTIN_LENGTHS = (8, 12, 13, 14)

# In characters. PostgreSQL refuses a row with a search vector of more than a megabyte.
DESCRIPTION_LIMIT = 200_000
ATTRIBUTE_LIMIT = 20_000
ATTRIBUTES_LIMIT = 100_000
NUMBER_LIMIT = 10**18

EARLIEST, LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)


def gtin_is_valid(value: str) -> bool:
    """Tell whether the value is a GTIN of 8, 12, 13 or 14 digits with the right check digit (GS1)."""
    if not (value.isascii() and value.isdigit() and len(value) in GTIN_LENGTHS):
        return False
    return sum(int(digit) * (3, 1)[index % 2] for index, digit in enumerate(value.zfill(14))) % 10 == 0


def validate_gtin(value: str) -> None:
    """Raise ValidationError if the value is not a GTIN."""
    if not gtin_is_valid(value):
        raise ValidationError(
            _("“%(value)s” is not a GTIN: its check digit or its length is wrong."), params={"value": value}
        )


def validate_moment(value: datetime) -> None:
    """Raise ValidationError for a moment so early or late that some programs or time zones cannot show it."""
    if not EARLIEST <= value <= LATEST:
        raise ValidationError(_("A moment lies between 1900-01-01 and 9999-12-31."))


def text_is_storable(text: str) -> bool:
    """Tell whether PostgreSQL can store the text: not if it has a NUL character or half of a surrogate pair."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def attribute_is_valid(value: Any) -> bool:
    """Tell whether the value is a string, a number, a boolean or a list of strings."""
    if isinstance(value, list):
        return all(isinstance(item, str) for item in value)
    return isinstance(value, str | int | float | bool)


def validate_attributes(attributes: Any) -> None:
    """Raise ValidationError unless the value is a dict of names with strings, numbers, booleans or lists of strings."""
    if not isinstance(attributes, dict):
        raise ValidationError(_("Attributes are a JSON object of names and values."))
    for name, value in attributes.items():
        _validate_attribute(name, value)
    length = sum(map(_length, attributes.values()))
    if length > ATTRIBUTES_LIMIT:
        raise ValidationError(
            _("The attributes have %(length)d characters in all; %(limit)d are allowed."),
            params={"length": length, "limit": ATTRIBUTES_LIMIT},
        )


def _validate_attribute(name: str, value: Any) -> None:
    texts = [name, *value] if isinstance(value, list) else [name, value]
    if not all(text_is_storable(text) for text in texts if isinstance(text, str)):
        # The message does not show the name, since the name may have the character.
        raise ValidationError(_("An attribute has a character in it that no text can have."))
    if not name.strip() or not attribute_is_valid(value):
        raise ValidationError(
            _("“%(name)s” must be a text, a number, true or false, or a list of texts."),
            params={"name": name},
        )
    if isinstance(value, int | float) and not abs(value) < NUMBER_LIMIT:
        raise ValidationError(_("“%(name)s” is more than a number can be."), params={"name": name})
    if (length := _length(value)) > ATTRIBUTE_LIMIT:
        raise ValidationError(
            _("“%(name)s” has %(length)d characters; %(limit)d are allowed."),
            params={"name": name, "length": length, "limit": ATTRIBUTE_LIMIT},
        )


def _length(value: Any) -> int:
    """Return the number of characters in the value of an attribute."""
    return sum(map(len, map(str, value))) if isinstance(value, list) else len(str(value))
