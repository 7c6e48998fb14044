"""Formsets and inlines whose forms have snapshots. See Note [Why a field has three values]."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import models
from django.forms.formsets import DELETION_FIELD_NAME

from catalog.admin.snapshots import SnapshotForm
from catalog.numbers import NumberField, NumberTextInput, WholeNumberField

if TYPE_CHECKING:
    from collections.abc import Iterator

NUMBER_FIELDS: dict[type[models.Field[Any, Any]], dict[str, Any]] = {
    models.DecimalField: {"form_class": NumberField},
    models.IntegerField: {"form_class": WholeNumberField, "widget": NumberTextInput},
}
"""`formfield_overrides` of the admin: form fields for numbers in the notation of the active language."""


class SnapshotFormSet(forms.BaseModelFormSet):  # type: ignore[type-arg]
    """The forms of several rows. Rows that the editor did not change are not locked, validated or saved."""

    def get_queryset(self) -> Any:
        """Return the stored rows. Once the forms exist, these are the rows of the forms, so that both stay in one order."""
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
                yield notice if form.is_row_deleted else f"{form.instance}, {notice}"  # type: ignore[attr-defined]

    def is_deleted(self, form: Any) -> bool:
        """Tell whether the form is marked for deletion."""
        return bool(form.cleaned_data.get(DELETION_FIELD_NAME))


class SnapshotInlineFormSet(SnapshotFormSet, forms.BaseInlineFormSet):  # type: ignore[type-arg]
    """The forms of rows that belong to the row of another form."""


class SnapshotInline(admin.TabularInline):  # type: ignore[type-arg]
    """An inline whose forms have snapshots."""

    form = SnapshotForm
    formset = SnapshotInlineFormSet
    formfield_overrides = NUMBER_FIELDS
    extra = 0
