"""What a stage is given, and what it answers: what came out, or what is to be trained. Nothing here runs anything."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from trainables.models.device import Network, on_device
from trainables.models.folding import folded
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, Optimisation, Source, VideoSettings, checkpoint_epoch
from trainables.store import Artifact, Workplace
from trainables.video.ahead import brought, read_ahead
from trainables.video.cache import FrameCache
from trainables.video.dataset import Batch, ClipDataset, ClipLoader, LoaderDied, generator, network_clips
from trainables.video.videos import VideoSet

if TYPE_CHECKING:
    from trainables.stages.probe import Probe

REPORT_SECONDS = 10.0
"""Between two reports of how far a stage is inside an epoch, at least."""
RESTARTS = 3
"""How often in a row loader processes that died are replaced."""

Report = Callable[[dict[str, Any]], None]
"""Takes lines about a stage: {"stage", "epoch", "epochs"} and metrics, prefixed by the stage, when a part of it is done;
between them at times {"stage", "batch", "batches"}, which says that it goes on; and of one that goes on from a saved state
{"stage", "before"}, the values of each metric after the epochs until then, with `extended_from`, the epochs of a shorter
training, where it is of one."""
Step = Callable[[Tensor, Batch], tuple[Tensor, dict[str, Tensor]]]
"""From clips (B, V, 3, K, H, W) and the batch they are from to the mean loss, and metrics over the samples, (B,) each."""


@dataclass(frozen=True)
class Outcome:
    """What a stage leaves. metrics: last values, by name with the stage's prefix. history: a line of metrics per epoch.

    tensors: contents of safetensors files by name. files: further JSON files by name.
    """

    metrics: Mapping[str, float]
    tensors: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    files: Mapping[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Training:
    """What a stage would train; trainables/stages/training.py does it.

    network: everything that has state, teachers and memory banks too. clips: pixels of a batch as the network takes them.
    first_step: as `step`, of the first batch of each epoch, at which more may be measured; None: `step`.
    weights: what the stage hands on, at the end and at the checkpoints between. validate: given `judged` (None: the network) in
    the form in which it is evaluated and the batches of `validation`, metrics after each epoch, named `val_...`; keep_best: the
    one of them by whose first highest value the network is kept.
    metrics: further ones, of the whole. probe: asked about the network before, during and after its training. parts: how many
    parts of a batch go through the network one after the other, before the optimiser's step.
    """

    network: nn.Module
    loader: ClipLoader
    optimisation: Optimisation
    clips: Callable[[Batch], Tensor]
    step: Step
    weights: Callable[[], dict[str, Tensor]]
    validation: ClipLoader | None = None
    validate: Callable[[nn.Module, Iterable[Batch]], dict[str, float]] | None = None
    judged: nn.Module | None = None
    keep_best: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    probe: Probe | None = None
    parts: int = 1
    first_step: Step | None = None

    def at(self, batch: int) -> Training:
        """The training whose `step` is that of a batch of an epoch, from 0."""
        return self if batch or self.first_step is None else replace(self, step=self.first_step)


def curves(history: Iterable[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Metric -> its value after each epoch, from a line of metrics per epoch."""
    found: dict[str, list[float]] = {}
    for line in history:
        for name, value in line.items():
            if "/" in name:
                found.setdefault(name, []).append(value)
    return found


class Pace:
    """Says that it is time at most every so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.restart()

    def restart(self) -> None:
        self.last = time.monotonic()

    def is_due(self) -> bool:
        """Whether it is time; the next time is so many seconds from now then."""
        due = time.monotonic() - self.last >= self.seconds
        if due:
            self.restart()
        return due


def _tell_nobody(line: dict[str, Any]) -> None:
    """Of a stage that nobody watches."""


@dataclass(frozen=True)
class Work:
    """One stage to run.

    settings: those that its key holds, and its inputs' keys; reading others raises UndeclaredSetting. inputs: artifacts, by
    role. checkpoints: by role the checkpoint that is handed on, where it is not the last. epochs: of a training; None: those of
    its schedule. workplace: where unfinished work is
    kept; None: nowhere. pace: of reports on the way.
    """

    kind: str
    settings: ExperimentSettings
    seed: int
    videos: VideoSet
    inputs: Mapping[str, Artifact]
    runtime: Runtime
    checkpoints: Mapping[str, int] = field(default_factory=dict)
    epochs: int | None = None
    workplace: Workplace | None = None
    report: Report = _tell_nobody
    pace: Pace = field(default_factory=lambda: Pace(REPORT_SECONDS), init=False, repr=False)

    @functools.cached_property
    def cache(self) -> FrameCache:
        return self.runtime.open_cache(self.settings.data.cache_format)

    @functools.cached_property
    def device(self) -> torch.device:
        return self.runtime.torch_device()

    @property
    def weights_files(self) -> Mapping[str, Path]:
        """Files with weights that a user gave, by network."""
        return dict(self.runtime.weights)

    def pretrained(self, role: str) -> dict[str, Tensor]:
        """The weights that an upstream stage hands on: those of its chosen checkpoint."""
        return self.inputs[role].tensors(checkpoint_file(self.checkpoints.get(role)))

    def start(self) -> dict[str, Tensor] | None:
        """The weights that the one stage before this hands on; None where there is none."""
        return next((self.pretrained(role) for role in self.inputs), None)

    def reached(self, batch: int, batches: int) -> None:
        """Report how far the stage is in what it does, if that was not done for a while; units are the stage's own."""
        if self.pace.is_due():
            self.report({"stage": self.kind, "batch": batch, "batches": batches})

    def loader(self, clips: ClipDataset, batch_size: int, *, training: bool, views: int | None = None) -> ClipLoader:
        """Batches of the clips, read by as many processes as the trial has for it, and into pinned memory for a GPU."""
        workers, pinned = self.runtime.workers, self.device.type == "cuda"
        return ClipLoader(clips, batch_size, training=training, workers=workers, views=views, pinned=pinned)

    def batches(self, loader: ClipLoader, epoch: int = 0, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch `start` on, on the device, reported on the way.

        Where loader processes died new ones go on with the same batch. Raises LoaderDied if they die, too, time after time.
        """
        number, deaths = start, 0
        while True:
            try:
                read = loader.epoch(epoch, number)
                for batch in brought(read_ahead(read) if self.runtime.reads_ahead else read, self.device):
                    yield batch
                    number, deaths = number + 1, 0
                    self.reached(number, len(loader))
                return
            except LoaderDied as error:
                deaths += 1
                if deaths > RESTARTS:
                    raise LoaderDied(
                        f"{self.kind}: the processes that load clips died {deaths} times in a row at batch {number + 1} of "
                        f"{len(loader)}, last {error}; a system short of memory kills them: fewer --workers need less of it"
                    ) from None

    def seed_of(self, source: Source) -> int:
        """What the random numbers of a source of variance come from: the trial's seed, unless the group `seeds` fixes it."""
        return self.settings.seeds.of(source, self.seed)

    def seeded(self, purpose: str, *numbers: int, source: Source = "weights") -> AbstractContextManager[None]:
        """Torch's global random numbers inside are those of (seed, purpose, numbers); outside they are untouched."""
        return _Seeded(int(generator(self.seed_of(source), purpose, *numbers).integers(2**63)), self.device)

    def autocast(self) -> AbstractContextManager[Any]:
        if self.settings.compute.precision == "bfloat16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    @property
    def fuses(self) -> bool:
        """Whether the optimiser's step is one kernel."""
        return self.settings.compute.fused and self.device.type == "cuda"

    def on_device(self, network: Network) -> Network:
        """The network on the device, as the group `compute` says."""
        return on_device(network, self.device, self.settings.compute)

    def for_evaluation(self, network: Network) -> Network:
        """A copy of the network on the device, as fast as one can be that is never trained."""
        return self.on_device(folded(network))

    def to_validate(self, network: Network) -> Network:
        """A network in training, between two epochs: as `for_evaluation`, or itself where a copy would be compiled anew."""
        return network.eval() if self.settings.compute.compile else self.for_evaluation(network)

    def clips(self, batch: Batch, video: VideoSettings) -> Tensor:
        """The clips of a batch as (B, V, 3, K, H, W) float32 on the device, in the form of `video` and the networks' layout."""
        return network_clips(batch, video, self.device, self.settings.compute.channels_last)


def checkpoint_file(number: int | None) -> str:
    """The name under which weights are kept: of a checkpoint, from 1, or of the end (None)."""
    return "weights" if number is None else f"weights-{number}"


def kept_before(shorter: int, epochs: int, checkpoints: int) -> dict[str, str] | None:
    """Which checkpoints of a shorter training take the place of those that one of so many epochs keeps before the other's end:
    names of files, by their names in the longer one. None where it has no weights of such an epoch."""
    there = {checkpoint_epoch(number, shorter, checkpoints): number for number in range(1, checkpoints)}
    wanted = {number: checkpoint_epoch(number, epochs, checkpoints) for number in range(1, checkpoints)}
    before = {number: epoch for number, epoch in wanted.items() if epoch < shorter}
    if not there.keys() >= set(before.values()):
        return None
    names = {checkpoint_file(number): checkpoint_file(there[epoch]) for number, epoch in before.items()}
    return {f"{name}.safetensors": f"{kept}.safetensors" for name, kept in names.items()}


class _Seeded(AbstractContextManager[None]):
    def __init__(self, seed: int, device: torch.device) -> None:
        self.seed, self.device = seed, device

    def __enter__(self) -> None:
        self.fork = torch.random.fork_rng([self.device] if self.device.type == "cuda" else [])
        self.fork.__enter__()
        torch.manual_seed(self.seed)

    def __exit__(self, *error: object) -> None:
        self.fork.__exit__(*error)  # type: ignore[arg-type]


@dataclass
class Means:
    """Means over samples of named metrics, kept on the device until the end of the epoch."""

    sums: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            total = value.detach().sum(dtype=torch.float64)
            self.sums[name] = self.sums[name].to(total.device) + total if name in self.sums else total
            self.counts[name] = self.counts.get(name, 0) + value.numel()

    def result(self) -> dict[str, float]:
        return {name: float(total) / self.counts[name] for name, total in self.sums.items()}
