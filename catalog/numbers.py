"""Numbers that people type, in the notation of their language."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.formats import get_format, number_format


def plain(text: str) -> str:
    """Return a number written in the active language's notation as links write it: `1.234,50` in German as `1234.50`.

    Thousands are either all separated or none. Any other text is returned as it is: the plain notation means the same in
    every language, and what is no number is for the caller to refuse.
    """
    point, separator = map(re.escape, (get_format("DECIMAL_SEPARATOR"), get_format("THOUSAND_SEPARATOR")))
    text = text.strip()
    grouped = rf"[+-]?[1-9]\d{{0,2}}({separator}\d{{3}})+({point}\d+)?"
    if not re.fullmatch(rf"{grouped}|[+-]?\d*{point}\d+", text, re.ASCII):
        return text
    return re.sub(point, ".", re.sub(separator, "", text))


class NumberText(forms.TextInput):
    """A text input. In inputs of type number, browsers refuse or misread the notation of another language."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"inputmode": "decimal", "autocomplete": "off", **(attrs or {})})


class NumberField(forms.DecimalField):
    """A decimal number in the plain notation or that of the active language, in which it is shown."""

    widget = NumberText

    def to_python(self, value: Any) -> Any:
        return super().to_python(plain(value) if isinstance(value, str) else value)

    def prepare_value(self, value: Any) -> Any:
        return _localized(self, value)


class WholeNumberField(forms.IntegerField):
    """A whole number in the plain notation or that of the active language. Digits behind a point are refused."""

    widget = NumberText

    def to_python(self, value: Any) -> Any:
        if not isinstance(value, str):
            return super().to_python(value)
        number = plain(value)
        if number and not re.fullmatch(r"[+-]?\d+", number, re.ASCII):
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        return super().to_python(number)

    def prepare_value(self, value: Any) -> Any:
        return _localized(self, value)


def _localized(field: forms.Field, value: Any) -> Any:
    """Return a number as the active language writes it, without thousands separators; what is no number as it is."""
    try:
        number = field.to_python(value)
    except ValidationError:
        return value
    return (
        number_format(number) if isinstance(number, int | Decimal) and Decimal(number).is_finite() else value
    )
