"""The middleware of cached pages: it sends a fresh entry, or runs the view with a hermetic request and stores the response.

Note [Why the cache is the first middleware]. A hit needs neither sessions nor locale nor logging, so it does not pay for them.
On a miss, no other middleware may see what one visitor has sent, since the response is sent to other visitors, too.

Note [Why some pages are computed twice]. Whether a response is for one visitor (it sets a cookie, contains a CSRF token, is
private) is known only after the view has run, with a hermetic request. The cookies and tokens of this response are not the
visitor's and would replace the visitor's session. So this response is discarded, and the view runs again with the visitor's own
request. The process remembers the page, so that for the next visitors the view runs only once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.core.exceptions import DisallowedHost

from cachecontrol import engine
from cachecontrol.conf import conf
from cachecontrol.dependencies import declarations
from cachecontrol.dependencies.collection import current_collection
from cachecontrol.exceptions import DamagedData
from cachecontrol.frontends import ambient, pages, responses, routing, visitors
from cachecontrol.frontends.known_pages import SIGNATURE, known_pages
from cachecontrol.frontends.pages import Page
from cachecontrol.frontends.unshared import UnsharedPages
from cachecontrol.limits.failsafe import failsafe
from cachecontrol.local.tier import local_reads
from cachecontrol.reasons import Outcome, Reason
from cachecontrol.redis import entry_store
from cachecontrol.stats import recording

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from cachecontrol.frontends.responses import StoredResponse

NOT_SHARED: Final = responses.PERSONAL | {Reason.ELSEWHERE}
"""The refusals after which the visitor's own request is passed on. See Note [Why some pages are computed twice]."""


class CachedPageMiddleware:
    """Answers requests for cached pages. It must be the first in ``MIDDLEWARE``.

    See Note [Why the cache is the first middleware].
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.unshared = UnsharedPages()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with local_reads(is_allowed=not visitors.may_have_written(request.META)):
            return self._answer(request)

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        declarations.mark_independent()
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
            # Too many parameters, or the database is down. Django renders the error page outside of this middleware.
            ambient.begin_request(pages.language_of(policy, request))
            raise

    def _respond(self, request: HttpRequest, page: Page) -> HttpResponseBase:
        if reason := self.unshared.reason(page):
            recording.record_read(page.policy.name, Outcome.BYPASS, reason, 0.0)
            return self._respond_to_own_request(request, reason, f"fwd=bypass; detail={reason}")
        if page.size > conf.max_key_bytes:
            with engine.bypass(Reason.KEY_TOO_LONG):
                return self._read_and_send(request, page, may_warm=False)
        self._remember(request, page)
        try:
            return self._read_and_send(request, page)
        except DamagedData:
            recording.count("codec.damaged")
            failsafe(lambda: entry_store.delete(page.key))
            with engine.bypass(Reason.DAMAGED):
                return self._read_and_send(request, page)

    def _remember(self, request: HttpRequest, page: Page) -> None:
        """Let the front know which page such a request asks for, if it was the front that passed the request on."""
        if signature := getattr(request, "scope", request.META).get(SIGNATURE):
            known_pages.remember(signature, page)

    def _read_and_send(self, request: HttpRequest, page: Page, *, may_warm: bool = True) -> HttpResponseBase:
        """Send the page from a fresh entry, or compute it and store it if that is allowed.

        ``may_warm`` tells whether the warm job may fill the page.
        """
        result = engine.read(page.read_request(lambda: self._compute(page), may_warm=may_warm))
        if isinstance(result.value, Reason):  # the page is not shared
            return self._respond_to_own_request(request, result.value, responses.cache_status(result))
        return responses.send(request, result, vary_headers=page.vary_headers)

    def _compute(self, page: Page) -> StoredResponse | Reason:
        """Return the response to a hermetic request in the form that is stored, or the reason if the page is not shared.

        The view does not run if another request of this process has found meanwhile that the page is not shared.
        """
        if reason := self.unshared.reason(page):
            _refuse(page, reason)
            return reason
        result = self._run(page)
        if isinstance(result, Reason):
            _refuse(page, result)
            if page.size <= conf.max_key_bytes:
                self.unshared.remember(page, result)
                known_pages.forget(page)
        return result

    def _run(self, page: Page) -> StoredResponse | Reason:
        """Run the view and all other middlewares with a hermetic request."""
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
        """Pass the visitor's own request on, and forbid other caches to store a personal response unless the view allows it."""
        response = self._pass_on(request, status)
        if reason in responses.PERSONAL:
            response.headers.setdefault("Cache-Control", "private, no-cache")
        return response

    def _pass_on(self, request: HttpRequest, status: str = "") -> HttpResponseBase:
        """Pass the visitor's own request on. ``status`` is what Cache-Status tells, empty if the page is not cached."""
        ambient.begin_request()
        response = self.get_response(request)
        if status:
            response.headers["Cache-Status"] = f"{responses.CACHE_NAME}; {status}"
        return response


def _refusal_of(page: Page, request: HttpRequest, response: HttpResponseBase) -> Reason | None:
    """Return why the response to a page's hermetic request must not be stored; None if it may be."""
    if request.resolver_match and routing.policy_in(request.resolver_match) != page.policy:
        return Reason.ELSEWHERE
    return responses.refusal_of(request, response)


def _refuse(page: Page, reason: Reason) -> None:
    if (collection := current_collection()) is not None:
        collection.refuse(reason, page.recipe.path)
