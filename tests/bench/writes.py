"""Writes: one row saved and a hundred updated, without the triggers, with them, and with the drain after the commit."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from django.db.models import F

from cachecontrol.drain.catch_up import catch_up
from tests.bench.goods import GOODS
from tests.bench.measure import Measured, compare, medians
from tests.bench.models import Goods, Kept, Plain

if TYPE_CHECKING:
    from collections.abc import Callable

SAVE_BAR, UPDATE_BAR = 1.5, 2.0


def measure(*, rounds: int) -> list[Measured]:
    # What nobody drained is carried before the next act, or it would have to carry the changes of two.
    saves = {
        "save, captured": saver(Kept, "silent"),
        "save": saver(Plain, "default"),
        "save, captured and drained": saver(Kept, "default", first=GOODS),
    }
    updates = {
        "update of 100 rows, captured": _updater(Kept, "silent"),
        "update of 100 rows": _updater(Plain, "default"),
        "update of 100 rows, captured and drained": _updater(Kept, "default"),
    }
    after = {"save, captured": catch_up, "update of 100 rows, captured": catch_up}
    save_bars = {"save, captured and drained": SAVE_BAR}
    update_bars = {"update of 100 rows, captured and drained": UPDATE_BAR}
    return [
        *compare(medians(saves, rounds=rounds, after=after), to="save", bars=save_bars),
        *compare(
            medians(updates, rounds=rounds // 2, after=after), to="update of 100 rows", bars=update_bars
        ),
    ]


def saver(model: type[Goods], alias: str, *, first: int = 0) -> Callable[[], None]:
    """An act that saves one item with another price each time: what is saved unchanged moves nothing."""
    goods = itertools.cycle(model._default_manager.using(alias).order_by("pk")[first : first + GOODS])

    def save() -> None:
        item = next(goods)
        item.price += 1
        item.save(using=alias)

    return save


def _updater(model: type[Goods], alias: str) -> Callable[[], int]:
    rows = model._default_manager.using(alias).filter(pk__lte=100)
    return lambda: rows.update(price=F("price") + 1)
