"""Visitors: which of them may have written just before, so that only Redis may answer them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.signals import setting_changed

from cachecontrol.conf import conf

if TYPE_CHECKING:
    from collections.abc import Mapping


def may_have_written(meta: Mapping[str, Any]) -> bool:
    """Whether a visitor may have written, by the request's headers as ``request.META`` and WSGI's environment have them.

    True for a session cookie, a CSRF cookie, the header ``Authorization``, and the cookies and headers that the setting
    ``ASK_REDIS_FOR`` names. A cookie that only contains such a name counts too.
    """
    headers, cookies = _marks()
    if any(header in meta for header in headers):
        return True
    sent = meta.get("HTTP_COOKIE", "")
    return bool(sent) and any(cookie in sent for cookie in cookies)


@functools.cache
def _marks() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the headers, as ``request.META`` names them, and the cookies of visitors who may have written."""
    headers = ("Authorization", *conf.ask_redis_for)
    cookies = (settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME, *conf.ask_redis_for)
    return tuple(f"HTTP_{name.upper().replace('-', '_')}" for name in headers), cookies


def _on_setting_changed(**_: Any) -> None:
    _marks.cache_clear()


setting_changed.connect(_on_setting_changed, dispatch_uid="cachecontrol.visitors")
