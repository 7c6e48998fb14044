"""A product's images in the admin."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from catalog.admin.snapshots import SnapshotForm, SnapshotInline, SnapshotInlineFormSet
from catalog.models import ProductImage


class ImageForm(SnapshotForm):
    """One image. The formset checks its position, since images may trade places."""

    def _get_validation_exclusions(self) -> set[str]:
        return {*super()._get_validation_exclusions(), "position"}  # type: ignore[misc]


class ImageFormSet(SnapshotInlineFormSet):
    """All images of a product, which may trade places."""

    def clean(self) -> None:
        super().clean()
        kept = [form for form in self.forms if self._is_kept(form)]
        positions = [form.instance.position for form in kept]
        positions += (
            ProductImage.objects.filter(product=self.instance.pk)
            .exclude(pk__in=[form.instance.pk for form in self.initial_forms])
            .values_list("position", flat=True)
        )
        if len(set(positions)) < len(positions):
            raise ValidationError(_("Each image needs a position of its own."))

    def _is_kept(self, form: Any) -> bool:
        """Whether the form's image will be there after a save."""
        is_there = form.instance.pk is not None or (form.has_changed() and not form.is_gone)
        return is_there and not self.is_deleted(form)


class ImageInline(SnapshotInline):
    """A product's images, in their order."""

    model = ProductImage
    form = ImageForm
    formset = ImageFormSet
    fields = ("position", "file", "alt", "seed")
    ordering = ("position",)
