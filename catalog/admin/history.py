"""The base of the catalog's admins: a history, and forms that keep the changes of other editors."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.db import IntegrityError, OperationalError, connection, transaction
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from psycopg.errors import DeadlockDetected, ForeignKeyViolation, UniqueViolation
from simple_history.admin import SimpleHistoryAdmin

from catalog.admin.snapshot_formsets import NUMBER_FIELDS, SnapshotFormSet
from catalog.admin.snapshots import SnapshotForm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import Model
    from django.http import HttpRequest, HttpResponse

NOTICES_LIMIT = 10
RACES = (UniqueViolation, ForeignKeyViolation, DeadlockDetected)


class HistoryAdmin(SimpleHistoryAdmin):  # type: ignore[misc]
    """An admin with history, whose forms save only the changed fields. See Note [Why a field has three values].

    It has its own template for the list of versions, since the template of django-simple-history has an inline style and
    reads the row of each version again.
    """

    form = SnapshotForm
    formfield_overrides = NUMBER_FIELDS
    object_history_list_template = "admin/catalog/history_list.html"
    object_history_form_template = "admin/catalog/history_form.html"

    class Media:
        css = {"screen": ["catalog/admin.css"]}

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Handle a form. If a commit of somebody else between validation and save made the save fail, try once more."""
        try:
            return super().changeform_view(request, *args, **kwargs)  # type: ignore[no-any-return]
        except (IntegrityError, OperationalError) as error:
            if not isinstance(error.__cause__, RACES):
                raise
        return super().changeform_view(request, *args, **kwargs)  # type: ignore[no-any-return]

    def save_related(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        """Save the inline rows and check deferred constraints, before the message of success is shown."""
        super().save_related(request, *args, **kwargs)
        connection.check_constraints()

    def save_model(self, request: HttpRequest, obj: Model, form: SnapshotForm, change: bool) -> None:
        obj._history_user = request.user  # type: ignore[attr-defined]
        form.save_changes()
        _show_notices(request, form.notices())

    def save_formset(self, request: HttpRequest, form: SnapshotForm, formset: Any, change: bool) -> None:
        super().save_formset(request, form, formset, change)
        _show_notices(request, formset.notices())

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Show the form. If it is shown again with errors, also show the changes of somebody else."""
        form, inlines = context["adminform"].form, context["inline_admin_formsets"]
        if form.is_bound:
            _show_notices(request, chain(form.notices(), *(inline.formset.notices() for inline in inlines)))
        return super().render_change_form(request, context, *args, **kwargs)

    def get_changelist_form(self, request: HttpRequest, **kwargs: Any) -> Any:
        return super().get_changelist_form(request, **{"form": SnapshotForm, **kwargs})

    def get_changelist_formset(self, request: HttpRequest, **kwargs: Any) -> Any:
        return super().get_changelist_formset(request, **{"formset": SnapshotFormSet, **kwargs})

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show the list, or save the values that were edited in it, in one transaction."""
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
        """Show a version, or restore it, in one transaction."""
        return super().history_form_view(request, *args, **kwargs)  # type: ignore[no-any-return]


def _show_notices(request: HttpRequest, notices: Iterable[str]) -> None:
    """Show the notices as a list in one message; of many, the first ones and the number of the others."""
    lines = list(notices)
    if not lines:
        return
    rest = len(lines) - NOTICES_LIMIT
    if rest > 0:
        text = ngettext("and %(count)d more value", "and %(count)d more values", rest)
        lines[NOTICES_LIMIT:] = [text % {"count": rest}]
    heading = _("Somebody else made changes while you edited. They were kept:")
    items = format_html_join("", "<li>{}</li>", ((line,) for line in lines))
    messages.warning(request, format_html("{}<ul>{}</ul>", heading, items))
