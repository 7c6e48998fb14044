"""``python -m tests.gates.lock``: whether requirements.txt and requirements-dev.txt are what ``make lock`` would write.

Nothing is asked of a package registry: the direct requirements are compared, and each locked package needs a hash.
"""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = re.compile(r"^(?P<requirement>[\w.\[\],-]+==\S+).*\n(?P<rest>(?:[ #].*\n)*)", re.MULTILINE)
PLACE = re.compile(r"^\s*-(?!-hash=).*|.*(?:://|\bfile:| @ ).*", re.MULTILINE)
DIRECT = "larder (pyproject.toml)"


@dataclass(frozen=True)
class Lock:
    """The packages of a lock file by name: all of them, and those that pyproject.toml names."""

    packages: dict[str, Requirement]
    direct: frozenset[str]
    complaints: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Lock:
        matches = list(PACKAGE.finditer(text))
        packages: dict[str, Requirement] = {
            canonicalize_name(r.name): r for r in (Requirement(m["requirement"]) for m in matches)
        }
        direct = [name for name, match in zip(packages, matches, strict=True) if DIRECT in match["rest"]]
        bare = [f"{m['requirement']} has no hash" for m in matches if "--hash=sha256:" not in m["rest"]]
        places = [
            f"“{line.strip()}” names a place of this machine or a registry" for line in PLACE.findall(text)
        ]
        return cls(packages, frozenset(direct), (*bare, *places))


def compare(required: list[str], lock: Lock) -> list[str]:
    """Return what is wrong with a lock file of these direct requirements; an empty list if it agrees."""
    complaints = list(lock.complaints)
    wanted = {canonicalize_name(r.name): r for r in map(Requirement, required)}
    for name, requirement in wanted.items():
        locked = lock.packages.get(name)
        if (
            locked is None
            or locked.specifier != requirement.specifier
            or not requirement.extras <= locked.extras
        ):
            complaints.append(f"{requirement} is required, and {locked or 'nothing'} is locked")
    complaints += [
        f"{name} is locked, and not required any more" for name in sorted(lock.direct - wanted.keys())
    ]
    return complaints


def check(root: Path) -> list[str]:
    """Return what is wrong with both lock files below ``root``."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    product = Lock.parse((root / "requirements.txt").read_text())
    everything = Lock.parse((root / "requirements-dev.txt").read_text())
    direct, dev = project["dependencies"], project["optional-dependencies"]["dev"]
    differing = [
        f"requirements-dev.txt: {everything.packages.get(name) or 'nothing'} and not {package}"
        for name, package in product.packages.items()
        if everything.packages.get(name) != package
    ]
    return [
        *(f"requirements.txt: {complaint}" for complaint in compare(direct, product)),
        *(f"requirements-dev.txt: {complaint}" for complaint in compare([*direct, *dev], everything)),
        *differing,
    ]


if __name__ == "__main__":
    if complaints := check(ROOT):
        sys.exit("\n".join([*complaints, "Run: make lock"]))
