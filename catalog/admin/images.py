"""A product's images in the admin."""

from __future__ import annotations

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from catalog.models import ProductImage


class ImageForm(forms.ModelForm):  # type: ignore[type-arg]
    """One image. Its position is compared with the others of the form, not with those that they replace."""

    def _get_validation_exclusions(self) -> set[str]:
        return {*super()._get_validation_exclusions(), "position"}  # type: ignore[misc]


class ImageFormSet(forms.BaseInlineFormSet):  # type: ignore[type-arg]
    """All images of a product, which may trade places."""

    def clean(self) -> None:
        super().clean()
        kept = [form for form in self.forms if form.cleaned_data and not form.cleaned_data.get("DELETE")]
        positions = [form.cleaned_data.get("position") for form in kept]
        if len(set(positions)) < len(positions):
            raise ValidationError(_("Each image needs a position of its own."))


class ImageInline(admin.TabularInline):  # type: ignore[type-arg]
    """A product's images, in their order."""

    model = ProductImage
    form = ImageForm
    formset = ImageFormSet
    extra = 0
    fields = ("position", "file", "alt", "seed")
    ordering = ("position",)
