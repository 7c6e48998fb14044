"""Model fields that store texts in the form NFC of Unicode, and bring the texts of lookups into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from django.db import models

if TYPE_CHECKING:
    CharField = models.CharField[str, str]
    TextField = models.TextField[str, str]
else:
    CharField, TextField = models.CharField, models.TextField


def to_nfc(text: str) -> str:
    """Return the text in the form NFC of Unicode, in which “é” is one character and not an “e” and an accent."""
    return text if text.isascii() else normalize("NFC", text)


class NormalForm:
    """A mixin that normalizes the values of forms, saves and exact lookups. Migrations see the field of Django."""

    def deconstruct(self) -> Any:
        name, _path, args, kwargs = super().deconstruct()  # type: ignore[misc]
        field = next(cls for cls in type(self).__mro__ if cls.__module__.startswith("django."))
        return name, f"django.db.models.{field.__name__}", args, kwargs

    def to_python(self, value: Any) -> Any:
        return _normalized(super().to_python(value))  # type: ignore[misc]

    def get_prep_value(self, value: Any) -> Any:
        return _normalized(super().get_prep_value(value))  # type: ignore[misc]


class NormalCharField(NormalForm, CharField):
    """A text of limited length in the form NFC."""


class NormalTextField(NormalForm, TextField):
    """A text in the form NFC."""


class NormalJSONField(NormalForm, models.JSONField):
    """JSON with texts and names in the form NFC."""


def _normalized(value: Any) -> Any:
    match value:
        case str():
            return to_nfc(value)
        case dict():
            return {_normalized(key): _normalized(item) for key, item in value.items()}
        case list():
            return [_normalized(item) for item in value]
        case _:
            return value
