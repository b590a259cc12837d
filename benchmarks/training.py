"""Stages as a trial runs them, up to the point where they would begin to train.

So the benchmarks measure what a trial computes, and not a copy of it that grows old.
"""

from __future__ import annotations

from trainables.data import open_data
from trainables.pipeline import Experiment, Stage, resolve, work_of
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings
from trainables.stages.work import Training, Work
from trainables.store import Artifact, Workplace


def stages_of(settings: ExperimentSettings, runtime: Runtime) -> dict[str, Stage]:
    """The stages of the experiment with seed 0, by name."""
    return {stage.name: stage for stage in resolve(Experiment(settings, seed=0), open_data(settings.data, runtime))}


def workplace_of(stage: Stage, runtime: Runtime) -> Workplace:
    """Where the stage is made in the runtime's store; no other process uses it."""
    return Workplace(runtime.open_store(), stage.kind, stage.key)


def given(stage: Stage, settings: ExperimentSettings, runtime: Runtime) -> Work:
    """What the stage is given, its inputs out of the store; it tells nobody how it goes."""
    inputs = {role: Artifact(workplace_of(source, runtime).target) for role, source in stage.inputs.items()}
    videos = open_data(settings.data, runtime)[stage.data]
    return work_of(stage, settings, videos, inputs, runtime, workplace_of(stage, runtime))


def begin(name: str, settings: ExperimentSettings, runtime: Runtime) -> tuple[Training, Work]:
    """What a stage would train, and what it was given."""
    stage = stages_of(settings, runtime)[name]
    work = given(stage, settings, runtime)
    training = stage.declared.run(work)
    if not isinstance(training, Training):
        raise TypeError(f"{name} does not train")
    return training, work
