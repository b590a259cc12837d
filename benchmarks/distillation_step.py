"""Seconds of a distillation step with the teachers' answers out of the view bank, over one with four live teachers.

    python benchmarks/distillation_step.py
    python benchmarks/distillation_step.py --device cuda

Networks, loss and step (`train_step`: forward, loss, gradients, update) are those that the student's stage hands to its
training loop, with both graphs; every side has the same batch of uint8 pixels, of the bank's first view:

- live: four teachers are asked about the clips (`teachers.outputs: live`);
- bank: what they said of them is looked up (`teachers.outputs: bank`);
- labels: a student without teachers, below which no bank can bring a step.

The teachers have fresh weights, and their bank is made by its own stages. On the CPU, with one thread, presets demo and small,
two minutes; on a GPU preset paper.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated

sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
import typer

from benchmarks.comparison import Figure, alternate, median_ratio, show, timed
from benchmarks.training import begin, given, stages_of, workplace_of
from trainables.data import open_data
from trainables.models import make_encoder
from trainables.models.device import wait_for
from trainables.models.kernels import kernels
from trainables.pipeline import run_stage
from trainables.presets import configure
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, parse_assignment, with_values
from trainables.stages.training import make_optimiser, train_step
from trainables.stages.work import Training, Work
from trainables.tasks import find_task
from trainables.video.dataset import Batch, on_device

SIDES = {"live": {"teachers.outputs": "live"}, "bank": {"teachers.outputs": "bank"}, "labels": {"recipe": "student"}}
"""What sets the student's experiment of each side apart."""
TARGETS = {("small", "bank"): 0.35}
"""Of the ratio to live teachers, by preset and side."""
FEW_VIDEOS = {"data.embedded.validation": 1, "data.embedded.test": 1, "evaluation.clips": 1, "views.views": 1}
WARM_UP = 2
Student = tuple[Training, Work]
"""What the student's stage would train, and what it was given."""


def main(
    presets: Annotated[
        list[str] | None, typer.Option("--preset", help="repeatable; default: demo and small, on a GPU paper")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    rounds: Annotated[int, typer.Option(min=1, help="steps of each side")] = 15,
    set_values: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, any setting; repeatable")] = None,
) -> None:
    """Compare the steps of a student with the bank, with live teachers and without teachers."""
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu and not torch.cuda.is_available():
        raise typer.BadParameter("--device cuda: torch sees no GPU here")
    changes = dict(map(parse_assignment, set_values or []))
    figures: list[Figure] = []
    for preset_name in presets or (["paper"] if on_gpu else ["demo", "small"]):
        settings = configure(preset_name, {**FEW_VIDEOS, **changes, "recipe": "distillation"})
        with tempfile.TemporaryDirectory(prefix="auxgraph-") as scratch:
            runtime = Runtime(Path(scratch) / "store", Path(scratch) / "cache", device=device)
            figures += _figures(preset_name, students(settings, runtime), rounds)
    gpu = torch.cuda.get_device_name() if on_gpu else None
    show("distillation_step", f"distillation steps, {device}, {rounds} rounds", figures, torch=torch.__version__, gpu=gpu)


def students(settings: ExperimentSettings, runtime: Runtime) -> dict[str, Student]:
    """The student as it begins to train: with live teachers, with their bank, from labels alone."""
    settings = with_values(settings, one_batch_of(settings))
    _leave_teachers(settings, runtime)
    return {side: begin("student", with_values(settings, values), runtime) for side, values in SIDES.items()}


def one_batch_of(settings: ExperimentSettings) -> dict[str, int]:
    """As many embedded clips as the student is trained on at once."""
    return {"data.embedded.train": -(-settings.student.batch_size // settings.data.embedded.classes)}


def _leave_teachers(settings: ExperimentSettings, runtime: Runtime) -> None:
    """Put teachers that have learned nothing into the store, in place of finetuned ones, and what they say of the bank."""
    classes = len(open_data(settings.data, runtime)["downstream"].classes)
    stages = stages_of(settings, runtime)
    torch.manual_seed(0)
    for name in settings.teachers.names:
        finetuning, views = stages[f"{name}_classifier"], stages[f"{name}_views"]
        weights = make_encoder(find_task(name).encoder, settings, classes).state_dict()
        workplace_of(finetuning, runtime).publish(settings=finetuning.settings, metrics={}, tensors={"weights": weights})
        run_stage(views, given(views, settings, runtime))


def _figures(preset_name: str, sides: Mapping[str, Student], rounds: int) -> Iterator[Figure]:
    of_bank, work = sides["bank"]
    batch = on_device(next(of_bank.loader.epoch(0)), work.device)
    steps = {side: timed(_step(*student, batch)) for side, student in sides.items()}
    with kernels(work.settings.compute, work.device):
        alternate(steps, WARM_UP)
        seconds = alternate(steps, rounds)
    for side, values in seconds.items():
        ratio, target = median_ratio(values, seconds["live"]), TARGETS.get((preset_name, side))
        yield Figure(f"{preset_name}: {side}, batch {len(batch['index'])}", statistics.median(values), "s", ratio, target)


def _step(training: Training, work: Work, batch: Batch) -> Callable[[], None]:
    network = training.network.train()
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimiser = make_optimiser(weights, training.optimisation, work.fuses)

    def step() -> None:
        train_step(work, training, optimiser, batch)
        wait_for(work.device)

    return step


if __name__ == "__main__":
    typer.run(main)
