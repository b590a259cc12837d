"""The training loop that all training stages share.

Its state is saved after every epoch: a stage that was killed goes on from its last finished epoch and ends in the same weights
to the bit (CPU), because everything random in an epoch is drawn from (seed, stage, epoch).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from trainables.settings import Optimisation, Pretraining
from trainables.stages.work import Means, Outcome, Training, Work, checkpoint_file
from trainables.video.dataset import Batch

ADAM_BETA2 = 0.999
COSINE_RANGE = 1000
"""Of a cosine schedule: the first learning rate over the one it goes down to."""


class NonFiniteLoss(ArithmeticError):
    """The loss, another metric or the weights became NaN or infinite; the message says in which stage and epoch."""


@dataclass
class Progress:
    """How far a training is: metrics per epoch, with the stage's prefix, and the state of the network at its best epoch."""

    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Tensor] | None = None


def train(training: Training, work: Work) -> Outcome:
    """Train to the end, from where an interrupted run of the same stage stopped. Raises NonFiniteLoss."""
    network, optimisation = training.network, training.optimisation
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = make_optimiser(parameters, optimisation)
    progress = _resumed(work, network, optimiser)
    for epoch in range(len(progress.history), optimisation.epochs):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(optimisation, epoch)
        with work.seeded(f"{work.kind}/epoch", epoch):
            metrics = _train_epoch(work, training, optimiser, epoch)
        if training.validate is not None:
            network.eval()
            with torch.no_grad():
                metrics |= training.validate()
        _check_finite(f"{work.kind}: %s in epoch {epoch + 1}", metrics, parameters)
        if _is_best(training.keep_best, metrics, work.kind, progress):
            progress.best = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
        line = {"epoch": epoch + 1} | {f"{work.kind}/{name}": value for name, value in metrics.items()}
        progress.history.append(line)
        _save(work, training, optimiser, progress)
        work.report({"stage": work.kind, "epochs": optimisation.epochs, **line})
    if progress.best is not None:
        network.load_state_dict(progress.best)
    last = {name: value for name, value in progress.history[-1].items() if "/" in name}
    return Outcome(last | dict(training.metrics), tensors={"weights": training.weights()}, history=progress.history)


def _resumed(work: Work, network: nn.Module, optimiser: torch.optim.Optimizer) -> Progress:
    state = work.workplace.load_state() if work.workplace else None
    if state is None:
        return Progress()
    network.load_state_dict(state["network"])
    optimiser.load_state_dict(state["optimiser"])
    return Progress(state["history"], state["best"])


def _save(work: Work, training: Training, optimiser: torch.optim.Optimizer, progress: Progress) -> None:
    if work.workplace is None:
        return
    optimisation, epoch = training.optimisation, len(progress.history)
    if isinstance(optimisation, Pretraining):
        for number in range(1, optimisation.checkpoints):
            if optimisation.checkpoint_epoch(number) == epoch:
                work.workplace.keep(checkpoint_file(number), training.weights())
    work.workplace.save_state(
        {
            "network": training.network.state_dict(),
            "optimiser": optimiser.state_dict(),
            "history": progress.history,
            "best": progress.best,
        }
    )


def _is_best(name: str | None, metrics: Mapping[str, float], kind: str, progress: Progress) -> bool:
    return name is not None and all(metrics[name] > past[f"{kind}/{name}"] for past in progress.history)


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


def _train_epoch(work: Work, training: Training, optimiser: torch.optim.Optimizer, epoch: int) -> dict[str, float]:
    training.network.train()
    means = Means()
    counts = {"wrapped": 0, "replaced": 0}
    for batch in training.loader.epoch(epoch):
        loss, metrics = train_step(work, training, optimiser, batch)
        means.add({"loss": loss, **metrics})
        for name in counts:
            counts[name] += int(batch[name].sum())
    result = means.result()
    if not math.isfinite(result["loss"]):
        raise NonFiniteLoss(f"{work.kind}: the loss became {result['loss']} in epoch {epoch + 1}")
    return result | {f"{name}_{'clips' if name == 'wrapped' else 'frames'}": float(value) for name, value in counts.items()}


def train_step(
    work: Work, training: Training, optimiser: torch.optim.Optimizer, batch: Batch
) -> tuple[Tensor, dict[str, Tensor]]:
    """One update: forward, backward, optimiser."""
    with work.autocast():
        loss, metrics = training.step(training.clips(batch), batch)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return loss.detach(), metrics
