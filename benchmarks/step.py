"""Seconds of a training step over the bare forward and backward pass of the same network on the same batch.

    python benchmarks/step.py

The network, the batch and the step are those that the finetuning stage hands to its training loop; on the CPU, one thread, in
seconds of the process:

- bare: logits, cross entropy, gradients; also as a share of what the core does in a large product of matrices, the roof, by the
  operations of its convolutions and matrix products;
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
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
import torch.nn.functional as F
import typer
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.comparison import Figure, alternate, median_ratio, show, timed
from benchmarks.training import begin
from trainables.presets import preset
from trainables.runtime import Runtime
from trainables.settings import with_values
from trainables.stages.training import make_optimiser, train_step
from trainables.stages.work import Training, Work

SIDE = 1536
"""Of the matrices whose product is the roof."""
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
            training, work = begin("finetune", with_values(preset(name), FINETUNING), runtime)
            seconds = _measure(training, work, rounds)
            operations = _operations(training, work)
        roof = [2 * SIDE**3 / product for product in seconds.pop("product")]
        bare = [operations / value for value in seconds["bare"]]
        bounds = {"step": 1.05}
        figures.append(Figure(f"{name}: operations of bare", statistics.median(bare) / 1e9, "G/s", median_ratio(bare, roof)))
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
        return timed(bare, time.process_time)()

    matrix = torch.rand(SIDE, SIDE)
    sides = {
        "bare": bare_from_no_gradients,
        "step": timed(functools.partial(train_step, work, on_ready_clips, optimiser, batch), time.process_time),
        "step from pixels": timed(functools.partial(train_step, work, training, optimiser, batch), time.process_time),
        "product": timed(functools.partial(torch.mm, matrix, matrix), time.process_time),
    }
    alternate(sides, 3)
    return alternate(sides, rounds)


def _operations(training: Training, work: Work) -> int:
    """Floating-point operations of the bare pass: two for each product that is added."""
    batch = next(training.loader.epoch(0))
    logits = functools.partial(training.network.train(), training.clips(batch).flatten(0, 1))
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(logits(), batch["target"]).backward()  # type: ignore[no-untyped-call]
    return int(counter.get_total_flops())


if __name__ == "__main__":
    typer.run(main)
