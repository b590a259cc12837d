"""What a stage is given when it runs, and the training loop that all training stages share.

`train` saves its state after every epoch: a stage that was killed goes on from its last finished epoch and ends in the same
weights to the bit (CPU), because everything random in an epoch is drawn from (seed, stage, epoch).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainables.settings import ExperimentSettings, Optimisation, Pretraining
from trainables.store import Artifact, Workplace
from trainables.video.cache import FrameCache
from trainables.video.dataset import Batch, ClipLoader, generator
from trainables.video.layouts import VideoSet

ADAM_BETA2 = 0.999
COSINE_RANGE = 1000
"""Of a cosine schedule: the first learning rate over the one it goes down to."""

Report = Callable[[dict[str, Any]], None]


class NonFiniteLoss(ArithmeticError):
    """The loss, another metric or the weights became NaN or infinite; the message says in which stage and epoch."""


@dataclass(frozen=True)
class Work:
    """One stage to run: its settings, its inputs by role, its data, where to leave its state and whom to tell.

    weights: files with weights that a user gave, by network.
    """

    kind: str
    settings: ExperimentSettings
    seed: int
    videos: VideoSet
    inputs: Mapping[str, Artifact]
    workplace: Workplace
    cache: FrameCache
    device: torch.device
    workers: int
    report: Report
    weights: Mapping[str, Path] = field(default_factory=dict)

    def pretrained(self, stage: str) -> dict[str, Tensor]:
        """The weights that an upstream pretraining stage hands on: those of its chosen checkpoint."""
        group: Pretraining = getattr(self.settings, stage)
        kept = group.checkpoint is not None and group.checkpoint < group.checkpoints
        return self.inputs[stage].tensors(f"weights-{group.checkpoint}" if kept else "weights")

    def seeded(self, purpose: str, *numbers: int) -> AbstractContextManager[None]:
        """Torch's global random numbers inside are those of (seed, purpose, numbers); outside they are untouched."""
        return _Seeded(int(generator(self.seed, purpose, *numbers).integers(2**63)))

    def autocast(self) -> AbstractContextManager[Any]:
        if self.settings.compute.precision == "bfloat16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()


class _Seeded(AbstractContextManager[None]):
    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __enter__(self) -> None:
        self.fork = torch.random.fork_rng()
        self.fork.__enter__()
        torch.manual_seed(self.seed)

    def __exit__(self, *error: object) -> None:
        self.fork.__exit__(*error)  # type: ignore[arg-type]


class Means:
    """Means over samples of named metrics, kept on the device until the end of the epoch."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            total = value.detach().sum(dtype=torch.float64)
            self.sums[name] = self.sums[name] + total if name in self.sums else total
            self.counts[name] = self.counts.get(name, 0) + value.numel()

    def result(self) -> dict[str, float]:
        return {name: float(total) / self.counts[name] for name, total in self.sums.items()}


@dataclass
class Trained:
    """What `train` leaves: metrics per epoch (with the stage's prefix) and the seconds it took, interruptions included."""

    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    best: dict[str, Tensor] | None = None

    @property
    def last(self) -> dict[str, float]:
        return {name: value for name, value in self.history[-1].items() if "/" in name}


def train(
    work: Work,
    network: nn.Module,
    loader: ClipLoader,
    optimisation: Optimisation,
    step: Callable[[Batch], tuple[Tensor, dict[str, Tensor]]],
    *,
    validate: Callable[[], dict[str, float]] | None = None,
    keep_best: str | None = None,
    weights: Callable[[], dict[str, Tensor]] | None = None,
) -> Trained:
    """Train `network` (everything that has state: teachers and memory banks too) with a learning rate schedule.

    `step` gives the mean loss of a batch and metrics over its samples. `validate` gives metrics after each epoch, named
    `val_...`; with `keep_best` naming one of them, the network's state at its first highest value is kept in `Trained.best`.
    `weights` gives what a pretraining stage hands on: it is kept as `weights-<n>` at all its checkpoints but the last.
    Raises NonFiniteLoss.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = make_optimiser(parameters, optimisation)
    result = Trained()
    if (state := work.workplace.load_state()) is not None:
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        result = Trained(state["history"], state["seconds"], state["best"])
    for epoch in range(len(result.history), optimisation.epochs):
        started = time.monotonic()
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(optimisation, epoch)
        with work.seeded(f"{work.kind}/epoch", epoch):
            metrics = _train_epoch(work, network, loader, optimiser, step, epoch)
        if validate is not None:
            network.eval()
            with torch.no_grad():
                metrics |= validate()
        _check_finite(f"{work.kind}: %s in epoch {epoch + 1}", metrics, parameters)
        line = {"epoch": epoch + 1} | {f"{work.kind}/{name}": value for name, value in metrics.items()}
        if keep_best is not None and all(metrics[keep_best] > past[f"{work.kind}/{keep_best}"] for past in result.history):
            result.best = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
        if weights is not None and isinstance(optimisation, Pretraining):
            for number in range(1, optimisation.checkpoints):
                if optimisation.checkpoint_epoch(number) == epoch + 1:
                    work.workplace.keep(f"weights-{number}", weights())
        result.history.append(line)
        result.seconds += time.monotonic() - started
        work.workplace.save_state(
            {
                "network": network.state_dict(),
                "optimiser": optimiser.state_dict(),
                "history": result.history,
                "seconds": result.seconds,
                "best": result.best,
            }
        )
        work.report({"stage": work.kind, "epochs": optimisation.epochs, **line})
    return result


def make_optimiser(parameters: list[nn.Parameter], optimisation: Optimisation) -> torch.optim.Optimizer:
    """SGD, or Adam with `momentum` as beta1; weight decay is an L2 penalty in both."""
    common: dict[str, Any] = {"lr": optimisation.learning_rate, "weight_decay": optimisation.weight_decay, "foreach": True}
    if optimisation.optimiser == "adam":
        return torch.optim.Adam(parameters, betas=(optimisation.momentum, ADAM_BETA2), **common)
    return torch.optim.SGD(parameters, momentum=optimisation.momentum, **common)


def learning_rate(optimisation: Optimisation, epoch: int) -> float:
    """The learning rate in an epoch (0-based)."""
    if optimisation.schedule == "cosine":
        lowest = optimisation.learning_rate / COSINE_RANGE
        along = (1 + math.cos(math.pi * epoch / optimisation.epochs)) / 2
        return lowest + (optimisation.learning_rate - lowest) * along
    return optimisation.learning_rate * optimisation.decay ** (epoch // optimisation.step_epochs)


def _check_finite(message: str, metrics: Mapping[str, float], parameters: list[nn.Parameter]) -> None:
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise NonFiniteLoss(message % f"{name} became {value}")
    if not all(bool(parameter.isfinite().all()) for parameter in parameters):
        raise NonFiniteLoss(message % "a weight became NaN or infinite")


def _train_epoch(
    work: Work,
    network: nn.Module,
    loader: ClipLoader,
    optimiser: torch.optim.Optimizer,
    step: Callable[[Batch], tuple[Tensor, dict[str, Tensor]]],
    epoch: int,
) -> dict[str, float]:
    network.train()
    means = Means()
    counts = {"wrapped": 0, "replaced": 0}
    for batch in loader.epoch(epoch):
        loss, metrics = train_step(work, optimiser, step, batch)
        means.add({"loss": loss, **metrics})
        for name in counts:
            counts[name] += int(batch[name].sum())
    result = means.result()
    if not math.isfinite(result["loss"]):
        raise NonFiniteLoss(f"{work.kind}: the loss became {result['loss']} in epoch {epoch + 1}")
    return result | {f"{name}_{'clips' if name == 'wrapped' else 'frames'}": float(value) for name, value in counts.items()}


def train_step(
    work: Work,
    optimiser: torch.optim.Optimizer,
    step: Callable[[Batch], tuple[Tensor, dict[str, Tensor]]],
    batch: Batch,
) -> tuple[Tensor, dict[str, Tensor]]:
    """One update: forward, backward, optimiser."""
    with work.autocast():
        loss, metrics = step(batch)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return loss.detach(), metrics
