"""Peak memory of a sweep: of the command and of every process that it starts, Ray's and W&B's included.

    python benchmarks/memory.py
    python benchmarks/memory.py -- --space temperatures --trials 3

What follows `--` are arguments of harness/sweep.py; without any, the demo sweep. It runs in a fresh directory, unless
`--runs-dir` is among them. Memory is the proportional set size (PSS): a page that several processes share counts once. It is
read from /proc every 0.2 s, for all descendants; those that outlive their parent stay descendants of this process.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

sys.path[0] = str(Path(__file__).resolve().parents[1])

import typer

from benchmarks.comparison import Figure, show
from benchmarks.processes import adopt_orphans, descendants

ROOT = Path(__file__).resolve().parents[1]
LIMIT_BYTES = 6e9
PERIOD = 0.2
SHOWN = 6


def main(
    arguments: Annotated[list[str] | None, typer.Argument(help="of harness/sweep.py")] = None,
) -> None:
    """Run a sweep and watch its memory; ends with the sweep's exit code."""
    adopt_orphans()
    options = arguments or ["--space", "temperatures"]
    with tempfile.TemporaryDirectory(prefix="auxgraph-") as scratch:
        place = [] if any(option.startswith("--runs-dir") for option in options) else ["--runs-dir", scratch]
        command = [sys.executable, str(ROOT / "harness" / "sweep.py"), *options, *place]
        peak: Counter[str] = Counter()
        samples = 0
        begin = time.monotonic()
        with subprocess.Popen(command) as sweep:
            while sweep.poll() is None:
                now = _bytes_by_program()
                samples += 1
                peak = max(peak, now, key=Counter.total)
                time.sleep(PERIOD)
        seconds = time.monotonic() - begin
    total = peak.total()
    figures = [Figure("peak of all processes", total / 1e9, "GB", total / LIMIT_BYTES, at_most=1.0)]
    figures += [Figure(f"then: {name}", size / 1e9, "GB", size / LIMIT_BYTES) for name, size in peak.most_common(SHOWN)]
    title = f"memory of harness/sweep.py {' '.join(options)}; ratio: to {LIMIT_BYTES / 1e9:g} GB"
    show("memory", title, figures, seconds=round(seconds, 1), samples=samples, exit_code=sweep.returncode)
    raise typer.Exit(sweep.returncode)


def _bytes_by_program() -> Counter[str]:
    """PSS in bytes of all descendants of this process by the name of the program, with how many there are of it."""
    sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for process in descendants():
        try:
            rollup = (process / "smaps_rollup").read_text()
            name = _program((process / "cmdline").read_bytes())
        except OSError:  # it ended meanwhile
            continue
        if pss := [line for line in rollup.splitlines() if line.startswith("Pss:")]:
            sizes[name] += 1024 * int(pss[0].split()[1])
            counts[name] += 1
    return Counter({f"{name} x {counts[name]}": size for name, size in sizes.items()})


def _program(command: bytes) -> str:
    """A short name for a command line: Ray's workers name themselves, Python programs go by their script or module."""
    words = [word.decode(errors="replace") for word in command.split(b"\0") if word]
    if not words:
        return "ended"
    if Path(words[0]).name.startswith("python"):
        words = [word for word in words[1:] if not word.startswith("-")] or words
    return Path(words[0].split()[0]).name


if __name__ == "__main__":
    typer.run(main)
