"""The cache that can prove that it is fresh."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CacheControlConfig(AppConfig):
    name = "cachecontrol"
    verbose_name = _("Cache")
    default_auto_field = "django.db.models.BigAutoField"
