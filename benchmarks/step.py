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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from unittest import mock

sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn

from benchmarks.comparison import Figure, alternate, median_ratio, show, timed
from trainables.presets import preset
from trainables.runtime import Runtime, open_data
from trainables.settings import ExperimentSettings, Optimisation, with_values
from trainables.stages import finetune
from trainables.stages.work import Work, train_step
from trainables.store import Workplace
from trainables.video.dataset import Batch, ClipLoader, network_clips

FEW_CLIPS = {"data.embedded.train": 4, "data.embedded.validation": 1, "data.embedded.test": 1}


def main(
    presets: Annotated[list[str] | None, typer.Option("--preset", help="repeatable; default: demo and small")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="steps of each side")] = 25,
) -> None:
    """Compare the step of finetuning with the bare network."""
    figures = []
    for name in presets or ["demo", "small"]:
        with tempfile.TemporaryDirectory(prefix="auxgraph-") as scratch:
            seconds = _measure(_finetuning(with_values(preset(name), FEW_CLIPS), Path(scratch)), rounds)
        bounds = {"step": 1.05}
        figures += [
            Figure(f"{name}: {side}", statistics.median(values), "s", median_ratio(values, seconds["bare"]), bounds.get(side))
            for side, values in seconds.items()
        ]
    show("step", f"training steps, one thread, {rounds} rounds", figures, torch=torch.__version__)


@dataclass(frozen=True)
class Finetuning:
    """What the finetuning stage hands to `train`, and one batch of its loader."""

    work: Work
    network: nn.Module
    batch: Batch
    optimisation: Optimisation
    step: Callable[[Batch], tuple[Tensor, dict[str, Tensor]]]


class _Started(Exception):
    """The stage has begun to train."""


def _finetuning(settings: ExperimentSettings, scratch: Path) -> Finetuning:
    """Run the stage up to the point where it would begin to train."""
    runtime = Runtime(store=scratch / "store", cache=scratch / "cache", device="cpu")
    videos = open_data(settings.data, runtime)["downstream"]
    place = Workplace(runtime.open_store(), "finetune", "benchmark")
    cache, device = runtime.open_cache(), runtime.torch_device()
    work = Work("finetune", settings, 0, videos, {}, place, cache, device, runtime.workers, lambda line: None)
    begun: list[Finetuning] = []

    def begin(
        work: Work, network: nn.Module, loader: ClipLoader, optimisation: Optimisation, step: Any, **options: Any
    ) -> None:
        begun.append(Finetuning(work, network, next(loader.epoch(0)), optimisation, step))
        raise _Started

    with mock.patch.object(finetune, "train", begin):
        try:
            finetune.run(work)
        except _Started:
            pass
    return begun[0]


def _measure(stage: Finetuning, rounds: int) -> Mapping[str, list[float]]:
    network, batch = stage.network.train(), stage.batch
    clips = network_clips(batch, stage.work.settings.video, stage.work.device)
    optimiser = torch.optim.SGD(
        network.parameters(),
        lr=stage.optimisation.learning_rate,
        momentum=stage.optimisation.momentum,
        weight_decay=stage.optimisation.weight_decay,
        foreach=True,
    )
    full_step = functools.partial(train_step, stage.work, optimiser, stage.step, batch)

    def bare() -> None:
        F.cross_entropy(network(clips.flatten(0, 1)), batch["target"]).backward()  # type: ignore[no-untyped-call]

    def bare_from_no_gradients() -> float:
        network.zero_grad(set_to_none=True)
        return timed(bare)()

    def step() -> float:
        with mock.patch.object(finetune, "network_clips", lambda *arguments: clips):
            return timed(full_step)()

    sides = {"bare": bare_from_no_gradients, "step": step, "step from pixels": timed(full_step)}
    alternate(sides, 3)
    return alternate(sides, rounds)


if __name__ == "__main__":
    typer.run(main)
