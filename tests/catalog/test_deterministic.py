"""The same page of the same catalog is the same text: without that, no entry could be compared with the database."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
import time_machine

from cachecontrol.api import bypass
from tests.catalog import factories

if TYPE_CHECKING:
    from django.test import Client

NOON = dt.datetime(2030, 6, 1, 12, tzinfo=dt.UTC)


@pytest.mark.django_db
@pytest.mark.parametrize("url", ["/", "/c/kitchen/", "/p/{slug}/", "/search/?q=pan", "/search/?q=nothing"])
def test_a_page_computed_twice_is_the_same_text(client: Client, url: str) -> None:
    pan = factories.product(
        "Iron pan", path="Kitchen/Pans", brand_name="Brasa", attributes={"Material": "Iron"}
    )
    factories.product("Steel pan", path="Kitchen/Pans", brand_name="Other", attributes={"Material": "Steel"})
    with bypass():
        texts = set()
        for seconds in (0, 1, 90):
            with time_machine.travel(NOON + dt.timedelta(seconds=seconds), tick=False):
                texts.add(client.get(url.format(slug=pan.slug)).content)
    assert len(texts) == 1
