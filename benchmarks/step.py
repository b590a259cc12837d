"""Seconds of a training step over the bare forward and backward pass of the same network on the same batch.

    python benchmarks/step.py

The network, the batch and the step are those that the finetuning stage hands to its training loop; on the CPU, one thread:

- bare: logits, cross entropy, gradients;
- step: `train_step`, so also the accuracy, cleared gradients and SGD, on clips that are ready;
- step from pixels: `train_step` as the stage runs it, which also makes the clips out of the loader's uint8 pixels
  (flip, colour jitter per frame, normalisation).

About two minutes.
"""

from __future__ import annotations

import functools
import statistics
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
import torch.nn.functional as F
import typer

from benchmarks.comparison import Figure, alternate, median_ratio, show, timed
from benchmarks.training import begin
from trainables.presets import preset
from trainables.runtime import Runtime
from trainables.settings import with_values
from trainables.stages.training import make_optimiser, train_step
from trainables.stages.work import Training, Work

FINETUNING = {"recipe": "scratch", "data.embedded.train": 4, "data.embedded.validation": 1, "data.embedded.test": 1}


def main(
    presets: Annotated[list[str] | None, typer.Option("--preset", help="repeatable; default: demo and small")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="steps of each side")] = 25,
) -> None:
    """Compare the step of finetuning with the bare network."""
    figures = []
    for name in presets or ["demo", "small"]:
        with tempfile.TemporaryDirectory(prefix="auxgraph-") as scratch:
            runtime = Runtime(store=Path(scratch) / "store", cache=Path(scratch) / "cache", device="cpu")
            seconds = _measure(*begin("finetune", with_values(preset(name), FINETUNING), runtime), rounds)
        bounds = {"step": 1.05}
        figures += [
            Figure(f"{name}: {side}", statistics.median(values), "s", median_ratio(values, seconds["bare"]), bounds.get(side))
            for side, values in seconds.items()
        ]
    show("step", f"training steps, one thread, {rounds} rounds", figures, torch=torch.__version__)


def _measure(training: Training, work: Work, rounds: int) -> Mapping[str, list[float]]:
    network, batch = training.network.train(), next(training.loader.epoch(0))
    clips = training.clips(batch)
    on_ready_clips = replace(training, clips=lambda batch: clips)
    optimiser = make_optimiser(list(network.parameters()), training.optimisation)

    def bare() -> None:
        F.cross_entropy(network(clips.flatten(0, 1)), batch["target"]).backward()  # type: ignore[no-untyped-call]

    def bare_from_no_gradients() -> float:
        network.zero_grad(set_to_none=True)
        return timed(bare)()

    sides = {
        "bare": bare_from_no_gradients,
        "step": timed(functools.partial(train_step, work, on_ready_clips, optimiser, batch)),
        "step from pixels": timed(functools.partial(train_step, work, training, optimiser, batch)),
    }
    alternate(sides, 3)
    return alternate(sides, rounds)


if __name__ == "__main__":
    typer.run(main)
