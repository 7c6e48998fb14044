"""Where every proved process begins: ``python -m cachecontrol.prove.entry ROLE``. Reads what the proof wants of it.

Variables: ``LARDER_PROVE_BREAK`` (a rule to switch off), ``LARDER_PROVE_SHIFT`` (seconds that the wall clock of this process
is wrong by), ``LARDER_PROVE_PAUSE`` (seconds that each drain pauses before its moves).
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from cachecontrol.prove import mutations

if TYPE_CHECKING:
    from cachecontrol.prove.cost import Application


SHIFT, PAUSE = "LARDER_PROVE_SHIFT", "LARDER_PROVE_PAUSE"


def main(role: str, *arguments: str) -> None:
    prepare()
    from django.core.management import call_command

    match role:
        case "migrate" | "drain":
            call_command(role, **({"verbosity": 0} if role == "migrate" else {}))
        case "load":
            from cachecontrol.prove import writers

            writers.load()
        case "writer":
            from cachecontrol.prove import writers

            writers.run(*arguments)
        case "reader":
            from cachecontrol.prove import readers

            readers.run(*arguments)
        case _:
            sys.exit(f"no such role: {role}")


def application() -> Application:
    """The WSGI application of the proof's pages, whose responses tell what the cache cost."""
    prepare()
    from django.core.handlers.wsgi import WSGIHandler

    from cachecontrol.prove import cost

    return cost.told_by(WSGIHandler())


def prepare() -> None:
    """Set Django up and make this process what the proof wants of it."""
    if shift := float(os.environ.get(SHIFT, "0")):
        true_time = time.time
        time.time = lambda: true_time() + shift
    import django

    django.setup(set_prefix=False)
    from cachecontrol.prove import cost

    cost.install()
    if rule := os.environ.get(mutations.VARIABLE):
        mutations.apply(rule)
    if pause := float(os.environ.get(PAUSE, "0")):
        mutations.pause_before_moves(pause)


if __name__ == "__main__":
    main(*sys.argv[1:])
