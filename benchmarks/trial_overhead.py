"""Seconds per trial that the harness costs, over stock Ray Tune with its own W&B callback.

    python benchmarks/trial_overhead.py

Trials that compute nothing, each with a complete offline W&B run, two at a time on both sides (see no_op_sweeps.py). What is
compared is what a further trial costs: the time from the end of the first trials to the end of the last W&B run, over the
number of further trials. So the start of Ray, of the workers and of W&B, which a sweep pays once, is in neither side; it is
shown as the time until the first trials have ended. Every sweep runs in a fresh process and a fresh directory. About 5 minutes.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated

sys.path[0] = str(Path(__file__).resolve().parents[1])

import typer

from benchmarks.comparison import Figure, alternate, median_ratio, show
from benchmarks.no_op_sweeps import AT_ONCE, auxgraph_times, stock_times

Sweep = Callable[[int, Path], list[float]]


def main(
    trials: Annotated[int, typer.Option(min=1, help="of AuxGraph's sweep")] = 34,
    stock_trials: Annotated[int, typer.Option(min=1, help="of the sweep of stock Tune")] = 8,
    first: Annotated[int, typer.Option(min=0, help="trials that count as the start; 0: from the very start")] = AT_ONCE,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Compare what a further trial costs."""
    if first >= min(trials, stock_trials):
        raise typer.BadParameter(f"--first {first}: expected less than --trials {trials} and --stock-trials {stock_trials}")
    starts: dict[str, list[float]] = {}

    def further_trial(name: str, sweep: Sweep, count: int) -> Callable[[], float]:
        def side() -> float:
            times = _in_fresh_process(sweep, count)
            start = times[first - 1] if first else 0.0
            starts.setdefault(name, []).append(start)
            return (times[-1] - start) / (count - first)

        return side

    seconds = alternate(
        {
            "AuxGraph": further_trial("AuxGraph", auxgraph_times, trials),
            "stock Tune": further_trial("stock Tune", stock_times, stock_trials),
        },
        rounds,
    )

    def figure(name: str, label: str, values: dict[str, list[float]], at_most: float | None = None) -> Figure:
        ratio = median_ratio(values[name], values["stock Tune"]) if any(values["stock Tune"]) else None
        return Figure(f"{name}, {label}", statistics.median(values[name]), "s", ratio, at_most)

    show(
        "trial_overhead",
        f"no-op trials with offline W&B runs, {rounds} rounds",
        [
            figure("AuxGraph", "a further trial", seconds, at_most=0.15),
            figure("stock Tune", "a further trial", seconds),
            figure("AuxGraph", f"until {first} trials have ended", starts),
            figure("stock Tune", f"until {first} trials have ended", starts),
        ],
        trials={"AuxGraph": trials, "stock Tune": stock_trials},
        rounds=seconds,
    )


def _in_fresh_process(sweep: Sweep, trials: int) -> list[float]:
    context = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory(prefix="auxgraph-") as scratch,
        ProcessPoolExecutor(1, mp_context=context, initializer=_mute) as pool,
    ):
        return pool.submit(sweep, trials, Path(scratch)).result()


def _mute() -> None:
    """Leave out what Ray, Tune and W&B print; errors reach the caller as exceptions."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


if __name__ == "__main__":
    typer.run(main)
