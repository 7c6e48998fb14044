"""``python -m tests.gates.protocol REPORT``: whether tests run through at least LEAST percent of each file of the protocol.

REPORT is coverage's JSON. Lines and branches count, as in coverage's own percentages.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
LEAST = 95.0
PROTOCOL = (
    "cachecontrol/engine.py",
    "cachecontrol/core/**/*.py",
    "cachecontrol/redis/**/*.py",
    "cachecontrol/postgres/**/*.py",
    "cachecontrol/drain/**/*.py",
    "cachecontrol/dependencies/**/*.py",
)
"""What decides whether a stored value is fresh. A pattern may match no file."""


def check(report: dict[str, Any], root: Path) -> list[str]:
    """Return what is wrong: files of the protocol that were not measured, and those below LEAST percent."""
    measured, complaints = report["files"], []
    for name in sorted({file.relative_to(root).as_posix() for glob in PROTOCOL for file in root.glob(glob)}):
        if name not in measured:
            complaints.append(f"{name} was not measured")
        elif (percent := measured[name]["summary"]["percent_covered"]) < LEAST:
            lines = ", ".join(map(str, measured[name]["missing_lines"])) or "branches only"
            complaints.append(f"{name}: {percent:.1f} %, at least {LEAST:g} % are needed; missing: {lines}")
    return complaints


if __name__ == "__main__":
    if complaints := check(json.loads(Path(sys.argv[1]).read_text()), ROOT):
        sys.exit("\n".join(complaints))
