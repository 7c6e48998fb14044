"""A writer in a process of its own, which stops at a moment of its write and waits there to be killed.

``python -m tests.shelf.writer SUBJECT MOMENT`` says ``here`` when it stands there. ``writing`` starts one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tests.patience import LONG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.shelf.reads import Subject

HERE = "here"


@contextmanager
def writing(subject: Subject, moment: str) -> Iterator[subprocess.Popen[str]]:
    """A process that writes the subject, on this test's servers, and stands at that moment of it."""
    from tests.shelf.cluster import parameters

    place = {name: quote(str(value), safe="") for name, value in parameters().items()}
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "TEST_DATABASE_URL": "postgresql://{user}@/{dbname}?host={host}".format(**place),
    }
    command = [sys.executable, "-m", "tests.shelf.writer", str(subject), moment]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == HERE
        yield process
    finally:
        process.kill()
        process.communicate(timeout=LONG)


def _stand() -> None:
    print(HERE, flush=True)
    signal.alarm(round(LONG))
    signal.pause()


def _main(subject: str, moment: str) -> None:
    import django

    django.setup()
    from django.db import transaction

    from cachecontrol.drain.runner import DrainRunner
    from cachecontrol.redis import protocol
    from tests.shelf import reads
    from tests.shelf.staging import staged

    moments: dict[str, tuple[Any, str]] = {
        "before its drain": (DrainRunner, "_drain"),
        "before its move": (protocol, "move"),
    }
    owner, name = moments[moment]
    with staged(owner, name, before=_stand), transaction.atomic():
        reads.write(subject)


if __name__ == "__main__":
    _main(*sys.argv[1:])
