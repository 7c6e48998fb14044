"""How commands report that Redis does not answer or is full."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from cachecontrol.exceptions import StoreDown, StoreFull

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def reporting_store_errors() -> Iterator[None]:
    """Raise CommandError in place of StoreDown: the command ends with one line and exit code 1."""
    try:
        yield
    except StoreFull as error:
        raise CommandError(_("Redis is full: %s") % error) from error
    except StoreDown as error:
        raise CommandError(_("Redis does not answer: %s") % error) from error
