"""Write the tables of the documentation that the code describes: ``python -m tests.write_tables``."""

from __future__ import annotations

from pathlib import Path

from cachecontrol import reasons
from cachecontrol.redis import key_families

DOCS = Path(__file__).parent.parent / "docs"
TABLES = (
    ("glossary.md", "## Reasons\n\n", reasons.glossary_table),
    ("protocol.md", "## Keys\n\n", key_families.table),
)
"""Page, heading before the table, and the function that returns it."""


def main() -> None:
    for page, heading, table in TABLES:
        path = DOCS / page
        before, _, after = path.read_text().partition(heading)
        rest = after[after.index("\n\n") + 1 :] if "\n\n" in after else ""
        path.write_text(f"{before}{heading}{table()}{rest}")


if __name__ == "__main__":
    main()
