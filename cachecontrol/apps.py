"""The Django application of the cache."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate, pre_save
from django.utils.translation import gettext_lazy as _


class CacheControlConfig(AppConfig):
    name = "cachecontrol"
    verbose_name = _("Cache")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from cachecontrol import checks
        from cachecontrol.drain import after_commit
        from cachecontrol.frontends import querysets

        checks.register()
        connection_created.connect(after_commit.prepare_connection, dispatch_uid="cachecontrol.listen")
        pre_save.connect(querysets.refuse_full_save, dispatch_uid="cachecontrol.refuse_full_save")
        post_migrate.connect(_synchronise_triggers, dispatch_uid="cachecontrol.synchronise_triggers")


def _synchronise_triggers(*, using: str, verbosity: int, app_config: AppConfig, **_: Any) -> None:
    """Bring the triggers in line with the code, after the migrations of the last application."""
    from django.apps import apps
    from django.db import connections

    from cachecontrol.conf import conf
    from cachecontrol.postgres import triggers

    last = [config for config in apps.get_app_configs() if config.models_module is not None][-1]
    if app_config.label != last.label or using != conf.database or connections[using].vendor != "postgresql":
        return
    for relation in triggers.synchronise(connections[using]):
        if verbosity >= 2:
            print(f"  Captures {relation}")  # as migrate itself reports
