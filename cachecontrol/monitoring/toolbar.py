"""A panel of the debug toolbar: what the cache did in this request, and what was not stored and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from debug_toolbar.panels import Panel
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from cachecontrol.stats import recording

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


# The toolbar writes itself into no compressed page, and a 304 would show the toolbar of an earlier request.
UNSEEN = ("HTTP_ACCEPT_ENCODING", "HTTP_IF_NONE_MATCH")


class CachePanel(Panel):
    """Shows each read with its policy, outcome, reason and tags, and each refusal with what to blame."""

    panel_id = "cachecontrol"
    """Not the class' name, which a panel of the toolbar itself has already."""
    title = _("Cache that can prove it is fresh")
    nav_title = _("Freshness")
    template = "cachecontrol/panel.html"

    @property
    def nav_subtitle(self) -> str:
        found = self.get_stats()  # type: ignore[no-untyped-call]
        reads, refusals = len(found.get("reads", ())), len(found.get("refusals", ()))
        text = ngettext("{n} read", "{n} reads", reads).format(n=reads)
        if not refusals:
            return text
        return f"{text}, " + ngettext("{n} refusal", "{n} refusals", refusals).format(n=refusals)

    def process_request(self, request: HttpRequest) -> HttpResponse:
        for name in UNSEEN:
            request.META.pop(name, None)
        with recording.trace() as self._trace:
            response: HttpResponse = super().process_request(request)  # type: ignore[no-untyped-call]
        return response

    def generate_stats(self, request: HttpRequest, response: HttpResponse) -> None:
        reads = [
            {
                "policy": r.policy,
                "outcome": r.outcome,
                "reason": r.reason,
                "seconds": r.seconds,
                "tags": r.tags,
            }
            for r in self._trace.reads
        ]
        refusals = [
            {"policy": r.policy, "reason": r.reason, "detail": r.detail} for r in self._trace.refusals
        ]
        self.record_stats({"reads": reads, "refusals": refusals})  # type: ignore[no-untyped-call]
