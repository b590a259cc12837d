"""Seconds of training steps and of evaluation with channels last, over the same with contiguous weights and clips.

    python benchmarks/kernels.py
    python benchmarks/kernels.py --preset demo --stage pretext --stage student --rounds 9

Steps are those that a stage hands to its training loop, from the loader's uint8 pixels on, with `compute.channels_last` on and
off; on the CPU, one thread, in seconds of the process, so that other work on the machine counts for little.

- step: of training;
- evaluation: a pass of what was trained, in evaluation mode. With channels last convolutions do the work of batch norms, as in
  the stages that only evaluate; contiguous, it is the network as it was trained.
- pixels: the clips alone.

Two minutes or so; the frames are read once before.
"""

from __future__ import annotations

import functools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
import typer

from benchmarks.comparison import Figure, alternate, median_ratio, show, timed
from benchmarks.training import begin
from trainables.models import Backbone, Encoder
from trainables.models.folding import folded
from trainables.presets import configure
from trainables.runtime import Runtime
from trainables.settings import SettingsError
from trainables.stages.training import make_optimiser, train_step
from trainables.stages.work import Training, Work

RECIPES = {
    "auxskd": "auxskd_pretext",
    "pretext": "pretext",
    "finetune": "scratch",
    "sorting": "fusion",
    "ego_motion": "fusion",
    "prediction": "fusion",
    "student": "student",
}
"""The stages that can be measured, and a recipe in which each stands first."""
FEW_VIDEOS = {"data.embedded.train": 4, "data.embedded.validation": 1, "data.embedded.test": 1}
AT_MOST = {"step": 0.95, "evaluation": 0.8}


def main(
    presets: Annotated[list[str] | None, typer.Option("--preset", help="repeatable; default: demo and small")] = None,
    stages: Annotated[list[str] | None, typer.Option("--stage", help=f"repeatable; {', '.join(RECIPES)}; default: all")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 7,
) -> None:
    """Compare the two memory layouts."""
    unknown = sorted(set(stages or []) - set(RECIPES))
    if unknown:
        raise typer.BadParameter(f"--stage {unknown[0]}: valid stages: {', '.join(RECIPES)}")
    torch.set_num_threads(1)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="auxgraph-") as scratch:
        runtime = Runtime(store=Path(scratch) / "store", cache=Path(scratch) / "cache", device="cpu")
        for preset in presets or ["demo", "small"]:
            for stage in stages or RECIPES:
                figures += _figures(preset, stage, runtime, rounds)
    show("kernels", f"channels last over contiguous, one thread, {rounds} rounds", figures, torch=torch.__version__)


def _figures(preset: str, stage: str, runtime: Runtime, rounds: int) -> list[Figure]:
    asked = {"recipe": RECIPES[stage], **FEW_VIDEOS}
    sides = {}
    try:
        for layout in (False, True):
            settings = configure(preset, {**asked, "compute.channels_last": layout})
            sides[layout] = _sides(*begin(stage, settings, runtime), quick=layout)
    except SettingsError as error:
        raise typer.BadParameter(str(error)) from None
    found = []
    for what in sides[True]:
        both = {name: sides[layout][what] for layout, name in ((False, "contiguous"), (True, "last"))}
        alternate(both, 2)
        seconds = alternate(both, rounds)
        ratio = median_ratio(seconds["last"], seconds["contiguous"])
        value = statistics.median(seconds["last"])
        found.append(Figure(f"{preset}, {stage}: {what}", value, "s", ratio, AT_MOST.get(what)))
    return found


def _sides(training: Training, work: Work, quick: bool) -> dict[str, Callable[[], float]]:
    """quick: evaluate as a stage that only evaluates."""
    network, batch = training.network, next(training.loader.epoch(0))
    inside = next(module for module in network.modules() if isinstance(module, Backbone | Encoder))
    evaluated, clips = (folded(inside) if quick else inside), training.clips(batch).flatten(0, 1)
    optimiser = make_optimiser([value for value in network.parameters() if value.requires_grad], training.optimisation)

    def step() -> None:
        network.train()
        train_step(work, training, optimiser, batch)

    @torch.no_grad()
    def evaluation() -> None:
        evaluated.eval()(clips)

    sides = {"step": step, "evaluation": evaluation, "pixels": functools.partial(training.clips, batch)}
    return {name: timed(side, time.process_time) for name, side in sides.items()}


if __name__ == "__main__":
    typer.run(main)
