"""Form fields for numbers in the notation of the active language."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.formats import get_format, number_format


def to_plain_notation(text: str) -> str:
    """Return a number in the active language's notation in the plain notation: `1.234,50` in German as `1234.50`.

    Either all thousands have a separator or none. Any other text is returned as it is, without surrounding spaces: numbers in
    plain notation are valid in every language, and the caller refuses texts that are not numbers.
    """
    point, separator = map(re.escape, (get_format("DECIMAL_SEPARATOR"), get_format("THOUSAND_SEPARATOR")))
    text = text.strip()
    grouped = rf"[+-]?[1-9]\d{{0,2}}({separator}\d{{3}})+({point}\d+)?"
    if not re.fullmatch(rf"{grouped}|[+-]?\d*{point}\d+", text, re.ASCII):
        return text
    return re.sub(point, ".", re.sub(separator, "", text))


class NumberTextInput(forms.TextInput):
    """A text input for numbers. In inputs of type number, browsers refuse or misread the notation of another language."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"inputmode": "decimal", "autocomplete": "off", **(attrs or {})})


class NumberField(forms.DecimalField):
    """A decimal number. It is read in plain notation or that of the active language, and shown in the latter."""

    widget = NumberTextInput

    def to_python(self, value: Any) -> Any:
        return super().to_python(to_plain_notation(value) if isinstance(value, str) else value)

    def prepare_value(self, value: Any) -> Any:
        return _localized(self, value)


class WholeNumberField(forms.IntegerField):
    """A whole number, read and shown like a NumberField. A text with decimals is refused."""

    widget = NumberTextInput

    def to_python(self, value: Any) -> Any:
        if not isinstance(value, str):
            return super().to_python(value)
        number = to_plain_notation(value)
        if number and not re.fullmatch(r"[+-]?\d+", number, re.ASCII):
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        return super().to_python(number)

    def prepare_value(self, value: Any) -> Any:
        return _localized(self, value)


def _localized(field: forms.Field, value: Any) -> Any:
    """Return a number in the active language's notation without thousands separators; any other value as it is."""
    try:
        number = field.to_python(value)
    except ValidationError:
        return value
    if isinstance(number, int | Decimal) and Decimal(number).is_finite():
        return number_format(number)
    return value
