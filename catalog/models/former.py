"""Former URLs of products and categories, which redirect to the present ones. Triggers write the rows."""

from __future__ import annotations

from django.db import models

from cachecontrol.api import TrackedManager, track


@track(slices=["slug"])
class FormerProductSlug(models.Model):
    """A former slug, and the last product that had it before. Another product may have the slug now."""

    slug = models.CharField(max_length=320, unique=True)
    # sql/former_addresses.sql adds a constraint that deletes the row with its product, whatever program deletes that.
    product = models.ForeignKey(
        "catalog.Product", models.DO_NOTHING, related_name="former_slugs", db_constraint=False
    )

    objects = TrackedManager()

    class Meta:
        base_manager_name = "objects"

    def __str__(self) -> str:
        return self.slug


@track(slices=["url_path"])
class FormerCategoryPath(models.Model):
    """A former URL path of a category. The path changes when the category, or one above it, is renamed or moved."""

    url_path = models.CharField(max_length=700, unique=True)
    category = models.ForeignKey(
        "catalog.Category", models.DO_NOTHING, related_name="former_paths", db_constraint=False
    )

    objects = TrackedManager()

    class Meta:
        base_manager_name = "objects"

    def __str__(self) -> str:
        return self.url_path
