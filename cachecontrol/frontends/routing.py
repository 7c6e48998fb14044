"""Which policy a path resolves to, independent of the language that an earlier request left active."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.conf.urls.i18n import is_language_prefix_patterns_used
from django.urls import LocalePrefixPattern, Resolver404, get_resolver, resolve
from django.utils import translation

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.urls import ResolverMatch

    from cachecontrol.core.policy import Policy


def policy_of(request: HttpRequest) -> Policy | None:
    """The policy of the view that a request asks for, or None."""
    if not is_translated(settings.ROOT_URLCONF):
        return _resolved(request.path_info)
    with translation.override(language_of(request)):
        return _resolved(request.path_info)


def policy_in(match: ResolverMatch) -> Policy | None:
    """The policy of the resolved view, or None."""
    return getattr(match.func, "cache_policy", None)


def language_of(request: HttpRequest) -> str:
    """The language that Django's LocaleMiddleware gives to a request."""
    has_prefixes, prefixes_default = is_language_prefix_patterns_used(settings.ROOT_URLCONF)
    if not has_prefixes:
        return translation.get_language_from_request(request)
    if language := translation.get_language_from_path(request.path_info):
        return language
    return translation.get_language_from_request(request) if prefixes_default else settings.LANGUAGE_CODE


@functools.cache
def is_translated(urlconf: str) -> bool:
    """Whether the language decides where a path leads: by ``i18n_patterns``, or by routes that are translated."""
    return any(map(_has_language, get_resolver(urlconf).url_patterns))


def _has_language(entry: Any) -> bool:
    pattern = entry.pattern
    if isinstance(pattern, LocalePrefixPattern):
        return True
    route = getattr(pattern, "_route", getattr(pattern, "_regex", ""))
    return not isinstance(route, str) or any(map(_has_language, getattr(entry, "url_patterns", ())))


def _resolved(path: str) -> Policy | None:
    try:
        return policy_in(resolve(path, settings.ROOT_URLCONF))
    except Resolver404:
        return None
