"""Figures as people read them."""

from __future__ import annotations

from django import template
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

register = template.Library()

NONE = "–"
UNITS = (
    (2 * 86400, 86400, gettext_lazy("{} d")),
    (2 * 3600, 3600, gettext_lazy("{} h")),
    (120, 60, gettext_lazy("{} min")),
    (1, 1, gettext_lazy("{} s")),
    (1e-3, 1e-3, gettext_lazy("{} ms")),
)
"""From how many seconds on, in what unit, and how it is written."""


@register.filter
def duration(seconds: float | None) -> str:
    """Write seconds in the unit that suits them, with two or three digits."""
    if seconds is None:
        return NONE
    for least, unit, text in UNITS:
        if abs(seconds) >= least:
            return str(text).format(_digits(seconds / unit))
    return _("{} µs").format(_digits(seconds * 1e6))


@register.filter
def percent(share: float | None) -> str:
    """Write a share (0 to 1) as a percentage with one decimal."""
    return NONE if share is None else _("{} %").format(number_format(round(100 * share, 1), decimal_pos=1))


@register.filter
def figure(number: float | None) -> str:
    """Write a number with two or three digits, a whole one with separators."""
    return NONE if number is None else _digits(number)


def _digits(number: float) -> str:
    whole = len(str(int(abs(number))))
    return number_format(number, decimal_pos=max(0, 3 - whole) if number else 0, force_grouping=True)
