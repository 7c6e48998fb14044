"""A panel of the debug toolbar: the reads of the cache in one request, and the values that were not stored, with the reasons."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from debug_toolbar.panels import Panel
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from cachecontrol.stats import recording

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


# The toolbar cannot insert itself into a compressed page, and a 304 would show the toolbar of an earlier request.
HIDDEN_HEADERS = ("HTTP_ACCEPT_ENCODING", "HTTP_IF_NONE_MATCH")


class CachePanel(Panel):
    """Shows each read with its policy, outcome, reason and tags, and each refusal with its cause."""

    panel_id = "cachecontrol"
    """The default is the name of the class, which a panel of the toolbar itself has already."""
    title = _("Cache that can prove it is fresh")
    nav_title = _("Freshness")
    template = "cachecontrol/panel.html"

    @property
    def nav_subtitle(self) -> str:
        stats = self.get_stats()  # type: ignore[no-untyped-call]
        reads, refusals = len(stats.get("reads", ())), len(stats.get("refusals", ()))
        text = ngettext("{n} read", "{n} reads", reads).format(n=reads)
        if not refusals:
            return text
        return f"{text}, " + ngettext("{n} refusal", "{n} refusals", refusals).format(n=refusals)

    def process_request(self, request: HttpRequest) -> HttpResponse:
        for name in HIDDEN_HEADERS:
            request.META.pop(name, None)
        with recording.trace() as self._trace:
            response: HttpResponse = super().process_request(request)  # type: ignore[no-untyped-call]
        return response

    def generate_stats(self, request: HttpRequest, response: HttpResponse) -> None:
        reads = [asdict(read) for read in self._trace.reads]
        refusals = [asdict(refusal) for refusal in self._trace.refusals]
        self.record_stats({"reads": reads, "refusals": refusals})  # type: ignore[no-untyped-call]
