"""Brands."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from cachecontrol.api import TrackedManager, track
from catalog.fields import NormalCharField
from catalog.validators import SLUG


@track(slices=["slug"])
class Brand(models.Model):
    """A brand of products. See Note [Why products copy the name of their brand]."""

    name = NormalCharField(_("name"), max_length=120)
    slug = models.SlugField(_("slug"), max_length=140, unique=True)

    objects = TrackedManager()
    history = HistoricalRecords()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("brand")
        verbose_name_plural = _("brands")
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                Lower("name"),
                name="brand_name",
                violation_error_message=_("There is a brand of this name already."),
            ),
            models.CheckConstraint(
                condition=~models.Q(name="") & models.Q(slug__regex=SLUG), name="brand_named"
            ),
        ]
        indexes = [models.Index(fields=["name", "id"], name="brand_by_name")]

    def __str__(self) -> str:
        return self.name
