"""Ambient state: the active language, time zone, URLconf and mount, on which the result of a view depends.

Note [Why computations run in a copied context]. An earlier request on the same thread may have left any of these values
active, and the view that runs now may change them too. Django keeps them in context variables (asgiref's ``Local``), and
structlog and many middlewares keep their state there too. So a computation runs in a copy of the context: everything that it
sets is discarded at its end, and nothing has to be reset.
"""

from __future__ import annotations

import contextvars
from dataclasses import dataclass, fields
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from django.conf import settings
from django.core.cache import caches
from django.db import connections
from django.urls import get_script_prefix, get_urlconf, set_script_prefix, set_urlconf
from django.utils import timezone, translation

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo


T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ambient:
    """What is active while something is computed."""

    language: str | None
    """None if translations are deactivated."""
    zone: tzinfo
    urlconf: Any
    """The name of a module, empty for the project's ``ROOT_URLCONF``; or a list of patterns, which no name identifies."""
    mount: str
    """The path at which the server mounts the project, without a trailing slash."""

    @classmethod
    def default(cls, *, language: str = "", mount: str = "") -> Ambient:
        """Return the state that the settings define, except for the arguments that are given."""
        return cls(
            language=language or settings.LANGUAGE_CODE,
            zone=timezone.get_default_timezone(),
            urlconf="",
            mount=mount,
        )

    @classmethod
    def current(cls) -> Ambient:
        """Return the state that is active now."""
        return cls(
            language=translation.get_language(),
            zone=timezone.get_current_timezone(),
            urlconf=_name_of(get_urlconf()),
            mount=get_script_prefix().rstrip("/"),
        )

    def plain(self) -> dict[str, Any]:
        """Return the state by field names."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def run(self, function: Callable[[], T]) -> T:
        """Call a function while this state is active, and return its result. The caller's state does not change.

        See Note [Why computations run in a copied context].
        """
        # Django keeps cache clients in the context, and database connections too while an event loop runs. Create them
        # here, as those created in the copy would be lost.
        caches.all()
        connections.all()
        return contextvars.copy_context().run(self._call, function)

    def _call(self, function: Callable[[], T]) -> T:
        if self.language is None:
            translation.deactivate_all()
        else:
            translation.activate(self.language)
        timezone.activate(self.zone)
        set_urlconf(self.urlconf or settings.ROOT_URLCONF)
        set_script_prefix(self.mount)
        return function()


def begin_request(language: str = "") -> None:
    """Reset the language and time zone that an earlier request left active. Django's handler resets URLconf and mount itself.

    ``language`` is activated; empty means ``LANGUAGE_CODE``.
    """
    translation.activate(language or settings.LANGUAGE_CODE)
    timezone.deactivate()


def _name_of(urlconf: Any) -> Any:
    """Return a URLconf as ``Ambient.urlconf`` names it."""
    name = urlconf.__name__ if isinstance(urlconf, ModuleType) else urlconf
    return "" if name in (None, settings.ROOT_URLCONF) else name
