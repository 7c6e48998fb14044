"""``manage.py warm``: fill the hottest pages now, with a progress bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from cachecontrol.core.policy import find_policy
from cachecontrol.frontends import recipes
from cachecontrol.jobs import warm
from cachecontrol.management.progress import progress_bar
from cachecontrol.management.store_errors import reporting_store_errors
from cachecontrol.reasons import PolicyKind

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from cachecontrol.core.policy import Policy


class Command(BaseCommand):
    help = "Fill the pages that visitors ask for most, of some policies or of all."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("policy", nargs="*", help="names of policies, such as shop.product_page")
        parser.add_argument("--all", action="store_true", help="all policies that are to be kept warm")
        parser.add_argument("--pages", type=int, default=1000, help="pages at most (default: 1000)")
        parser.add_argument("--seconds", type=float, default=600.0, help="seconds at most (default: 600)")

    def handle(self, *args: Any, **options: Any) -> None:
        recipes.declare_policies()
        if bool(options["policy"]) == options["all"]:
            raise CommandError(_("Name policies or give --all. Policies: %s") % ", ".join(_names()))
        policies = None if options["all"] else [_policy(name) for name in options["policy"]]
        with progress_bar(_("page")) as progress, reporting_store_errors():
            filled = warm.warm(
                policies, seconds=options["seconds"], limit=options["pages"], progress=progress
            )
        if filled is None:
            raise CommandError(_("The job warm already runs in another process."))
        self.stdout.write(ngettext("%d page filled.", "%d pages filled.", filled) % filled)


def _names() -> list[str]:
    return [policy.name for policy in warm.warmable()]


def _policy(name: str) -> Policy:
    policy = find_policy(name)
    if policy is None or policy.kind != PolicyKind.PAGE:
        raise CommandError(
            _("There is no page policy %(name)s. Policies: %(all)s")
            % {"name": name, "all": ", ".join(_names())}
        )
    return policy
