"""Settings: read lazily, typed, and a misspelt name is an error that names it."""

from __future__ import annotations

from typing import Any

import pytest

from cachecontrol.conf import conf
from cachecontrol.exceptions import Misconfigured


def test_a_setting_is_read_by_its_name_in_capitals(settings: Any) -> None:
    settings.CACHECONTROL = {"MAX_LAG": 1.5}
    assert conf.max_lag == 1.5


def test_without_settings_the_defaults_hold(settings: Any) -> None:
    settings.CACHECONTROL = {}  # unlike what follows, this is told: what was read before is forgotten, and again at the end
    del settings.CACHECONTROL
    assert (conf.max_lag, conf.alias) == (2.0, "default")


@pytest.mark.parametrize("name", ["MAXLAG", "max_lag"])
def test_an_unknown_setting_is_named(settings: Any, name: str) -> None:
    settings.CACHECONTROL = {name: 1}
    with pytest.raises(Misconfigured, match=name):
        _ = conf.max_lag
