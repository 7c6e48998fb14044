"""The entry module of the proven processes: ``python -m cachecontrol.prove.process_main ROLE [ARGUMENTS]``.

It sets Django up, changes the process as its environment says (``environment``), and plays the role. The web server loads
``application`` from here, by way of ``wsgi``.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from cachecontrol.prove import mutations
from cachecontrol.prove.environment import ProcessEnvironment

if TYPE_CHECKING:
    from collections.abc import Callable

    from cachecontrol.prove.cost import Application


def main(role: str, *arguments: str) -> None:
    """Play a role: ``migrate`` and ``load`` end by themselves; ``drain``, ``writer`` and ``reader`` run until they are killed."""
    prepare()
    from django.core.management import call_command

    from cachecontrol.prove.workload import readers, tables, writes

    roles: dict[str, Callable[..., Any]] = {
        "migrate": lambda: call_command("migrate", verbosity=0),
        "load": tables.load,
        "drain": lambda: call_command("drain"),
        "writer": writes.run,
        "reader": readers.run,
    }
    roles[role](*arguments)


def application() -> Application:
    """Return the WSGI application of the proof's pages. A header of each response tells what the cache cost."""
    prepare()
    from django.core.handlers.wsgi import WSGIHandler

    from cachecontrol.api import WSGIFront
    from cachecontrol.prove import cost

    return cost.with_cost_header(WSGIFront(WSGIHandler()))


def prepare() -> None:
    """Set Django up, measure costs, and change this process as its environment says."""
    environment = ProcessEnvironment.read()
    if environment.clock_shift:
        _shift_wall_clock(environment.clock_shift)
    import django

    django.setup(set_prefix=False)
    from cachecontrol.prove import cost

    cost.install()
    if environment.rule:
        mutations.apply(environment.rule)
    if environment.drain_pause:
        mutations.pause_before_moves(environment.drain_pause)


def _shift_wall_clock(seconds: float) -> None:
    true_time = time.time
    time.time = lambda: true_time() + seconds


if __name__ == "__main__":
    main(*sys.argv[1:])
