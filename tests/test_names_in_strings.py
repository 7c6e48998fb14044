"""Names in strings count as imports: no text of the cache names a module above it, and none of the catalog the project."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ABOVE = {"cachecontrol": ("catalog", "project"), "catalog": ("project",)}
"""By package: the packages that it must not name."""
SUFFIXES = {".py", ".lua", ".html", ".js", ".css", ".sql", ".txt", ".json", ".toml", ".xml"}


def named(text: str, packages: tuple[str, ...]) -> list[str]:
    """Return the dotted names of modules of these packages in a text."""
    return re.findall(rf"(?<![\w./-])(?:{'|'.join(packages)})\.[a-z_]\w*", text)


def test_a_name_is_found_in_any_text() -> None:
    text = 'SETTINGS = "project.settings"  # not cachecontrol.project.x, but python -m catalog.demo'
    assert named(text, ("catalog", "project")) == ["project.settings", "catalog.demo"]


@pytest.mark.parametrize("package", ABOVE)
def test_no_text_of_a_package_names_a_module_above_it(package: str) -> None:
    files = [path for path in (ROOT / package).rglob("*") if path.suffix in SUFFIXES]
    assert len(files) > 50
    names_by_path = {path.relative_to(ROOT): named(path.read_text(), ABOVE[package]) for path in files}
    assert {path: names for path, names in names_by_path.items() if names} == {}
