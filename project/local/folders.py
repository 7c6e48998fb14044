"""The checkout's folder, and the one below it for everything that running it makes."""

from __future__ import annotations

from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent.parent
VAR = BASE_DIR / "var"


def make_folder(folder: Path) -> None:
    """Make the folder, passable whatever the umask: root's PostgreSQL runs as another user."""
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
