"""What a stage will cost: as stages like it took on this machine before, or by a short measurement of its network.

Both stand on what a kind of stage declares that it computes: clips through a network, forward only or forward and backward.
"""

from __future__ import annotations

import contextlib
import functools
import platform
import statistics
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harness.ledger import FILE_NAME, LedgerError, Record, read_records
from trainables.models import make_network
from trainables.models.device import on_device, wait_for
from trainables.pipeline import Stage
from trainables.presets import configure
from trainables.recipes import last_stages
from trainables.runtime import Runtime
from trainables.settings import ComputeSettings, ExperimentSettings, groups_alone
from trainables.stages.kind import Cost, Counts, Kind
from trainables.stages.memory import OutOfMemory, memory_of, within_memory
from trainables.video.videos import PARTS, VideoSet

PROBE_CLIPS, FEW_CLIPS = 16, 4
"""Clips that are measured at once: as in a batch, or, of networks that need long for these, few."""
FEW_SECONDS = 0.5
"""For which few clips go forward and backward at most where more are measured."""
ROUNDS, ROUND_SECONDS = 5, 2.0
"""Measurements after the first, of which the best counts; fewer where they take longer than that in all."""
PROBE_CLASSES = 10
OVERHEAD, CLIP_SECONDS = 1.1, 1e-3
"""What is expected beside the bare network: a share of its seconds (checkpoints, start-up), and seconds of each clip, which is
read, augmented and put into a batch. On one core, 49 k values a clip: of preset demo, 33.2 s were taken, 33.3 are expected; of
graph distillation's fifteen stages, whose networks are small, 16.2 and 16.2."""
BACKWARD = 2.0
"""What going backward costs over going forward, by which clips of both are added up."""
MOST_RECORDS = 100
"""Of how many trials, the latest ones, it is looked up what their stages took."""


@dataclass(frozen=True)
class Expected:
    """Seconds that a stage will take. networks: of that its networks alone. measured: whether stages like it took as long."""

    seconds: float
    networks: float
    measured: bool

    def of_the_rest(self, share: float) -> Expected:
        """Of a stage of which this share is left to do."""
        return Expected(share * self.seconds, share * self.networks, self.measured)


class Measured:
    """What stages took on this machine, by kind and network, in seconds for the work that they did."""

    def __init__(self, records: Iterable[Record], device: str) -> None:
        here = [
            record
            for record in records
            if record.versions.get("device") == device and record.versions.get("node") == platform.node()
        ]
        rates: dict[Any, list[float]] = {}
        for record in sorted(here, key=lambda record: record.ended or "")[-MOST_RECORDS:]:
            for like, rate in _rates(record):
                rates.setdefault(like, []).append(rate)
        self._rates = {like: statistics.median(values) for like, values in rates.items()}

    def seconds(self, kind: Kind, settings: ExperimentSettings, videos: Counts) -> float | None:
        """None where no such stage is on record."""
        cost = kind.cost(settings, videos)
        rate = self._rates.get(_like(kind, cost, settings))
        return None if rate is None else rate * _work(cost)


def measured_below(runs_dir: Path, device: str) -> Measured:
    """By all ledgers below a directory; those that cannot be read are left out."""
    records: list[Record] = []
    for path in runs_dir.glob(f"*/{FILE_NAME}"):
        try:
            records += read_records(path)
        except (LedgerError, OSError):
            continue
    return Measured(records, device)


def _rates(record: Record) -> Iterator[tuple[Any, float]]:
    """Of the stages that a trial ran to their end itself. Nothing where its settings are another version's, or name code from
    elsewhere that is gone or fails."""
    with contextlib.suppress(Exception):
        settings = configure(record.preset, record.settings)
        if record.rungs:  # what it took is of several trainings, or of a shorter one
            return
        kinds = _kinds(settings)
        for name, spent in record.seconds.items():
            if name in kinds and spent.used > 0:
                kind, role = kinds[name]
                videos = record.data.get(role, {})
                cost = kind.cost(settings, Counts(*(videos.get(part, 0) for part in PARTS)))
                if work := _work(cost):
                    yield _like(kind, cost, settings), (spent.used + spent.saved) / work


def _kinds(settings: ExperimentSettings) -> dict[str, tuple[Kind, str]]:
    """By name the kinds of an experiment's stages, and the roles of their data."""
    found: dict[str, tuple[Kind, str]] = {}

    def build(kind: Kind, role: str, **inputs: None) -> None:
        _, several, dataset = role.partition("/")
        found[f"{kind.name}{several}{dataset}"] = kind, role

    last_stages(settings, build)
    return found


def _like(kind: Kind, cost: Cost, settings: ExperimentSettings) -> Any:
    """Equal for stages whose work costs the same."""
    return kind.name, groups_alone(settings, "video", "frames", cost.network) if cost.network else None


def _work(cost: Cost) -> float:
    """In clips that go forward; of a stage without a network in seconds."""
    return cost.forward + (1 + BACKWARD) * cost.trained if cost.network else cost.seconds


class Estimate:
    """What stages will take on a runtime's device: as stages like them took, or by a measurement, if there may be one."""

    def __init__(self, runs_dir: Path, runtime: Runtime, measure: bool = True) -> None:
        self.measured = measured_below(runs_dir, runtime.device_name())
        self.device = runtime.torch_device()
        self.measure = measure

    def of(self, stage: Stage, settings: ExperimentSettings, videos: VideoSet) -> Expected | None:
        """None where it is not known. Raises OutOfMemory."""
        counts = Counts.of(videos)
        seconds = self.measured.seconds(stage.declared, settings, counts)
        if seconds is not None:
            return Expected(seconds, seconds, True)
        cost = stage.declared.cost(settings, counts)
        networks, clips = cost.seconds, 0.0
        if cost.network:
            if not self.measure:
                return None
            forward, both = clip_seconds(cost.network, settings, self.device)
            networks += cost.forward * forward + cost.trained * both
            clips = cost.forward + cost.trained
        return Expected(OVERHEAD * networks + CLIP_SECONDS * clips, networks, False)


def clip_seconds(network: str, settings: ExperimentSettings, device: torch.device) -> tuple[float, float]:
    """Seconds of one clip: (forward, forward and backward), the best of some measurements.

    network: BACKBONE, or an encoder's name. Settings that it does not depend on cause no new measurement. Raises OutOfMemory.
    """
    plain = groups_alone(settings, "video", "frames", network)
    return within_memory(
        lambda: _clip_seconds(network, plain, device),
        lambda: OutOfMemory(
            f"{network}: {FEW_CLIPS} clips of it, by which its cost is measured, are too much for {memory_of(device)}"
        ),
    )


@functools.lru_cache(maxsize=32)
def _clip_seconds(network: str, settings: ExperimentSettings, device: torch.device) -> tuple[float, float]:
    module = make_network(network, settings, PROBE_CLASSES)
    on_device(module, device, ComputeSettings())
    frames, side = settings.video.clip_frames, settings.video.crop
    clock = time.process_time if device.type == "cpu" else time.perf_counter  # a CPU may be at others' work, too

    def timed(count: int) -> tuple[float, float]:
        clips = torch.zeros(count, 3, frames, side, side, device=device)
        wait_for(device)
        started = clock()
        loss = module(clips).sum()
        wait_for(device)
        forward = clock() - started
        loss.backward()
        wait_for(device)
        return forward / count, (clock() - started) / count

    timed(FEW_CLIPS)  # the first time costs more
    rounds = [timed(FEW_CLIPS)]
    count = PROBE_CLIPS if FEW_CLIPS * rounds[0][1] <= FEW_SECONDS else FEW_CLIPS
    begun = time.perf_counter()
    while len(rounds) <= ROUNDS and time.perf_counter() - begun < ROUND_SECONDS:
        rounds.append(timed(count))
    return min(forward for forward, _ in rounds), min(both for _, both in rounds)
