"""The middleware of cached pages: answers from a fresh entry, or gives the view a request that holds its key alone.

Note [Why the first middleware]. A hit runs before sessions, locale and logging, which it does not need; and on a miss no
other middleware may see what one visitor sent, since the response is shown to the next visitor.

Note [Why some pages are computed twice]. Only after the view has run, with a request that contains nothing of the visitor, is it
known whether the response is for one visitor (it sets a cookie, uses a CSRF token, is private). Its cookies and tokens would
not be the visitor's: they would replace the visitor's session. So this response is discarded, and the view runs again with
the visitor's own request. The page is remembered, so that for the next visitors the view runs only once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.core.exceptions import DisallowedHost

from cachecontrol import engine
from cachecontrol.conf import conf
from cachecontrol.dependencies import tracker
from cachecontrol.exceptions import DamagedData
from cachecontrol.frontends import ambient, pages, responses, routing
from cachecontrol.frontends.pages import VARY, Page
from cachecontrol.frontends.unshared import UnsharedPages
from cachecontrol.limits.failsafe import failsafe
from cachecontrol.reasons import Outcome, Reason
from cachecontrol.redis import entry_store
from cachecontrol.stats import recording

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from cachecontrol.frontends.responses import StoredResponse

NOT_SHARED: Final = responses.PERSONAL | {Reason.ELSEWHERE}
"""The refusals after which the visitor's own request is answered."""


class CachedPageMiddleware:
    """Stands first. Serves fresh pages with one round trip to Redis; on a miss, fills with a hermetic request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.unshared = UnsharedPages()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        tracker.mark_independent()
        policy = routing.policy_of(request)
        if policy is None:
            return self._pass_on(request)
        if request.method not in ("GET", "HEAD"):
            recording.record_read(policy.name, Outcome.BYPASS, Reason.METHOD, 0.0)
            return self._pass_on(request, "fwd=method")
        try:
            return self._respond(request, Page.of_request(policy, request))
        except DisallowedHost:
            return self._pass_on(request)
        except Exception:
            # Too many parameters, or no database: Django renders the error page around this middleware.
            ambient.begin_request(pages.language_of(policy, request))
            raise

    def _respond(self, request: HttpRequest, page: Page) -> HttpResponseBase:
        if reason := self.unshared.reason(page):
            recording.record_read(page.policy.name, Outcome.BYPASS, reason, 0.0)
            return self._respond_to_own_request(request, reason, f"fwd=bypass; detail={reason}")
        if page.size > conf.max_key_bytes:
            with engine.bypass(Reason.KEY_TOO_LONG):
                return self._read_and_send(request, page, may_warm=False)
        try:
            return self._read_and_send(request, page)
        except DamagedData:
            recording.count("codec.damaged")
            failsafe(lambda: entry_store.delete(page.key))
            with engine.bypass(Reason.DAMAGED):
                return self._read_and_send(request, page)

    def _read_and_send(self, request: HttpRequest, page: Page, *, may_warm: bool = True) -> HttpResponseBase:
        result = self.read(page, may_warm=may_warm)
        if isinstance(result.value, Reason):
            return self._respond_to_own_request(request, result.value, responses.cache_status(result))
        headers = [VARY[name].header for name in page.policy.vary]
        return responses.send(request, result, vary_headers=headers)

    def read(self, page: Page, *, may_warm: bool = True) -> engine.ReadResult[StoredResponse | Reason]:
        """Read the page from a fresh entry, or compute it and store it if that is allowed.

        The value is a reason if the page is not shared. ``may_warm``: whether the warm job may fill the page.
        """
        return engine.read(
            engine.ReadRequest(
                policy=page.policy,
                key=page.key,
                compute=lambda: self._compute(page),
                database=engine.default_database(),
                recipe=page.recipe,
                is_hot=lambda stored: may_warm and page.policy.warm and responses.is_worth_warming(stored),
                is_sound=responses.is_sound,
            )
        )

    def _compute(self, page: Page) -> StoredResponse | Reason:
        """Run the view with a hermetic request. Return the reason if the page is not shared.

        The view does not run if another request of this process has found that meanwhile.
        """
        if reason := self.unshared.reason(page):
            _refuse(page, reason)
            return reason
        result = self._run(page)
        if isinstance(result, Reason):
            _refuse(page, result)
            if page.size <= conf.max_key_bytes:
                self.unshared.remember(page, result)
        return result

    def _run(self, page: Page) -> StoredResponse | Reason:
        """Run the view, and all middlewares behind this one."""
        request = page.hermetic_request()
        if routing.policy_of(request) != page.policy:
            return Reason.ELSEWHERE
        response = page.ambient(request).run(lambda: self.get_response(request))
        refusal = _refusal_of(page, request, response)
        if refusal in NOT_SHARED:
            responses.discard(response)
            return refusal
        if refusal:
            _refuse(page, refusal)
        return responses.to_store(response)

    def _respond_to_own_request(self, request: HttpRequest, reason: Reason, status: str) -> HttpResponseBase:
        """Answer the visitor's own request. Caches on the way must not store the response unless the view allows it."""
        response = self._pass_on(request, status)
        if reason in responses.PERSONAL:
            response.headers.setdefault("Cache-Control", "private, no-cache")
        return response

    def _pass_on(self, request: HttpRequest, status: str = "") -> HttpResponseBase:
        """Pass the visitor's own request on, as if there were no cache."""
        ambient.begin_request()
        response = self.get_response(request)
        if status:
            response.headers["Cache-Status"] = f"{responses.CACHE_NAME}; {status}"
        return response


def _refusal_of(page: Page, request: HttpRequest, response: HttpResponseBase) -> Reason | None:
    """Return why a response to a page's hermetic request must not be stored; None if it may."""
    if request.resolver_match and routing.policy_in(request.resolver_match) != page.policy:
        return Reason.ELSEWHERE
    return responses.refusal_of(request, response)


def _refuse(page: Page, reason: Reason) -> None:
    if (collection := tracker.current()) is not None:
        collection.refuse(reason, page.recipe.path)
