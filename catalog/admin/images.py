"""Images in the admin, on the page of their product."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from catalog.admin.snapshot_formsets import SnapshotInline, SnapshotInlineFormSet
from catalog.admin.snapshots import SnapshotForm
from catalog.models import ProductImage


class ImageForm(SnapshotForm):
    """The form of one image. The formset checks the positions, since two images can exchange theirs."""

    def _get_validation_exclusions(self) -> set[str]:
        return {*super()._get_validation_exclusions(), "position"}  # type: ignore[misc]


class ImageFormSet(SnapshotInlineFormSet):
    """The forms of a product's images. Checks that no two of them have the same position after a save."""

    def clean(self) -> None:
        super().clean()
        positions = [form.instance.position for form in self.forms if self._will_exist(form)]
        positions += (
            ProductImage.objects.filter(product=self.instance.pk)
            .exclude(pk__in=[form.instance.pk for form in self.initial_forms])
            .values_list("position", flat=True)
        )
        if len(set(positions)) < len(positions):
            raise ValidationError(_("Each image needs a position of its own."))

    def _will_exist(self, form: Any) -> bool:
        """Tell whether the image of the form exists after a save."""
        exists = form.instance.pk is not None or (form.has_changed() and not form.is_row_deleted)
        return exists and not self.is_deleted(form)


class ImageInline(SnapshotInline):
    """The images of a product, in their order."""

    model = ProductImage
    form = ImageForm
    formset = ImageFormSet
    fields = ("position", "file", "alt", "seed")
    ordering = ("position",)
