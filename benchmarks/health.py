"""Time of two epochs with their measures of health, and of the online probe, over the same epochs without them.

    python benchmarks/health.py
    python benchmarks/health.py --preset small --rounds 3

The loop itself, `train`, for two epochs with their validation, of auxSKD, the pretext task VSPP, finetuning and the student,
one thread, in seconds of this process on the CPU, which other work on the machine changes little. Without: nothing is looked
at. Probe: it is asked once; a training asks it before the first update, after the last, and in between as its module says. The
sides take turns; a ratio is the median over the rounds.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import typer

from benchmarks.comparison import Figure, alternate, median_ratio, show, timed
from benchmarks.training import begin
from trainables.presets import configure
from trainables.runtime import Runtime
from trainables.stages import training as training_module
from trainables.stages.health import Health
from trainables.stages.work import Training, Work

TARGET = 1.02
STAGES: dict[str, dict[str, Any]] = {
    "auxskd": {"recipe": "auxskd_pretext", "auxskd.epochs": 2},
    "pretext": {"recipe": "pretext", "pretext.epochs": 2, "pretext.checkpoints": 1},
    "finetune": {"recipe": "scratch", "finetune.epochs": 2},
    "student": {"recipe": "student", "student.epochs": 2},
}


class Blind(Health):
    """Sees nothing."""

    def looking(self, batch: Any, videos: Any = None, judged: Any = None) -> AbstractContextManager[None]:
        return nullcontext()

    def updated(self, updates: int, loss: Any) -> None:
        pass

    def measures(self, first: bool = False) -> dict[str, float]:
        return {}

    leap = 0.0  # type: ignore[assignment]


def main(
    preset: Annotated[str, typer.Option(help="demo or small")] = "demo",
    stages: Annotated[list[str] | None, typer.Option("--stage", help=f"repeatable; {', '.join(STAGES)}; default: all")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
) -> None:
    """Compare epochs with and without measures of health."""
    chosen = stages or list(STAGES)
    if unknown := sorted(set(chosen) - set(STAGES)):
        raise typer.BadParameter(f"--stage {unknown[0]}: valid stages: {', '.join(STAGES)}")
    with tempfile.TemporaryDirectory(prefix="auxgraph-") as scratch:
        runtime = Runtime(Path(scratch) / "store", Path(scratch) / "cache", device="cpu")
        figures = [figure for stage in chosen for figure in _figures(stage, preset, runtime, rounds)]
    show("health", f"two epochs at preset {preset}, {rounds} rounds", figures)


def _figures(stage: str, preset: str, runtime: Runtime, rounds: int) -> Iterator[Figure]:
    training, work = begin(stage, configure(preset, STAGES[stage]), runtime)
    epoch = replace(training, probe=None)
    sides = {"without": _epoch(epoch, work, Blind), "with": _epoch(epoch, work, Health)}
    if training.probe is not None:
        sides["probe"] = timed(training.probe.accuracy, time.process_time)
    alternate(sides, 1)  # decodes
    seconds = alternate(sides, rounds)
    yield Figure(f"{stage}: without", statistics.median(seconds["without"]), "s")
    for side, values in seconds.items():
        if side != "without":
            ratio = median_ratio(values, seconds["without"])
            yield Figure(f"{stage}: {side}", statistics.median(values), "s", ratio, at_most=TARGET if side == "with" else None)


def _epoch(training: Training, work: Work, health: type[Health]) -> Callable[[], float]:
    def run() -> None:
        if work.workplace is not None:
            work.workplace.discard_state()
        seen, training_module.Health = training_module.Health, health  # type: ignore[misc]
        try:
            training_module.train(training, work)
        finally:
            training_module.Health = seen  # type: ignore[misc]

    return timed(run, time.process_time)


if __name__ == "__main__":
    typer.run(main)
