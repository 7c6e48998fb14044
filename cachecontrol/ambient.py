"""Ambient state: language, time zone, URLconf and mount, which Django keeps for each thread and which decide what a view says.

Note [Why a context of its own]. Whoever used the thread before may have left any of these active, and so may the view that
is computed now. All of them are context variables (asgiref's ``Local``), as are those of structlog and of many
middlewares. So a computation runs in a copy of the context: what it sets ends with it, and nobody has to put it back.
"""

from __future__ import annotations

import contextvars
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from django.conf import settings
from django.core.cache import caches
from django.urls import get_script_prefix, get_urlconf, set_script_prefix, set_urlconf
from django.utils import timezone, translation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import tzinfo

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ambient:
    """What is active while something is computed."""

    language: str | None
    """None: texts stay as they are in the code."""
    zone: tzinfo
    urlconf: Any
    """The name of a module, empty for the project's ``ROOT_URLCONF``; or patterns, which have no name."""
    mount: str
    """The path at which the server mounts the project, without a slash at its end."""

    @classmethod
    def default(cls, *, language: str = "", mount: str = "") -> Ambient:
        """What the project's settings say, but for what is given."""
        return cls(
            language=language or settings.LANGUAGE_CODE,
            zone=timezone.get_default_timezone(),
            urlconf="",
            mount=mount,
        )

    @classmethod
    def current(cls) -> Ambient:
        """What is active now. A URLconf or mount that changes nothing is empty."""
        return cls(
            language=translation.get_language(),
            zone=timezone.get_current_timezone(),
            urlconf=_name_of(get_urlconf()),
            mount=get_script_prefix().rstrip("/"),
        )

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Ambient:
        """What these facts tell, among others."""
        return cls(**{name: facts[name] for name in ("language", "zone", "urlconf", "mount")})

    @property
    def facts(self) -> dict[str, Any]:
        """Plain values from which ``of`` gives this again."""
        return {
            "language": self.language,
            "zone": self.zone,
            "urlconf": self.urlconf,
            "mount": self.mount,
        }

    def run(self, act: Callable[[], T]) -> T:
        """Call ``act`` with this active, and leave everything as it was before."""
        caches.all()  # Django keeps its cache clients in the context: those opened within would be lost
        return contextvars.copy_context().run(self._call, act)

    def _call(self, act: Callable[[], T]) -> T:
        if self.language is None:
            translation.deactivate_all()
        else:
            translation.activate(self.language)
        timezone.activate(self.zone)
        set_urlconf(self.urlconf or settings.ROOT_URLCONF)
        set_script_prefix(self.mount)
        return act()


def begin_request(language: str = "") -> None:
    """Forget the language and time zone of the thread's last visitor. The handler has set URLconf and mount."""
    translation.activate(language or settings.LANGUAGE_CODE)
    timezone.deactivate()


def _name_of(urlconf: Any) -> Any:
    name = urlconf.__name__ if isinstance(urlconf, ModuleType) else urlconf
    return "" if name in (None, settings.ROOT_URLCONF) else name
