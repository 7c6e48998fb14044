"""Programs of the system that some tests need: those are skipped without them, unless they have to be there."""

from __future__ import annotations

import os
import shutil

import pytest


def program(name: str) -> str:
    """Return the path of a program. Without it skip the test; with LARDER_REQUIRE_PROGRAMS=1 fail it."""
    path = shutil.which(
        name, path=f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin{os.pathsep}/sbin"
    )
    if path is None and os.environ.get("LARDER_REQUIRE_PROGRAMS") == "1":
        pytest.fail(f"LARDER_REQUIRE_PROGRAMS is set and {name} was not found")
    if path is None:
        pytest.skip(f"no {name} on this machine")
    return path
