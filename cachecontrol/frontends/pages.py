"""Cached pages: the decorator of views, the page that a request asks for, and the hermetic request that computes it.

``cachecontrol.middleware`` answers visitors.
"""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar, cast
from urllib.parse import urlencode

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.utils import translation

from cachecontrol.core.policy import Policy, register_policy
from cachecontrol.core.reading import ReadRequest, never
from cachecontrol.core.recipe import Recipe
from cachecontrol.exceptions import Misconfigured, RecomputationFailed
from cachecontrol.frontends import frontend, responses, routing
from cachecontrol.frontends.ambient import Ambient
from cachecontrol.postgres import sessions
from cachecontrol.reasons import PolicyKind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    Response = HttpResponseBase | Awaitable[HttpResponseBase]

V = TypeVar("V", bound="Callable[..., Response]")


def cached_page(
    name: str,
    *,
    ttl: float = 3600.0,
    stale_for: float = 0.0,
    params: Sequence[str] = (),
    vary: Sequence[str] = (),
    warm: bool = True,
    local: bool = True,
    enabled: bool = True,
) -> Callable[[V], V]:
    """Return a decorator that makes a cached view of a view. The responses of the cached view to GET and HEAD are stored.

    The cached view is a new function. The view itself stays uncached, also under another URL. Other decorators may be above or
    below this one; one above it must use ``functools.wraps``. All of them run only when the page is computed. Of a class-based
    view, decorate what ``as_view()`` returns.

    The view gets a hermetic request: it sees the URL and the declared values, but no cookies, no user, no other headers. A
    response that is for one visitor is not stored: one that sets a cookie, contains a CSRF token, is ``private`` or
    ``no-store``, or streams. The view then runs again with the visitor's own request.

    Args:
        name: name of the policy, which statistics show: ``shop.category``.
        ttl: seconds that an entry lives at most.
        stale_for: seconds for which the old page may be served after its data changed, while one request computes it again.
        params: names of the query parameters that the view sees. All others are dropped.
        vary: values of the visitor's request that the view sees: ``"language"``. Each value has its own entry.
        warm: whether the warm job fills pages that are often asked for.
        local: whether each process may keep pages in its own memory, and answer visitors without a session from there.
        enabled: if False, the view runs for each request, still with a hermetic request. Each counts as a bypass
            (``disabled``).

    Returns:
        The decorator. The cached view has the name, the docstring and the attributes of the view, and its policy as
        ``cache_policy``.

    Raises:
        Misconfigured: ``vary`` contains an unknown value, or another policy has this name.

    Example::

        @cached_page("shop.category", params=["page"], vary=["language"], ttl=600)
        def category(request, slug): ...


        urlpatterns = [
            path("category/<slug:slug>/", category),
            path("brands/", cached_page("shop.brands")(BrandList.as_view())),
        ]
    """
    if unknown := set(vary) - VARY.keys():
        raise Misconfigured(
            f"policy {name!r} varies by {', '.join(sorted(unknown))}; known: {', '.join(VARY)}"
        )
    policy = register_policy(
        Policy(
            name=name,
            kind=PolicyKind.PAGE,
            ttl=ttl,
            stale_for=stale_for,
            params=tuple(params),
            vary=tuple(vary),
            warm=warm,
            local=local,
            enabled=enabled,
        )
    )

    return functools.partial(_cached_view, policy)


def _cached_view(policy: Policy, view: V) -> V:
    @functools.wraps(view)
    def cached_view(*args: Any, **kwargs: Any) -> Response:
        return view(*args, **kwargs)

    if iscoroutinefunction(view):
        markcoroutinefunction(cached_view)
    cached_view.cache_policy = policy  # type: ignore[attr-defined]
    return cast("V", cached_view)


def _language(request: HttpRequest) -> str:
    return translation.get_language_from_request(request)


@dataclass(frozen=True, slots=True)
class Vary:
    """A value of the visitor's request by which a page can vary."""

    header: str
    meta: str
    """Name of the header in ``request.META``."""
    normalise: Callable[[HttpRequest], str]
    """Returns the value of a request. There are few values, so that there are few entries."""


VARY: Final = {"language": Vary("Accept-Language", "HTTP_ACCEPT_LANGUAGE", _language)}
CLIENT_ADDRESS: Final = "192.0.2.1"
"""The client's address that a view sees. It is reserved for documentation, so that no project trusts it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRecipe(Recipe):
    """Everything that the view of a page can see."""

    kind: ClassVar[str] = PolicyKind.PAGE
    scheme: str
    host: str
    path: str
    query: str
    vary: tuple[str, ...]
    mount: str
    """The path at which the server mounts the project (``SCRIPT_NAME``), with which links begin."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a policy."""

    policy: Policy
    recipe: PageRecipe

    @classmethod
    def of_request(cls, policy: Policy, request: HttpRequest) -> Page:
        """Return the page that a request asks for. Raises SuspiciousOperation for a foreign host or too many parameters."""
        names = sorted(policy.params) if request.GET else []
        pairs = [(name, value) for name in names for value in request.GET.getlist(name)]
        recipe = PageRecipe(
            scope=sessions.scope_name(),
            scheme=request.scheme or "http",
            host=request.get_host().lower(),
            path=request.path_info,
            # The visitor's charset may decode to half of a surrogate pair.
            query=urlencode(pairs, errors="replace"),
            vary=tuple(VARY[name].normalise(request) for name in policy.vary),
            mount=request.META.get("SCRIPT_NAME", ""),
        )
        return cls(policy, recipe)

    @property
    def size(self) -> int:
        """Bytes of those parts of the key that a visitor can choose freely."""
        recipe = self.recipe
        path = f"{recipe.mount}{recipe.path}".encode()
        return len(recipe.host) + len(path) + len(recipe.query) + sum(map(len, recipe.vary))

    @property
    def key(self) -> str:
        """The key of the page's entry."""
        recipe = self.recipe
        mount = [recipe.mount] if recipe.mount else []
        parts = (recipe.scheme, recipe.host, recipe.path, recipe.query, *recipe.vary, *mount)
        return frontend.entry_key(self.policy, recipe.scope, *parts)

    @property
    def vary_headers(self) -> list[str]:
        """Names of the request headers by which the page varies."""
        return [VARY[name].header for name in self.policy.vary]

    def read_request(self, compute: Callable[[], Any], *, may_warm: bool = False) -> ReadRequest[Any]:
        """Return the request for the entry of this page. ``may_warm`` tells whether the warm job may fill it later."""
        is_hot = responses.is_worth_warming if may_warm and self.policy.warm else never
        return ReadRequest(
            policy=self.policy,
            key=self.key,
            compute=compute,
            database=frontend.default_database(),
            recipe=self.recipe,
            is_hot=is_hot,
            is_shared=True,
            is_sound=responses.is_sound,
        )

    def hermetic_request(self) -> HttpRequest:
        """Return a request that contains the parts of the key and nothing else."""
        recipe = self.recipe
        server, _, port = recipe.host.rpartition(":") if ":" in recipe.host else (recipe.host, "", "")
        environ = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": recipe.mount.encode().decode("latin-1"),
            "PATH_INFO": recipe.path.encode().decode("latin-1"),
            "QUERY_STRING": recipe.query,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_NAME": server,
            "SERVER_PORT": port or ("443" if recipe.scheme == "https" else "80"),
            "REMOTE_ADDR": CLIENT_ADDRESS,
            "HTTP_HOST": recipe.host,
            "wsgi.url_scheme": recipe.scheme,
            "wsgi.input": io.BytesIO(),
        }
        values = zip(self.policy.vary, recipe.vary, strict=True)
        return WSGIRequest(environ | {VARY[name].meta: value for name, value in values})

    def ambient(self, request: HttpRequest) -> Ambient:
        """Return the state that is active when the middlewares receive the hermetic request."""
        return Ambient.default(language=language_of(self.policy, request), mount=self.recipe.mount)

    def ask(self) -> HttpResponseBase:
        """Return the response to a visitor who sends nothing but the parts of the key. Its headers tell what the cache did.

        Raises RecomputationFailed if the status of the response is 500 or above.
        """
        ambient = Ambient.default(mount=self.recipe.mount)
        response = ambient.run(lambda: _handler().get_response(self.hermetic_request()))
        if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise RecomputationFailed(f"{self.recipe.path} answers {response.status_code}")
        return response


def language_of(policy: Policy, request: HttpRequest) -> str:
    """Return the language in which a page of this policy answers a request; empty for ``LANGUAGE_CODE``."""
    has_language = "language" in policy.vary or routing.is_translated(settings.ROOT_URLCONF)
    return routing.language_of(request) if has_language else ""


@functools.cache
def _handler() -> WSGIHandler:
    return WSGIHandler()


class PageFrontEnd:
    """Pages as the jobs see them."""

    recipe_type = PageRecipe

    def request(self, policy: Policy, recipe: PageRecipe) -> ReadRequest[Any] | None:
        """Return how to compute the page again; None if the policy now varies by another number of values."""
        if len(recipe.vary) != len(policy.vary):
            return None
        page = Page(policy, recipe)
        return page.read_request(page.ask)

    def is_same(self, recipe: PageRecipe, stored: Any, computed: HttpResponseBase) -> bool:
        """Whether a stored page equals the response that was computed without the cache. Raises DamagedData."""
        return responses.is_same(stored, computed)


frontend.register(PageFrontEnd())
