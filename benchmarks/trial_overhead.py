"""Seconds per trial that the harness costs, over stock Ray Tune with its own W&B callback.

    python benchmarks/trial_overhead.py

Trials that compute nothing, each with a complete offline W&B run, two at a time on both sides (see no_op_sweeps.py). What is
compared is what one more trial costs: the time of a sweep of many trials less that of a sweep of few, over the difference in
trials. So the start and the end of Ray, of the workers and of W&B, which a sweep pays once, are in neither side; they are
shown as the time of the sweep of few. Every sweep runs in a fresh process and a fresh directory. About 5 minutes.
"""

from __future__ import annotations

import multiprocessing
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
from benchmarks.no_op_sweeps import AT_ONCE, auxgraph_seconds, stock_seconds

Sweep = Callable[[int, Path], float]


def main(
    trials: Annotated[int, typer.Option(min=1, help="of AuxGraph's longer sweep")] = 26,
    stock_trials: Annotated[int, typer.Option(min=1, help="of the longer sweep of stock Tune")] = 6,
    few: Annotated[int, typer.Option(min=0, help="trials of the shorter sweeps; 0: start and end are not taken off")] = AT_ONCE,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Compare what one more trial costs."""
    if few >= min(trials, stock_trials):
        raise typer.BadParameter(f"--few {few}: expected less than --trials {trials} and --stock-trials {stock_trials}")
    once: dict[str, list[float]] = {"AuxGraph": [], "stock Tune": []}

    def marginal(name: str, sweep: Sweep, many: int) -> Callable[[], float]:
        def side() -> float:
            once[name].append(_in_fresh_process(sweep, few) if few else 0.0)
            return (_in_fresh_process(sweep, many) - once[name][-1]) / (many - few)

        return side

    seconds = alternate(
        {
            "AuxGraph": marginal("AuxGraph", auxgraph_seconds, trials),
            "stock Tune": marginal("stock Tune", stock_seconds, stock_trials),
        },
        rounds,
    )
    ours, stock = seconds["AuxGraph"], seconds["stock Tune"]
    figures = [
        Figure("AuxGraph, one more trial", statistics.median(ours), "s", median_ratio(ours, stock), at_most=0.15),
        Figure("stock Tune, one more trial", statistics.median(stock), "s", 1.0),
    ]
    if few:
        ratio = median_ratio(once["AuxGraph"], once["stock Tune"])
        figures += [
            Figure(f"AuxGraph, sweep of {few}", statistics.median(once["AuxGraph"]), "s", ratio),
            Figure(f"stock Tune, sweep of {few}", statistics.median(once["stock Tune"]), "s", 1.0),
        ]
    show(
        "trial_overhead",
        f"no-op trials with offline W&B runs, {rounds} rounds",
        figures,
        trials={"AuxGraph": [few, trials], "stock Tune": [few, stock_trials]},
        rounds=seconds,
    )


def _in_fresh_process(sweep: Sweep, trials: int) -> float:
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="auxgraph-") as scratch, ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(sweep, trials, Path(scratch)).result()


if __name__ == "__main__":
    typer.run(main)
