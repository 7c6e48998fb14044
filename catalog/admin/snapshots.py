"""Forms that save the values that the editor changed, and keep those that somebody else changed.

Note [Why a field has three values]. A form that shows a stored row has a hidden, signed snapshot of the values shown. When the
form is sent, each field has three values: the one shown, the one sent, and the one stored now. If the form changes anything, the
stored row is locked until the end of the transaction.

- Only the value sent differs from the one shown: the editor changed it, and it is saved.
- Only the stored value differs from the one shown: somebody else changed it. It is kept, and a notice tells the editor.
- Both differ from the one shown, and from each other: nothing is saved. The form is shown again, with an error that names both
  values and with a snapshot of the stored one, so that saving again replaces it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.admin.utils import display_for_field
from django.core import signing
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.functional import cached_property
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from simple_history.models import SIMPLE_HISTORY_REVERSE_ATTR_NAME

from catalog.admin.snapshot_values import json_value, normalized_text, shorten_texts

if TYPE_CHECKING:
    from collections.abc import Iterator

EMPTY = "–"


class SnapshotField(forms.CharField):
    """The hidden field with the snapshot. If the form is shown again, it has `renewed` instead of the value sent."""

    widget = forms.HiddenInput
    renewed = ""

    def __init__(self) -> None:
        super().__init__(required=False)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return False

    def bound_data(self, data: Any, initial: Any) -> Any:
        return self.renewed or data


class SnapshotForm(forms.ModelForm):  # type: ignore[type-arg]
    """The form of one row. See Note [Why a field has three values].

    If the form is sent without a snapshot, for example by a script, the values sent are compared with the stored row.

    `shown` has the values of the snapshot by field, empty without one, and `stored` those of the stored row by column, empty
    if the row is new or deleted. Both have values as JSON stores them.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.columns = {
            field.name: field
            for field in self._meta.model._meta.concrete_fields
            if not field.primary_key and not isinstance(field, models.GeneratedField)
        }
        row = self._stored_row()
        self.stored = self._column_values(row) if row else {}
        self.shown: dict[str, Any] = {}
        self.is_damaged = False
        self.current_initial = dict(self.initial)
        for field in self.fields.values():
            field.show_hidden_initial = False  # the snapshot has the initial values
        self.fields["snapshot"] = SnapshotField()
        if self.is_bound:
            self.instance = row or self.instance
            self._compare_with_snapshot()
        else:
            self.initial["snapshot"] = self._sign(self._field_values(self.stored)) if row else ""

    @cached_property
    def foreign_changes(self) -> dict[str, tuple[Any, Any]]:
        """The values shown and stored of each field that somebody else changed since the form was shown."""
        stored = self._field_values(self.stored)
        return {
            name: (shown, stored[name])
            for name, shown in self.shown.items()
            if name in stored and shown != stored[name]
        }

    @property
    def is_row_deleted(self) -> bool:
        """Whether the row that the form showed has been deleted."""
        return bool(self.shown) and not self.stored

    @cached_property
    def changed_data(self) -> list[str]:
        """The fields that the editor changed. The line ends CR LF, which browsers send, are not a change."""
        primary_key = self._meta.model._meta.pk.name
        changed = [name for name in super().changed_data if not self._is_same_text(name)]
        return [name for name in changed if not (self.is_row_deleted and name == primary_key)]

    def full_clean(self) -> None:
        if self.is_bound and self.stored and self.has_changed():
            self._lock_row()
        super().full_clean()
        if self.is_row_deleted and self.has_changed():
            self.errors.clear()
            text = _(
                "This was deleted by somebody else while you edited. Mark it for deletion to save the rest."
            )
            self.add_error(None, text)

    def clean(self) -> dict[str, Any]:
        super().clean()
        if self.is_damaged:
            raise ValidationError(_("The hidden data of this form is damaged. Load the page again."))
        for name in self.changed_data:
            if isinstance(text := self.cleaned_data.get(name), str):
                self.cleaned_data[name] = normalized_text(text)
        for name in self.fields if self.stored else ():
            if name not in self.changed_data:
                self._keep_stored_value(name)
            elif name in self.foreign_changes:
                self._add_conflict(name)
        return self.cleaned_data

    def save(self, commit: bool = True) -> Any:
        super().save(commit=False)
        if commit:
            self.save_changes()
            self.save_m2m()
        return self.instance

    def save_changes(self) -> None:
        """Save the changed columns and those with `auto_now`; of a new row all columns."""
        if not self.stored:
            self.instance.save()
            return
        values = self._column_values(self.instance)
        changed = [name for name, value in values.items() if value != self.stored[name]]
        timestamps = [name for name, column in self.columns.items() if getattr(column, "auto_now", False)]
        if changed:
            self.instance.save(update_fields=[*changed, *timestamps])

    def notices(self) -> Iterator[str]:
        """Yield a message for each field that somebody else changed and the editor did not."""
        if self.is_row_deleted and not self.has_changed():
            yield _("“%(row)s” was deleted") % {"row": self._row_as_shown()}
        for name in self.foreign_changes:
            if name in self.columns and name not in self.changed_data:
                yield self._change_message(name)

    def refuse_deletion(self) -> str:
        """Return an error message if somebody else changed the row, else an empty text. Deleting it again succeeds."""
        changes = [self._change_message(name) for name in self.foreign_changes]
        if not changes:
            return ""
        self._renew_snapshot(*self.foreign_changes)
        text = _(
            "“%(row)s” was changed by somebody else (%(changes)s). Save again to delete it nevertheless."
        )
        return text % {"row": self.instance, "changes": ", ".join(changes)}

    def _stored_row(self) -> models.Model | None:
        """Return the stored row, also if the form's instance is a version from its history; None for a new row."""
        if hasattr(self.instance, SIMPLE_HISTORY_REVERSE_ATTR_NAME):
            rows: models.QuerySet[models.Model] = type(self.instance)._base_manager.all()
            return rows.filter(pk=self.instance.pk).first()
        return None if self.instance._state.adding else self.instance

    def _lock_row(self) -> None:
        """Read the row again and lock it until the end of the transaction."""
        rows = type(self.instance)._base_manager.select_for_update(no_key=True)
        row = rows.filter(pk=self.instance.pk).first()
        self.instance = row or self.instance
        self.stored = self._column_values(row) if row else {}
        vars(self).pop("foreign_changes", None)

    def _column_values(self, row: models.Model) -> dict[str, Any]:
        return {name: json_value(field.value_from_object(row)) for name, field in self.columns.items()}

    def _field_values(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return the values of the form's fields: the given ones for columns, the initial ones for other fields."""
        if not values:
            return {}
        others = self.fields.keys() - self.columns.keys() - {"snapshot", self._meta.model._meta.pk.name}
        column_values = {name: values[name] for name in self.columns if name in self.fields}
        return column_values | {
            name: json_value(self.fields[name].prepare_value(self.current_initial[name]))
            for name in others
            if name in self.current_initial
        }

    def _compare_with_snapshot(self) -> None:
        """Read the snapshot that was sent, and compare the fields with its values instead of those stored now."""
        self.shown = self._sent_snapshot()
        values = self.shown or self._field_values(self.stored)
        self.initial.update({name: self._to_python(name, value) for name, value in values.items()})

    @property
    def _signer(self) -> signing.Signer:
        return signing.Signer(salt=f"catalog.admin.snapshots.{self._meta.model._meta.label_lower}")

    def _sign(self, values: dict[str, Any]) -> str:
        return self._signer.sign_object([self.instance.pk, values], compress=True)

    def _sent_snapshot(self) -> dict[str, Any]:
        """Return the values of the snapshot that was sent. An invalid one, or that of another row, sets `is_damaged`."""
        snapshot = self.data.get(self.add_prefix("snapshot"), "")
        if not snapshot:
            return {}
        try:
            pk, values = self._signer.unsign_object(snapshot)
        except signing.BadSignature:
            pk, values = None, {}
        self.is_damaged = not values or (bool(self.stored) and pk != self.instance.pk)
        return {} if self.is_damaged else dict(values)

    def _to_python(self, name: str, value: Any) -> Any:
        """Convert a value of a snapshot to the type of its field's initial value."""
        field = self.columns.get(name)
        if isinstance(field, models.FileField):
            return field.attr_class(self.instance, field, value)
        return field.to_python(value) if field else value

    def _is_same_text(self, name: str) -> bool:
        initial, data = self.initial.get(name), self[name].data
        if not (isinstance(initial, str) and isinstance(data, str)):
            return False
        return normalized_text(initial) == normalized_text(data)

    def _keep_stored_value(self, name: str) -> None:
        """Set the value of a field to the stored one, which can be more precise than the value that the form shows."""
        if name in self.foreign_changes:
            self.errors.pop(name, None)
            self.cleaned_data[name] = self.current_initial.get(name)
        if name in self.columns and name in self.cleaned_data:
            self.cleaned_data[name] = getattr(self.instance, name)

    def _add_conflict(self, name: str) -> None:
        """Add an error to a field that both changed, unless they entered the same value."""
        shown, stored = self.foreign_changes[name]
        sent = json_value(self.cleaned_data.get(name))
        if name in self.errors or sent == stored:
            return
        message = _(
            "Somebody else changed this from “%(shown)s” to “%(stored)s”; you entered “%(sent)s”. "
            "Save again to replace the stored value with yours."
        )
        texts = self._display_texts(name, shown, stored, sent)
        self.add_error(name, message % dict(zip(("shown", "stored", "sent"), texts, strict=True)))
        self._renew_snapshot(name)

    def _renew_snapshot(self, *names: str) -> None:
        """Replace the values of these fields in the snapshot by the stored ones, since the errors show them."""
        self.shown |= {name: self.foreign_changes[name][1] for name in names}
        self.fields["snapshot"].renewed = self._sign(self.shown)  # type: ignore[attr-defined]

    def _change_message(self, name: str) -> str:
        shown, stored = self._display_texts(name, *self.foreign_changes[name])
        return f"{capfirst(str(self.fields[name].label or name))}: “{shown}” → “{stored}”"

    def _display_texts(self, name: str, *values: Any) -> list[str]:
        """Return values of a snapshot as texts for a message."""
        return shorten_texts([str(self._display_value(name, value) or EMPTY) for value in values])

    def _display_value(self, name: str, value: Any) -> Any:
        field, column = self.fields[name], self.columns.get(name)
        if isinstance(field, forms.ModelChoiceField) and value is not None:
            model: type[models.Model] = field.queryset.model  # type: ignore[union-attr]
            return model._base_manager.filter(pk=value).first() or value
        if isinstance(value, bool):
            return _("Yes") if value else _("No")
        if column is None:
            return dict(getattr(field, "choices", ())).get(value, value)
        return display_for_field(self._to_python(name, value), column, EMPTY, avoid_link=True)

    def _row_as_shown(self) -> models.Model:
        """Return an unsaved row with the values that the form showed."""
        row: models.Model = self._meta.model()
        for name, value in self.shown.items():
            if field := self.columns.get(name):
                setattr(row, field.attname, self._to_python(name, value))
        return row
