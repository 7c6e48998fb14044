"""Forms that save what an editor changed, and leave alone what somebody else changed meanwhile.

Note [Three values of a field]. The form of a stored row carries a signed snapshot of the values that it showed. When the form
comes back, each field has three values: the one shown, the one sent, and the one stored now, in a row that stays locked until
the transaction ends if anything is to be saved in it.

- Only the value sent differs from the one shown: the editor changed it, and it is saved.
- Only the stored value differs: somebody else changed it. It stays as it is, and a notice says so.
- Both differ, and from each other: nothing is saved. The form comes back with an error that shows both values and with a
  snapshot of the stored one, so that saving again replaces it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import display_for_field
from django.core import signing
from django.core.exceptions import ValidationError
from django.db import models
from django.forms.formsets import DELETION_FIELD_NAME
from django.utils.functional import cached_property
from django.utils.text import Truncator, capfirst
from django.utils.translation import gettext as _
from simple_history.models import SIMPLE_HISTORY_REVERSE_ATTR_NAME

from catalog.numbers import NumberField, NumberTextInput, WholeNumberField

if TYPE_CHECKING:
    from collections.abc import Iterator

NUMBERS: dict[type[models.Field[Any, Any]], dict[str, Any]] = {
    models.DecimalField: {"form_class": NumberField},
    models.IntegerField: {"form_class": WholeNumberField, "widget": NumberTextInput},
}
"""`formfield_overrides` of the admin: form fields that read and show numbers in the notation of the active language."""
LONGEST_SHOWN = 120
CONTEXT_SHOWN = 20
EMPTY = "–"


class SnapshotField(forms.CharField):
    """The hidden field that carries the snapshot. `renewed` replaces what was sent when the form is shown again."""

    widget = forms.HiddenInput
    renewed = ""

    def __init__(self) -> None:
        super().__init__(required=False)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return False

    def bound_data(self, data: Any, initial: Any) -> Any:
        return self.renewed or data


class SnapshotForm(forms.ModelForm):  # type: ignore[type-arg]
    """The form of one row. See Note [Three values of a field].

    A form that was sent without a snapshot, by a script, is compared with the stored row.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        options = self._meta.model._meta
        self.columns = {
            field.name: field
            for field in options.concrete_fields
            if not field.primary_key and not isinstance(field, models.GeneratedField)
        }
        row = self._stored_row()
        self.stored = self._values(row) if row else {}
        self.current = dict(self.initial)
        self.shown: dict[str, Any] = {}
        self.is_damaged = False
        for field in self.fields.values():
            field.show_hidden_initial = False  # the snapshot has the initial values
        self.fields["snapshot"] = SnapshotField()
        if not self.is_bound:
            self.initial["snapshot"] = self._signed(self._shown_of(self.stored)) if row else ""
            return
        self.instance = row or self.instance
        self.shown = self._sent_snapshot()
        known = self.shown or self._shown_of(self.stored)
        self.initial.update({name: self._initial(name, value) for name, value in known.items()})

    @cached_property
    def theirs(self) -> dict[str, tuple[Any, Any]]:
        """The fields that somebody else changed since the form was shown, each with the value shown and the value stored."""
        now = self._shown_of(self.stored)
        return {
            name: (shown, now[name])
            for name, shown in self.shown.items()
            if name in now and shown != now[name]
        }

    @property
    def is_gone(self) -> bool:
        """Whether the row that the form showed has been deleted since."""
        return bool(self.shown) and not self.stored

    @cached_property
    def changed_data(self) -> list[str]:
        """The fields that the editor changed. Other line ends, which browsers send, are no change."""
        changed = [name for name in super().changed_data if not self._is_same_text(name)]
        return [name for name in changed if not (self.is_gone and name == self._meta.model._meta.pk.name)]

    def full_clean(self) -> None:
        if self.is_bound and self.stored and self.has_changed():
            self._lock()
        super().full_clean()
        if self.is_gone and self.has_changed():
            self.errors.clear()
            text = _(
                "This was deleted by somebody else while you edited. Mark it for deletion to save the rest."
            )
            self.add_error(None, text)

    def clean(self) -> dict[str, Any]:
        super().clean()
        if self.is_damaged:
            raise ValidationError(_("What this form showed cannot be read. Load the page again."))
        for name in self.changed_data:
            if isinstance(text := self.cleaned_data.get(name), str):
                self.cleaned_data[name] = _text(text)
        for name in self.fields if self.stored else ():
            if name not in self.changed_data:
                self._keep(name)
            elif name in self.theirs:
                self._contest(name)
        return self.cleaned_data

    def save(self, commit: bool = True) -> Any:
        super().save(commit=False)
        if commit:
            self.write()
            self.save_m2m()
        return self.instance

    def write(self) -> None:
        """Save the changed columns and those with `auto_now`; save a new row whole."""
        if not self.stored:
            self.instance.save()
            return
        changed = [name for name, value in self._values(self.instance).items() if value != self.stored[name]]
        timed = [name for name, column in self.columns.items() if getattr(column, "auto_now", False)]
        if changed:
            self.instance.save(update_fields=[*changed, *timed])

    def notices(self) -> Iterator[str]:
        """Yield a message for each field that somebody else changed and the editor did not."""
        if self.is_gone and not self.has_changed():
            yield _("“%(row)s” was deleted") % {"row": self._shown_row()}
        for name in self.theirs:
            if name in self.columns and name not in self.changed_data:
                yield self._change(name)

    def refuse_deletion(self) -> str:
        """Return an error message if somebody else changed the row, else an empty text. A second attempt to delete succeeds."""
        changes = [self._change(name) for name in self.theirs]
        if not changes:
            return ""
        self._renew(*self.theirs)
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

    def _lock(self) -> None:
        """Read the row again and lock it until the transaction ends."""
        rows = type(self.instance)._base_manager.select_for_update(no_key=True)
        row = rows.filter(pk=self.instance.pk).first()
        self.instance = row or self.instance
        self.stored = self._values(row) if row else {}
        vars(self).pop("theirs", None)

    def _values(self, row: models.Model) -> dict[str, Any]:
        return {name: _plain(field.value_from_object(row)) for name, field in self.columns.items()}

    def _shown_of(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return the values of the form's fields: the given ones for columns, the initial ones for other fields."""
        if not values:
            return {}
        others = self.fields.keys() - self.columns.keys() - {"snapshot"}
        shown = {name: values[name] for name in self.columns if name in self.fields}
        return shown | {
            name: _plain(self.fields[name].prepare_value(self.current[name]))
            for name in others
            if name in self.current and self._meta.model._meta.pk.name != name
        }

    @property
    def _signer(self) -> signing.Signer:
        return signing.Signer(salt=f"catalog.admin.snapshots.{self._meta.model._meta.label_lower}")

    def _signed(self, values: dict[str, Any]) -> str:
        return self._signer.sign_object([self.instance.pk, values], compress=True)

    def _sent_snapshot(self) -> dict[str, Any]:
        sent = self.data.get(self.add_prefix("snapshot"), "")
        if not sent:
            return {}
        try:
            pk, values = self._signer.unsign_object(sent)
        except signing.BadSignature:
            pk, values = None, {}
        self.is_damaged = not values or (bool(self.stored) and pk != self.instance.pk)
        return {} if self.is_damaged else dict(values)

    def _initial(self, name: str, value: Any) -> Any:
        """Convert a value of a snapshot to the type of the initial value of its field."""
        field = self.columns.get(name)
        if isinstance(field, models.FileField):
            return field.attr_class(self.instance, field, value)
        return field.to_python(value) if field else value

    def _is_same_text(self, name: str) -> bool:
        initial, data = self.initial.get(name), self[name].data
        return isinstance(initial, str) and isinstance(data, str) and _text(initial) == _text(data)

    def _keep(self, name: str) -> None:
        """Keep the stored value of a field. It may be more precise than what the form shows."""
        if name in self.theirs:
            self.errors.pop(name, None)
            self.cleaned_data[name] = self.current.get(name)
        if name in self.columns and name in self.cleaned_data:
            self.cleaned_data[name] = getattr(self.instance, name)

    def _contest(self, name: str) -> None:
        """Add an error to a field that both changed, so that the editor decides between the two values."""
        shown, stored = self.theirs[name]
        sent = _plain(self.cleaned_data.get(name))
        if name in self.errors or sent == stored:
            return
        text = _(
            "Somebody else changed this from “%(shown)s” to “%(stored)s”; you entered “%(sent)s”. "
            "Save again to replace the stored value with yours."
        )
        spoken = zip(("shown", "stored", "sent"), self._spoken(name, shown, stored, sent), strict=True)
        self.add_error(name, text % dict(spoken))
        self._renew(name)

    def _renew(self, *names: str) -> None:
        """Put the stored values of these fields into the snapshot, since the form that comes back shows them."""
        self.shown |= {name: self.theirs[name][1] for name in names}
        self.fields["snapshot"].renewed = self._signed(self.shown)  # type: ignore[attr-defined]

    def _change(self, name: str) -> str:
        shown, stored = self._spoken(name, *self.theirs[name])
        return f"{capfirst(str(self.fields[name].label or name))}: “{shown}” → “{stored}”"

    def _spoken(self, name: str, *values: Any) -> list[str]:
        """Return values of a snapshot as texts for people; long texts are cut to the part where they differ."""
        texts = [str(self._spoken_one(name, value) or EMPTY) for value in values]
        if max(map(len, texts)) <= LONGEST_SHOWN:
            return texts
        letters = enumerate(zip(*texts, strict=False))
        same = next((place for place, each in letters if len({*each}) > 1), min(map(len, texts)))
        start = max(0, same - CONTEXT_SHOWN)
        return [("…" if start else "") + Truncator(text[start:]).chars(LONGEST_SHOWN) for text in texts]

    def _spoken_one(self, name: str, value: Any) -> Any:
        field, column = self.fields[name], self.columns.get(name)
        if isinstance(field, forms.ModelChoiceField) and value is not None:
            model: type[models.Model] = field.queryset.model  # type: ignore[union-attr]
            return model._base_manager.filter(pk=value).first() or value
        if isinstance(value, bool):
            return _("Yes") if value else _("No")
        if column is None:
            return dict(getattr(field, "choices", ())).get(value, value)
        return display_for_field(self._initial(name, value), column, EMPTY, avoid_link=True)

    def _shown_row(self) -> models.Model:
        row: models.Model = self._meta.model()
        for name, value in self.shown.items():
            if field := self.columns.get(name):
                setattr(row, field.attname, self._initial(name, value))
        return row


class SnapshotFormSet(forms.BaseModelFormSet):  # type: ignore[type-arg]
    """The forms of several rows. Those that the editor left alone are not locked, validated or saved."""

    def get_queryset(self) -> Any:
        """Return the stored rows; once there are forms, the row of each form, so that rows and forms stay matched."""
        if self.is_bound and "forms" in vars(self):
            return [form.instance for form in self.initial_forms]
        return super().get_queryset()

    def _construct_form(self, i: int, **kwargs: Any) -> Any:
        form = super()._construct_form(i, **kwargs)  # type: ignore[misc]
        if self.is_bound and i < self.initial_form_count():
            form.empty_permitted = True
        return form

    def clean(self) -> None:
        super().clean()
        deleted: list[Any] = [form for form in self.initial_forms if self.is_deleted(form)]
        refusals = [refusal for form in deleted if (refusal := form.refuse_deletion())]
        if refusals:
            raise ValidationError(refusals)

    def notices(self) -> Iterator[str]:
        """Yield a message for each change by somebody else, with the name of the row."""
        for form in self.initial_forms:
            for notice in form.notices():  # type: ignore[attr-defined]
                yield notice if form.is_gone else f"{form.instance}, {notice}"  # type: ignore[attr-defined]

    def is_deleted(self, form: Any) -> bool:
        """Whether the form is marked for deletion."""
        return bool(form.cleaned_data.get(DELETION_FIELD_NAME))


class SnapshotInlineFormSet(SnapshotFormSet, forms.BaseInlineFormSet):  # type: ignore[type-arg]
    """The forms of the rows that belong to the row of another form."""


class SnapshotInline(admin.TabularInline):  # type: ignore[type-arg]
    """An inline whose forms carry snapshots."""

    form = SnapshotForm
    formset = SnapshotInlineFormSet
    formfield_overrides = NUMBERS
    extra = 0


def _text(value: str) -> str:
    """Return a text with LF line ends and without surrounding spaces."""
    return value.replace("\r\n", "\n").strip()


def _plain(value: Any) -> Any:
    """Return a value in the one form in which JSON can hold it, so that equal values compare equal."""
    match value:
        case models.Model():
            return value.pk
        case Decimal():
            return f"{value.normalize():f}"
        case datetime():
            return value.astimezone(UTC).isoformat()
        case str():
            return value.replace("\r\n", "\n")
        case None | bool() | int() | float() | dict() | list():
            return value
        case _:
            return str(value)
