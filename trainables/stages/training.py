"""The training loop that all training stages share.

Its state is saved after every epoch, and in the middle of long ones: a stage that was killed goes on from there and ends in the
same weights to the bit (CPU). So does one that goes on from the last state of a finished one of fewer epochs: but for a cosine
nothing that an epoch computes depends on how many there are. Everything random in an epoch is drawn from (seed, stage, epoch),
and all else that lasts longer than a batch is part of the network's, the optimiser's and the epoch's state.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from trainables.models.folding import in_place_of
from trainables.models.momentum import OncePerStep
from trainables.settings import Optimisation, Pretraining, checkpoint_epoch
from trainables.stages import guard
from trainables.stages.health import Health, Look, looked_at
from trainables.stages.memory import most_held
from trainables.stages.probe import is_asked, value_after
from trainables.stages.saving import Saving
from trainables.stages.work import Means, Outcome, Pace, Training, Work, checkpoint_file, curves
from trainables.video.dataset import Batch

ADAM_BETA2 = 0.999
LEAST_SAMPLES = 2
"""Of a part of a batch, for batch norm."""
COSINE_RANGE = 1000
"""Of a cosine schedule: the first learning rate over the one it goes down to."""


class NonFiniteLoss(ArithmeticError):
    """The loss, another metric or the weights became NaN or infinite; the message says in which stage and epoch."""


@dataclass
class Epoch:
    """How far an epoch is: batches that were trained on, what they gave, and torch's random numbers after them.

    health: measures of its last batch, in a stage without validation.
    """

    batches: int = 0
    means: Means = field(default_factory=Means)
    wrapped: int = 0
    replaced: int = 0
    random: dict[str, Tensor] = field(default_factory=dict)
    health: dict[str, float] = field(default_factory=dict)

    def add(self, batch: Batch, values: Mapping[str, Tensor]) -> None:
        self.batches += 1
        self.means.add(values)
        self.wrapped += int(batch["wrapped"].sum())
        self.replaced += int(batch["replaced"].sum())

    def metrics(self) -> dict[str, float]:
        counts = {"wrapped_clips": float(self.wrapped), "replaced_frames": float(self.replaced)}
        return self.means.result() | counts

    def state(self) -> dict[str, Any]:
        return {**vars(self), "means": vars(self.means)}

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> Epoch:
        return cls(**{**state, "means": Means(**state["means"])})


@dataclass
class Progress:
    """How far a training is: metrics per epoch, with the stage's prefix, the state of the network at its best epoch, the epoch
    that it is in the middle of, and what its probe said after epochs, and before the first one (0)."""

    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Tensor] | None = None
    epoch: Epoch | None = None
    probed: dict[int, float] = field(default_factory=dict)


def train(training: Training, work: Work) -> Outcome:
    """Train to the end, from where an interrupted run of the same stage stopped, or one of fewer epochs ended.

    Raises NonFiniteLoss, Collapsed or LoaderDied.
    """
    with Saving(work.workplace, work.device) as saving:
        return _Loop(training, work, saving).run()


class _Loop:
    def __init__(self, training: Training, work: Work, saving: Saving) -> None:
        self.training, self.work, self.saving = training, work, saving
        self.network, self.optimisation = training.network, training.optimisation
        self.epochs = work.epochs or self.optimisation.epochs
        self.parameters = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        self.optimiser = make_optimiser(self.parameters, self.optimisation, work.fuses)
        self.progress = Progress()
        self.health = Health(self.network, looks=not work.settings.compute.compile)
        self.saves = Pace(work.runtime.save_every)
        self.samples = 0

    def run(self) -> Outcome:
        self._resume()
        training, work, progress = self.training, self.work, self.progress
        if progress.history:
            extended = {"extended_from": self.extended_from} if self.extended_from else {}
            work.report({"stage": work.kind, "before": curves(progress.history), **extended})
        elif progress.epoch is None:
            if work.settings.seeds.varies("rounding"):
                with work.seeded(f"{work.kind}/rounding", source="rounding"):
                    move_by_one_unit(self.parameters)
            if training.probe is not None:
                progress.probed[0] = training.probe.accuracy()
        for epoch in range(len(progress.history), self.epochs):
            begun, samples = time.monotonic(), self.samples
            with work.seeded(f"{work.kind}/epoch", epoch, source="noise"):
                metrics = self._train_epoch(epoch) | {"learning_rate": learning_rate(self.optimisation, epoch)}
            speed = (self.samples - samples) / max(time.monotonic() - begun, 1e-9)
            metrics |= self._validate()
            self._check_finite(metrics, epoch)
            metrics |= self._probed(epoch + 1) | self._health()
            self._check_finite(metrics, epoch)
            if work.settings.compute.guard == "on":
                guard.check(work.kind, epoch + 1, metrics, self.health.start)
            if _is_best(training.keep_best, metrics, work.kind, progress):
                progress.best = {name: value.detach().cpu().clone() for name, value in self.network.state_dict().items()}
            line = {"epoch": epoch + 1} | {f"{work.kind}/{name}": value for name, value in metrics.items()}
            progress.history.append(line)
            progress.epoch = None
            self._keep_checkpoint()
            self._save()
            of_machine = {"samples_per_second": speed, "memory_bytes": float(most_held(work.device))}  # no results
            measured = {f"{work.kind}/{name}": value for name, value in of_machine.items()}
            work.report({"stage": work.kind, "epochs": self.epochs, **line, **measured})
        leap = {f"{work.kind}/health_leap": self.health.leap}
        if progress.best is not None:
            self.network.load_state_dict(progress.best)
        last = {name: value for name, value in progress.history[-1].items() if "/" in name}
        return Outcome(
            last | leap | self._probed_before() | dict(training.metrics),
            tensors={"weights": training.weights()},
            history=progress.history,
        )

    def _train_epoch(self, number: int) -> dict[str, float]:
        self.network.train()
        epoch = self.progress.epoch
        if epoch is None:
            epoch = self.progress.epoch = Epoch()
            # A number is taken as a loader without a generator of its own takes it, so that what is drawn next stays the same.
            torch.empty((), dtype=torch.int64).random_()
        else:
            _set_random_state(epoch.random, self.work.device)
        for batch in self.work.batches(self.training.loader, number, epoch.batches):
            rate = learning_rate(self.optimisation, number, (epoch.batches + 1) / len(self.training.loader))
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            with self._looking(number, epoch, batch):
                loss, metrics = train_step(self.work, self.training.at(epoch.batches), self.optimiser, batch)
            epoch.add(batch, {"loss": loss, **metrics})
            self.health.updated(number * len(self.training.loader) + epoch.batches, loss)
            self.samples += len(batch["wrapped"])
            self.saving.check()
            if self.saves.is_due():
                self._check_finite(epoch.metrics(), number)
                epoch.random = _random_state(self.work.device)
                self._save()
        found = epoch.metrics()
        self._check_finite(found, number)
        return found

    @contextmanager
    def _looking(self, number: int, epoch: Epoch, batch: Batch) -> Iterator[None]:
        """Look at the network while it trains on the stage's first batch, and on an epoch's last where nothing is validated."""
        first = number == 0 and epoch.batches == 0
        last = epoch.batches == len(self.training.loader) - 1 and self.training.validation is None
        with self.health.looking(batch) if first or last else nullcontext():
            yield
        if first or last:
            measures = self.health.measures(first)
            epoch.health = measures if last else {}

    def _health(self) -> dict[str, float]:
        epoch = self.progress.epoch
        return epoch.health if epoch is not None and epoch.health else self.health.measures()

    def _probed(self, epoch: int) -> dict[str, float]:
        """What the probe says after an epoch, or what it said before and stands."""
        probe, probed = self.training.probe, self.progress.probed
        if probe is None:
            return {}
        every = probe.every(len(self.training.loader.dataset))
        if epoch not in probed and is_asked(epoch, self.epochs, every):
            probed[epoch] = probe.accuracy()
        return {"val_knn": value_after(epoch, self.epochs, every, probed)}

    def _probed_before(self) -> dict[str, float]:
        probe, kind = self.training.probe, self.work.kind
        if probe is None:
            return {}
        return {f"{kind}/val_knn_before": self.progress.probed[0], f"{kind}/val_knn_chance": probe.chance}

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        if self.training.validate is None:
            return {}
        self.network.eval()
        trained = self.training.judged or self.network
        judged = self.work.to_validate(trained)
        return self.training.validate(judged, self._validation_batches(in_place_of(trained, judged)))

    def _validation_batches(self, judged: Mapping[nn.Module, nn.Module]) -> Iterator[Batch]:
        """Those at which health looks among them. judged: by module of the network what is used in its place."""
        loader = self.training.validation
        if loader is None:
            return
        shown, videos = looked_at(len(loader)), len(loader.dataset.videos)
        for number, batch in enumerate(self.work.batches(loader)):
            with self.health.looking(batch, videos, judged) if number in shown else nullcontext():
                yield batch

    def _check_finite(self, metrics: Mapping[str, float], epoch: int) -> None:
        where = f"in epoch {epoch + 1}"
        for name, value in metrics.items():
            if not math.isfinite(value):
                what = "the loss" if name == "loss" else name
                raise NonFiniteLoss(f"{self.work.kind}: {what} became {value} {where}")
        if not bool(torch.stack([parameter.isfinite().all() for parameter in self.parameters]).all()):
            raise NonFiniteLoss(f"{self.work.kind}: a weight became NaN or infinite {where}")

    def _resume(self) -> None:
        """Go on from the state that was saved last, if one was; one of before there were states inside an epoch will do."""
        state = self.work.workplace.load_state() if self.work.workplace else None
        if state is None:
            return
        self.network.load_state_dict(state["network"])
        moments = {int(number): value for number, value in state["optimiser"]["state"].items()}
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": moments})
        self.health.start = Look(**state.get("start", {}))
        within = state.get("epoch")
        epoch = None if within is None else Epoch.of_state(within)
        self.progress = Progress(state["history"], state["best"], epoch, state.get("probed", {}))
        if self.extended_from:
            self._see_as_longer()

    @property
    def extended_from(self) -> int:
        """Epochs of the shorter training that this one goes on from."""
        return self.work.workplace.extended_from if self.work.workplace else 0

    def _see_as_longer(self) -> None:
        """Tell the epochs before as they would have been told on the way to the present end."""
        for line in self.progress.history:
            line.update({f"{self.work.kind}/{name}": value for name, value in self._probed(line["epoch"]).items()})
        if self.progress.epoch is None:
            self._keep_checkpoint()

    def _save(self) -> None:
        self.saves.restart()
        progress = self.progress
        moments = {str(number): value for number, value in self.optimiser.state_dict()["state"].items()}
        self.saving.save(
            {
                "network": self.network.state_dict(),
                "optimiser": {"state": moments},
                "history": progress.history,
                "best": progress.best,
                "probed": progress.probed,
                "start": vars(self.health.start),
                "epoch": None if progress.epoch is None else progress.epoch.state(),
            }
        )

    def _keep_checkpoint(self) -> None:
        if self.work.workplace is not None and isinstance(self.optimisation, Pretraining):
            for number in range(1, self.optimisation.checkpoints):
                if checkpoint_epoch(number, self.epochs, self.optimisation.checkpoints) == len(self.progress.history):
                    self.saving.wait()
                    self.work.workplace.keep(checkpoint_file(number), self.training.weights())


def _random_state(device: torch.device) -> dict[str, Tensor]:
    """Of torch's global generators that a stage on the device draws from, by the kind of device."""
    states = {"cpu": torch.get_rng_state()}
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def _set_random_state(states: Mapping[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)


@torch.no_grad()
def move_by_one_unit(parameters: Iterable[Tensor]) -> None:
    """Move every weight to the next number that its type holds, up or down, as torch's global generator says."""
    for parameter in parameters:
        up = (torch.rand(parameter.shape) < 0.5).to(parameter.device)
        towards = torch.where(up, math.inf, -math.inf).to(parameter.dtype)
        parameter.copy_(torch.nextafter(parameter, towards))


def _is_best(name: str | None, metrics: Mapping[str, float], kind: str, progress: Progress) -> bool:
    return name is not None and all(metrics[name] > past[f"{kind}/{name}"] for past in progress.history)


def make_optimiser(parameters: list[nn.Parameter], optimisation: Optimisation, fused: bool = False) -> torch.optim.Optimizer:
    """SGD, or Adam with `momentum` as beta1; weight decay is an L2 penalty in both. fused: its step is one kernel."""
    common: dict[str, Any] = {"lr": optimisation.learning_rate, "weight_decay": optimisation.weight_decay}
    common |= {"fused": True} if fused else {"foreach": True}
    if optimisation.optimiser == "adam":
        return torch.optim.Adam(parameters, betas=(optimisation.momentum, ADAM_BETA2), **common)
    return torch.optim.SGD(parameters, momentum=optimisation.momentum, **common)


def learning_rate(optimisation: Optimisation, epoch: int, along: float = 1.0) -> float:
    """The learning rate in an epoch (0-based), of the update with which this part of it is done; by default of its last one.

    In a warm-up of w epochs it is what the schedule says times (epoch + along) / w; the schedule does not wait for its end.
    """
    warmth = min(1.0, (epoch + along) / optimisation.warmup_epochs) if optimisation.warmup_epochs else 1.0
    return warmth * _scheduled(optimisation, epoch)


def _scheduled(optimisation: Optimisation, epoch: int) -> float:
    if optimisation.schedule == "cosine":
        lowest = optimisation.learning_rate / COSINE_RANGE
        along = (1 + math.cos(math.pi * epoch / optimisation.epochs)) / 2
        return lowest + (optimisation.learning_rate - lowest) * along
    return optimisation.learning_rate * optimisation.decay ** (epoch // optimisation.step_epochs)


def train_step(
    work: Work, training: Training, optimiser: torch.optim.Optimizer, batch: Batch
) -> tuple[Tensor, dict[str, Tensor]]:
    """One update: forward and backward of each part of the batch, weighted by its size, and the optimiser.

    Returns the mean loss of the batch and its metrics, those of samples (B,); `gradient_norm` is that of all parameters, before
    the gradient is shortened to `clip_gradient`.
    """
    if work.settings.compute.cuda_graphs:
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
    optimiser.zero_grad(set_to_none=True)
    losses, found = [], []
    for share, part in _parts(batch, training):
        with work.autocast():
            loss, metrics = training.step(training.clips(part), part)
        (loss * share).backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach() * share)
        found.append((share, metrics))
    norm = _gradient_norm(optimiser)
    if training.optimisation.clip_gradient is not None:
        nn.utils.clip_grads_with_norm_(training.network.parameters(), training.optimisation.clip_gradient, norm)
    optimiser.step()
    return torch.stack(losses).sum(), _joined(found) | {"gradient_norm": norm}


def _gradient_norm(optimiser: torch.optim.Optimizer) -> Tensor:
    """The L2 norm of the gradient; in float64, in which the square of no float32 is infinite."""
    gradients = [one.grad for group in optimiser.param_groups for one in group["params"] if one.grad is not None]
    norm: Tensor = torch.stack([torch.linalg.vector_norm(one, dtype=torch.float64) for one in gradients]).norm()
    return norm


def most_parts(samples: int) -> int:
    """In how many parts a batch may be divided."""
    return max(1, samples // LEAST_SAMPLES)


def _parts(batch: Batch, training: Training) -> Iterator[tuple[float, Batch]]:
    """Parts of the batch, as equal as can be and with two samples at least, and the share of the samples that each has."""
    samples = len(batch["wrapped"])
    count = min(training.parts, most_parts(samples))
    split = {name: values.tensor_split(count) for name, values in batch.items()}
    stateful = [module for module in training.network.modules() if isinstance(module, OncePerStep)]
    for number in range(count):
        for module in stateful:
            module.first, module.last = number == 0, number == count - 1
        part = {name: values[number] for name, values in split.items()}
        yield len(part["wrapped"]) / samples, part


def _joined(found: Sequence[tuple[float, Mapping[str, Tensor]]]) -> dict[str, Tensor]:
    """The metrics of a batch from those of its parts: of samples one after the other, of a whole part its share."""
    return {
        name: torch.cat([metrics[name] for _, metrics in found])
        if value.dim()
        else torch.stack([share * metrics[name] for share, metrics in found]).sum()
        for name, value in found[0][1].items()
    }
