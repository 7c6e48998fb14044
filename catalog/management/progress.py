"""The progress of long commands: a bar on a terminal, and elsewhere a line every few seconds."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

SECONDS = 5  # between two lines


class ProgressLines(tqdm):  # type: ignore[type-arg]
    """Progress as lines, for files and logs. A command that takes less than `SECONDS` prints none."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"mininterval": SECONDS, "maxinterval": SECONDS} | options)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Print a line, but for the first one, which would say that nothing is done yet."""
        if self.n:
            self.fp.write(f"{msg or self}\n")
            self.fp.flush()

    def close(self) -> None:
        """End without another line: the command prints a summary."""
        self.disable = True
        super().close()


def progress_bar(**options: Any) -> tqdm[Any]:
    """Return the progress of a command, which is written to its standard error.

    Args:
        options: those of `tqdm`, such as `total` and `unit`.

    Source: https://tqdm.github.io/docs/tqdm/
    """
    return tqdm(**options) if sys.stderr.isatty() else ProgressLines(**options)
