"""What all rows of the catalog have in the admin: a history, and editors who do not undo what others did."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.db import transaction
from django.utils.translation import ngettext
from simple_history.admin import SimpleHistoryAdmin

from catalog.admin.snapshots import NUMBERS, SnapshotForm, SnapshotFormSet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import Model
    from django.http import HttpRequest, HttpResponse

MOST_NOTICES = 10


class HistoryAdmin(SimpleHistoryAdmin):  # type: ignore[misc]
    """An admin with history, whose forms save only what was changed in them.

    The library's own list of versions has an inline style, and reads each version's row anew.
    """

    form = SnapshotForm
    formfield_overrides = NUMBERS
    object_history_list_template = "admin/catalog/history_list.html"
    object_history_form_template = "admin/catalog/history_form.html"

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Model | None:
        """Return the row; while its form is handled nobody else changes it."""
        found: Model | None = super().get_object(request, object_id, from_field)
        if found is None or request.method != "POST":
            return found
        return type(found)._base_manager.select_for_update().filter(pk=found.pk).first()

    def save_model(self, request: HttpRequest, obj: Model, form: SnapshotForm, change: bool) -> None:
        obj._history_user = request.user  # type: ignore[attr-defined]
        form.write()
        _tell(request, form.notices())

    def save_formset(self, request: HttpRequest, form: SnapshotForm, formset: Any, change: bool) -> None:
        super().save_formset(request, form, formset, change)
        _tell(request, _notices_of(formset))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Show the form; where it comes back for an error, say what others changed meanwhile."""
        form = context["adminform"].form
        if form.is_bound:
            _tell(request, form.notices())
            for inline in context["inline_admin_formsets"]:
                _tell(request, _notices_of(inline.formset))
        return super().render_change_form(request, context, *args, **kwargs)

    def get_changelist_form(self, request: HttpRequest, **kwargs: Any) -> Any:
        return super().get_changelist_form(request, **{"form": SnapshotForm, **kwargs})

    def get_changelist_formset(self, request: HttpRequest, **kwargs: Any) -> Any:
        return super().get_changelist_formset(request, **{"formset": SnapshotFormSet, **kwargs})

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show the list, or save what was edited in it while nobody else changes those rows."""
        if request.method != "POST":
            return super().changelist_view(request, *args, **kwargs)  # type: ignore[no-any-return]
        with transaction.atomic():
            response: HttpResponse = super().changelist_view(request, *args, **kwargs)
        changelist = getattr(response, "context_data", {}).get("cl")
        if changelist and changelist.formset and changelist.formset.is_bound:
            changelist.result_list = [form.instance for form in changelist.formset.forms]
        return response

    @transaction.atomic
    def history_form_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show a version, or go back to it while nobody else changes the row."""
        return super().history_form_view(request, *args, **kwargs)  # type: ignore[no-any-return]


def _notices_of(formset: Any) -> Iterable[str]:
    """Yield the notices of each row, with what the row is called."""
    for form in formset.initial_forms:
        for notice in form.notices():
            yield notice if form.is_gone else f"{form.instance}: {notice}"


def _tell(request: HttpRequest, notices: Iterable[str]) -> None:
    """Show the notices; of many only the first, and how many more there are."""
    remaining = iter(notices)
    for notice in islice(remaining, MOST_NOTICES):
        messages.warning(request, notice)
    if more := sum(1 for _notice in remaining):
        text = ngettext(
            "Somebody else changed %(count)d more value.",
            "Somebody else changed %(count)d more values.",
            more,
        )
        messages.warning(request, text % {"count": more})
