"""Settings are read lazily and typed; a misspelt name is an error that names it; the docs explain them as the code does."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from cachecontrol.conf import Conf, conf
from cachecontrol.exceptions import Misconfigured


def test_a_setting_is_read_by_its_name_in_capitals(settings: Any) -> None:
    settings.CACHECONTROL = {"MAX_LAG": 1.5}
    assert conf.max_lag == 1.5


def test_without_settings_the_defaults_hold(settings: Any) -> None:
    settings.CACHECONTROL = {}  # unlike ``del``, this sends a signal: now and at the end, the settings are read again
    del settings.CACHECONTROL
    assert (conf.max_lag, conf.alias) == (2.0, "default")


@pytest.mark.parametrize("name", ["MAXLAG", "max_lag"])
def test_an_unknown_setting_is_named(settings: Any, name: str) -> None:
    settings.CACHECONTROL = {name: 1}
    with pytest.raises(Misconfigured, match=name):
        _ = conf.max_lag


def test_the_docs_explain_each_setting_as_the_code_does(settings: Any) -> None:
    page = (Path(settings.BASE_DIR) / "docs" / "settings.md").read_text()
    explained = re.findall(r'^    (\w+): .*\n    """(.+)"""$', inspect.getsource(Conf), re.MULTILINE)
    assert len(explained) == len(Conf.__slots__)
    for name, meaning in explained:
        assert re.search(rf"^\| `{name.upper()}` \| .* \| {re.escape(meaning)} \|$", page, re.MULTILINE), name
