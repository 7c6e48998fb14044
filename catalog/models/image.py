"""Images of products."""

from __future__ import annotations

from django.core.validators import FileExtensionValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from cachecontrol.api import TrackedManager, track
from catalog.fields import NormalCharField

# SVG is left out: it can carry scripts.
EXTENSIONS = ["avif", "gif", "jpg", "jpeg", "png", "webp"]


@track(slices=["product"])
class ProductImage(models.Model):
    """A picture of a product: a file, or without one a drawing that the shop makes from the seed."""

    product = models.ForeignKey(
        "catalog.Product", models.CASCADE, verbose_name=_("product"), related_name="images", db_index=False
    )
    file = models.FileField(
        _("file"), upload_to="products/%Y/%m/", blank=True, validators=[FileExtensionValidator(EXTENSIONS)]
    )
    seed = models.PositiveIntegerField(
        _("seed"), default=0, help_text=_("The number that selects the drawing of a picture without a file.")
    )
    alt = NormalCharField(
        _("alternative text"),
        max_length=300,
        help_text=_("What the picture shows, for people who cannot see it."),
    )
    position = models.PositiveSmallIntegerField(_("position"), default=0)

    objects = TrackedManager()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("image")
        verbose_name_plural = _("images")
        ordering = ["product_id", "position"]
        constraints = [
            # Checked at commit, so that two images can exchange their positions.
            models.UniqueConstraint(
                fields=["product", "position"], name="image_position", deferrable=models.Deferrable.DEFERRED
            ),
            models.CheckConstraint(
                condition=~Q(alt=""),
                name="image_alt",
                violation_error_message=_("Describe what the picture shows."),
            ),
        ]

    def __str__(self) -> str:
        return self.alt
