"""Recipes: which stages make an experiment and what feeds what; and running one, reusing what the store already holds.

A plain Python call, without Ray, Optuna or W&B:

    from pathlib import Path
    from trainables.pipeline import Experiment, run_experiment
    from trainables.runtime import Runtime
    from trainables.settings import preset
    run_experiment(Experiment(preset("demo"), seed=0), Runtime(store=Path("runs/store"), cache=Path("runs/cache")), print)
"""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from trainables.runtime import Runtime, open_data
from trainables.settings import ExperimentSettings, flat
from trainables.stages import KINDS
from trainables.stages.work import Report, Work
from trainables.store import Artifact
from trainables.video.layouts import VideoSet

PROTOCOL = "1"
"""Version of the evaluation protocol: results of different versions are never shown in one table."""


@dataclass(frozen=True)
class Experiment:
    """A fully resolved recipe: settings and seed (its data are found through a Runtime)."""

    settings: ExperimentSettings
    seed: int


@dataclass(frozen=True)
class Stage:
    """A step of an experiment. data: the role of the video set it reads, `pretraining` or `downstream`."""

    kind: str
    data: str
    fingerprint: str
    settings: Mapping[str, Any]
    seed: int
    inputs: Mapping[str, Stage] = field(default_factory=dict)

    @functools.cached_property
    def key(self) -> str:
        """Hash of kind and version, settings, inputs' keys, data fingerprint and seed; of nothing else."""
        return digest(
            {
                "kind": self.kind,
                "version": KINDS[self.kind].version,
                "settings": dict(self.settings),
                "inputs": {role: stage.key for role, stage in self.inputs.items()},
                "data": self.fingerprint,
                "seed": self.seed,
            }
        )

    def upstream(self) -> Iterator[Stage]:
        """The stages this one needs and then itself, in an order in which they can run."""
        for stage in self.inputs.values():
            yield from stage.upstream()
        yield self


@dataclass(frozen=True)
class StageTime:
    """Seconds of a stage: `used` by this run, `saved` by what it found: the artifact, or epochs of an interrupted run."""

    used: float
    saved: float


@dataclass(frozen=True)
class Result:
    """What an experiment gave: keys of its stages, their last metrics by prefixed name, and their times."""

    stages: dict[str, str]
    metrics: dict[str, float]
    seconds: dict[str, StageTime]


def digest(content: Any) -> str:
    """Short hash of plain data."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def resolve(experiment: Experiment, data: Mapping[str, VideoSet]) -> Stage:
    """The last stage of the experiment's recipe; its inputs lead to all others."""
    values = flat(experiment.settings)

    def stage(kind: str, role: str, **inputs: Stage) -> Stage:
        groups = KINDS[kind].groups
        settings = {
            name: value
            for name, value in values.items()
            if any(name == group or name.startswith(group + ".") for group in groups)
        }
        return Stage(kind, role, data[role].fingerprint(*KINDS[kind].parts), settings, experiment.seed, inputs)

    recipe = experiment.settings.recipe
    pretrained: dict[str, Stage] = {}
    if recipe == "auxskd_pretext":
        pretrained["pretrained"] = stage("pretext", "pretraining", auxskd=stage("auxskd", "pretraining"))
    elif recipe == "pretext":
        pretrained["pretrained"] = stage("pretext", "pretraining")
    return stage("evaluate", "downstream", finetuned=stage("finetune", "downstream", **pretrained))


def experiment_id(experiment: Experiment, target: Stage) -> str:
    """Identity of an experiment: its last stage's key covers recipe, settings that matter, data and seed."""
    return target.key[:10]


def run_experiment(experiment: Experiment, runtime: Runtime, report: Report) -> Result:
    """Run the stages that the store does not hold, in order, and collect what all of them gave.

    Raises DataError, StoreError or NonFiniteLoss; what was finished before stays in the store.
    """
    data = open_data(experiment.settings.data, runtime)
    device = runtime.torch_device()
    cache = runtime.open_cache()
    store = runtime.open_store()
    artifacts: dict[str, Artifact] = {}
    seconds: dict[str, StageTime] = {}
    metrics: dict[str, float] = {}
    stages = list(resolve(experiment, data).upstream())
    for stage in stages:
        with store.claim(stage.kind, stage.key) as claimed:
            started = time.monotonic()
            if isinstance(claimed, Artifact):
                artifact, elapsed = claimed, 0.0
            else:
                work = Work(
                    stage.kind,
                    experiment.settings,
                    experiment.seed,
                    data[stage.data],
                    {role: artifacts[source.key] for role, source in stage.inputs.items()},
                    claimed,
                    cache,
                    device,
                    runtime.workers,
                    report,
                )
                artifact = KINDS[stage.kind].run(work)
                elapsed = time.monotonic() - started
        artifacts[stage.key] = artifact
        done = artifact.done
        used = min(elapsed, done["seconds"])
        seconds[stage.kind] = StageTime(used, done["seconds"] - used)
        metrics |= done["metrics"]
    return Result({stage.kind: stage.key for stage in stages}, metrics, seconds)
