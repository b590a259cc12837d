"""Runs modules of the fault suite, all without names; prints the seed first, then progress, last a table of figures.

python -m benchmarks.faults fuzz --rounds 100 --seed 3

The same seed gives the same moments, victims and damages, as far as the machine's timing lets it. Exit code 1 when a figure is
not what is asked.
"""

from __future__ import annotations

import importlib
import random
import signal
import sys
from typing import Annotated

import typer

from benchmarks.faults.figure import Figure, NotHere, as_table, command

NAMES = (
    "power_cuts", "kills", "nodes", "disturbances", "appends", "damage", "identity", "io_errors", "fuzz", "waits",
    "two_drivers", "memory_of_videos",
)  # fmt: skip
"""In the order of the table."""
ENDED = 128 + signal.SIGTERM


def main(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME...]", help=f"which modules: {', '.join(NAMES)}")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Instead of as many as the page's figures are of.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything that is random.")] = None,
) -> None:
    """Run them one after the other."""
    if unknown := set(names or ()) - set(NAMES):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: there are {', '.join(NAMES)}")
    seed = random.SystemRandom().randrange(10_000) if seed is None else seed
    print(f"seed {seed}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ENDED))  # so that what was mounted and started is taken back
    figures: list[Figure] = []
    for name in names or NAMES:
        module = importlib.import_module(f"benchmarks.faults.{name}")
        wanted = module.ROUNDS if rounds is None else rounds
        print(f"\n{name}: {(module.__doc__ or name).splitlines()[0]}", flush=True)
        try:
            figures += module.run(wanted, seed)
        except NotHere as reason:
            figures.append(Figure(name, str(reason), "", None, command(name, wanted, seed)))
    print(f"\n{as_table(figures)}")
    sys.exit(1 if any(one.met is False for one in figures) else 0)


if __name__ == "__main__":
    typer.run(main)
