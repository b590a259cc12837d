"""Clips per second of the pretraining stages, over the bare forward and backward passes of their networks at the same batch.

    python benchmarks/pretraining_throughput.py
    python benchmarks/pretraining_throughput.py --device cuda --stage vspp --stage auxskd --workers 8 --batches 50

Networks, loaders and steps are those that the stages hand to their training loop. A round is an epoch of `--batches` batches:

- bare: the network with its heads, momentum encoder and bank, the loss and its gradients, on one batch that stays the same;
- stage: the loop itself, `train`: sampling, cached frames, augmentation, loss, SGD, metrics, checks, and the training state
  saved at the end of the epoch. Validation is left out, as it is no training and the bare passes have none;
- input: batches brought to the device and made into what the network takes, and nothing else: the most that a stage can get.

On the CPU with one thread at presets demo and small; about 20 minutes. On a GPU at preset paper (16x112x112), with bfloat16,
channels-last and compile each on and off; this needs neither Ray, Optuna nor W&B. A machine without video decoders reads what
another has prepared: run there, and here, with the same `--cache DIR`, `--preset` and `--set`, there with `--prepare`.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
import typer

from benchmarks.comparison import Figure, alternate, median_ratio, show, timed
from benchmarks.training import begin
from trainables.data import open_data
from trainables.models.device import wait_for
from trainables.models.kernels import kernels
from trainables.presets import configure
from trainables.runtime import Runtime
from trainables.settings import TASKS, TEACHER_TASKS, ExperimentSettings, parse_assignment, with_values
from trainables.stages.training import train
from trainables.stages.work import Training, Work
from trainables.video.dataset import on_device

STAGES = ("auxskd", *(task for task in TASKS if task not in TEACHER_TASKS))
TARGET = 0.85
"""Of the ratio stage / bare on a CPU."""
ONLY_TRAINING = {"data.embedded.validation": 1, "data.embedded.test": 1}
WARM_UP = 1


def main(
    presets: Annotated[
        list[str] | None, typer.Option("--preset", help="repeatable; default: demo and small, on a GPU paper")
    ] = None,
    stages: Annotated[list[str] | None, typer.Option("--stage", help=f"repeatable; {', '.join(STAGES)}; default: all")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    vary_compute: Annotated[
        bool | None,
        typer.Option(help="measure bfloat16, compile and, on a GPU, channels-last each on and off; default: on a GPU"),
    ] = None,
    batches: Annotated[int, typer.Option(min=1, help="of an epoch, which is a round")] = 20,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    workers: Annotated[int, typer.Option(min=0, help="processes that load clips; 0: this one")] = 0,
    set_values: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, any setting; repeatable")] = None,
    cache: Annotated[Path | None, typer.Option(help="keeps clips and decoded frames; default: a temporary directory")] = None,
    prepare: Annotated[bool, typer.Option("--prepare", help="fill --cache and stop")] = False,
) -> None:
    """Compare the pretraining stages with their bare networks."""
    chosen = stages or list(STAGES)
    if unknown := sorted(set(chosen) - set(STAGES)):
        raise typer.BadParameter(f"--stage {unknown[0]}: valid stages: {', '.join(STAGES)}")
    if prepare and cache is None:
        raise typer.BadParameter("--prepare fills a cache: say where with --cache DIR")
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu and not torch.cuda.is_available() and not prepare:
        raise typer.BadParameter("--device cuda: torch sees no GPU here")
    changes = ONLY_TRAINING | dict(map(parse_assignment, set_values or []))
    vary = on_gpu if vary_compute is None else vary_compute
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="auxgraph-") as scratch:
        runtime = Runtime(
            Path(scratch) / "store", (cache or Path(scratch) / "cache").absolute(), device=device, workers=workers
        )
        for preset_name in presets or (["paper"] if on_gpu else ["demo", "small"]):
            settings = configure(preset_name, changes)
            videos = open_data(settings.data, runtime)["pretraining"]
            runtime.open_cache(settings.data.cache_format).fill(videos.train, (settings.video.height, settings.video.width))
            for stage, (name, compute) in itertools.product(() if prepare else chosen, _computes(vary, on_gpu).items()):
                title = " ".join(filter(None, [preset_name, stage, name]))
                figures += _figures(title, with_values(settings, compute), stage, runtime, batches, rounds)
    if not prepare:
        gpu = torch.cuda.get_device_name() if on_gpu else None
        title = f"pretraining, {device}, {rounds} rounds of {batches} batches"
        show("pretraining_throughput", title, figures, torch=torch.__version__, gpu=gpu, workers=workers)


def _computes(vary: bool, on_gpu: bool) -> dict[str, dict[str, Any]]:
    """Settings of arithmetic to measure, by name."""
    if not vary:
        return {"": {}}
    layouts = {"": False, "channels-last": True} if on_gpu else {"": False}
    precisions, compiles = {"float32": "float32", "bfloat16": "bfloat16"}, {"": False, "compiled": True}
    return {
        " ".join(filter(None, names)): {
            "compute.precision": precisions[names[0]],
            "compute.channels_last": layouts[names[1]],
            "compute.compile": compiles[names[2]],
        }
        for names in itertools.product(precisions, layouts, compiles)
    }


def _figures(
    title: str, settings: ExperimentSettings, stage: str, runtime: Runtime, batches: int, rounds: int
) -> Iterator[Figure]:
    torch.compiler.reset()  # else the networks compiled before count against the limit of recompilations
    training, work = begin_epoch(stage, settings, runtime, batches)
    clips, sides = sides_of(training, work)
    with kernels(work.settings.compute, work.device):
        alternate(sides, WARM_UP)
        seconds = alternate(sides, rounds)
    target = TARGET if work.device.type == "cpu" else None
    for side, values in seconds.items():
        ratio = median_ratio(seconds["bare"], values)
        rate = clips / statistics.median(values)
        yield Figure(f"{title}: {side}", rate, "clips/s", ratio, at_least=target if side == "stage" else None)


def begin_epoch(stage: str, settings: ExperimentSettings, runtime: Runtime, batches: int) -> tuple[Training, Work]:
    """What the stage would train, one epoch of so many batches, and what it was given.

    auxSKD's views are those of `pretext.task`.
    """
    if stage == "auxskd":
        name, changes = "auxskd", {"recipe": "auxskd_pretext"}
    else:
        name, changes = "pretext", {"recipe": "pretext", "pretext.task": stage}
    videos = len(open_data(settings.data, runtime)["pretraining"].train)
    samples = batches * getattr(settings, name).batch_size
    per_video = -(-samples // videos)
    once: dict[str, Any] = {"epochs": 1, "checkpoints": 1, "checkpoint": None, "clips_per_video": per_video}
    values = changes | {f"{name}.{field}": value for field, value in once.items()}
    values["data.pretraining_share"] = settings.data.pretraining_share * -(-samples // per_video) / videos
    return begin(name, with_values(settings, values), runtime)


def sides_of(training: Training, work: Work) -> tuple[int, dict[str, Callable[[], float]]]:
    """The clips of an epoch, and what is compared: each side takes as many through, or reads them, and gives its seconds."""
    batch = on_device(next(training.loader.epoch(0)), work.device)
    clips = training.clips(batch)
    batches = len(training.loader)
    without_validation = replace(training, validate=None, keep_best=None, probe=None)

    def bare() -> None:
        training.network.train()
        for _ in range(batches):
            training.network.zero_grad(set_to_none=True)
            with work.autocast():
                loss, _ = training.step(clips, batch)
            loss.backward()  # type: ignore[no-untyped-call]

    def stage() -> None:
        if work.workplace is not None:
            work.workplace.discard_state()
        train(without_validation, work)

    def read() -> None:
        for batch in training.loader.epoch(0):
            training.clips(batch)

    def finished(side: Callable[[], None]) -> Callable[[], float]:
        def run() -> None:
            side()
            wait_for(work.device)

        return timed(run)

    sides = {"bare": finished(bare), "stage": finished(stage), "input": finished(read)}
    return batches * clips.shape[0] * clips.shape[1], sides


if __name__ == "__main__":
    typer.run(main)
