"""Routing: which policy a path leads to, whatever language an earlier request left active."""

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
    """Return the policy of the view that a request leads to; None if that view is not cached or does not exist."""
    if not is_translated(settings.ROOT_URLCONF):
        return _resolved(request.path_info)
    with translation.override(language_of(request)):
        return _resolved(request.path_info)


def policy_in(match: ResolverMatch) -> Policy | None:
    """Return the policy of a resolved view; None if it is not cached."""
    return getattr(match.func, "cache_policy", None)


def language_of(request: HttpRequest) -> str:
    """Return the language that Django's LocaleMiddleware gives to a request."""
    has_prefixes, prefixes_default = is_language_prefix_patterns_used(settings.ROOT_URLCONF)
    if not has_prefixes:
        return translation.get_language_from_request(request)
    if language := translation.get_language_from_path(request.path_info):
        return language
    return translation.get_language_from_request(request) if prefixes_default else settings.LANGUAGE_CODE


@functools.cache
def is_translated(urlconf: str) -> bool:
    """Whether the URLs depend on the language: by ``i18n_patterns``, or by translated routes."""
    return any(map(_has_language, get_resolver(urlconf).url_patterns))


def _has_language(entry: Any) -> bool:
    """Whether a pattern or a resolver of URLs, or one within it, depends on the language."""
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
