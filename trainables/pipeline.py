"""The stages of an experiment, each with the key that names its artifact; and running one, reusing what the store holds.

A plain Python call, without Ray, Optuna or W&B:

    from pathlib import Path
    from trainables.pipeline import Experiment, run_experiment
    from trainables.runtime import Runtime
    from trainables.presets import preset
    run_experiment(Experiment(preset("demo"), seed=0), Runtime(store=Path("runs/store"), cache=Path("runs/cache")), print)
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

from trainables.data import open_data
from trainables.files import digest
from trainables.models import find_backbone
from trainables.models.kernels import kernels
from trainables.recipes import last_stages
from trainables.runtime import Runtime
from trainables.settings import (
    ENCODERS,
    ExperimentSettings,
    Pretraining,
    Readable,
    SettingsError,
    flat,
    names_below,
)
from trainables.source import Code, code_of
from trainables.stages import pictures
from trainables.stages.guard import Collapsed, advice
from trainables.stages.kind import ARITHMETIC, Kind, identity
from trainables.stages.memory import OutOfMemory, memory_of, within_memory
from trainables.stages.training import NonFiniteLoss, most_parts, train
from trainables.stages.work import Outcome, Report, Training, Work, curves, kept_before
from trainables.store import EXTENDED_FROM, Artifact, Course, DamagedArtifact, Holder, LeaseLost, Store, Workplace
from trainables.video.videos import PARTS, VideoSet

Value = TypeVar("Value")

PROTOCOL = "1"
"""Version of the evaluation protocol: results of different versions are never shown in one table."""


@dataclass(frozen=True)
class Experiment:
    """A fully resolved recipe: settings and seed (its data are found through a Runtime)."""

    settings: ExperimentSettings
    seed: int


@dataclass(frozen=True)
class Stage:
    """A step of an experiment. data: the role of the video set it reads, `pretraining` or `downstream[/<set>]`.

    settings: those in its key, by dotted name, and what else it depends on. variant: which of several results of the stage is
    meant, where it is not the first: by what code, or made for the how many-th time. accepted: the digest of other code whose
    result counts. state: whose files its code is, by who planned it; empty: as they lie here.
    """

    declared: Kind
    data: str
    fingerprint: str
    settings: Mapping[str, Any]
    seed: int
    inputs: Mapping[str, Stage] = field(default_factory=dict)
    variant: str = ""
    accepted: str = ""
    state: str = ""

    @property
    def kind(self) -> str:
        return self.declared.name

    @property
    def name(self) -> str:
        """The kind, followed by the data set where an experiment has several downstream sets: `finetune/hmdb51`."""
        _, several, dataset = self.data.partition("/")
        return f"{self.kind}{several}{dataset}"

    @functools.cached_property
    def key(self) -> str:
        """Hash of kind and version, settings, inputs' keys, data fingerprint and seed; and of which variant."""
        return digest(
            {
                **({"code": self.variant} if self.variant else {}),
                "kind": self.kind,
                "version": self.declared.version,
                "settings": dict(self.settings),
                "inputs": {role: stage.key for role, stage in self.inputs.items()},
                "data": self.fingerprint,
                "seed": self.seed,
            }
        )

    @property
    def epochs(self) -> int | None:
        """Of a training."""
        return None if self.declared.schedule is None else self.settings[f"{self.declared.schedule}.epochs"]

    @functools.cached_property
    def course(self) -> Course | None:
        """Of a training of which each epoch computes the same, however many there are; it is of one code and one time."""
        schedule, epochs = self.declared.schedule, self.epochs
        if epochs is None or self.declared.knows_end or self.settings[f"{schedule}.schedule"] == "cosine":
            return None
        of_any_length = {name: value for name, value in self.settings.items() if name != f"{schedule}.epochs"}
        name = replace(self, settings=of_any_length, variant=self.variant or self.code.digest).key
        checkpoints = self.settings.get(f"{schedule}.checkpoints", 1)
        return Course(name, epochs, functools.partial(kept_before, epochs=epochs, checkpoints=checkpoints))

    def goes_on_from(self, store: Store) -> int:
        """The epochs of the longest training in the store from which it can go on; 0: there is none."""
        shorter = self.course.shorter(store.directory / self.kind) if self.course else iter(())
        return next((epochs for epochs, _ in shorter), 0)

    @functools.cached_property
    def code(self) -> Code:
        """The code that it runs: of its kind, of what it is made of, and of the networks whose settings it reads."""
        modules = set(_modules_of(self.declared.run))
        if self.declared.schedule is not None:
            modules.add("trainables.stages.training")
        if family := self.settings.get("backbone.family"):
            modules |= set(_modules_of(find_backbone(family)))
        groups = {name.partition(".")[0] for name in self.settings}
        modules |= {path.partition(":")[0] for name, path in ENCODERS.entries.items() if name in groups}
        found = code_of(frozenset(modules))
        return replace(found, state=self.state) if self.state else found

    @functools.cached_property
    def readable(self) -> frozenset[str]:
        """The settings that the stage may read: those in its key, and those in its inputs' keys."""
        return frozenset(self.settings).union(*(stage.readable for stage in self.inputs.values()))

    @property
    def checkpoints(self) -> dict[str, int]:
        """By role the checkpoint that an input hands on, where it is not the last."""
        names = {role: f"{role}.checkpoint" for role in self.inputs}
        return {role: self.settings[name] for role, name in names.items() if name in self.settings}

    def upstream(self) -> Iterator[Stage]:
        """The stages this one needs and then itself, in an order in which they can run."""
        for stage in self.inputs.values():
            yield from stage.upstream()
        yield self


def _modules_of(thing: Any) -> Iterator[str]:
    """The modules in which something is written: a function and what is bound to it, a class and what it extends."""
    if isinstance(thing, functools.partial):
        for part in (thing.func, *thing.args):
            yield from _modules_of(part)
    elif isinstance(thing, type):
        yield from (base.__module__ for base in thing.__mro__)
    elif isinstance(thing, list | tuple):
        for part in thing:
            yield from _modules_of(part)
    elif callable(thing):
        yield thing.__module__


CODE_FILE = "code.json"
"""File of an artifact that says what code made it."""


def code_of_artifact(artifact: Artifact) -> Code | None:
    """What code made it; None where that was not written down, as in early versions. Raises DamagedArtifact or StoreError."""
    if CODE_FILE not in artifact.done.get("files", {}):
        return None
    content = artifact.document(CODE_FILE)
    return Code(content["modules"], content["state"])


UNKNOWN_CODE = "unknown"


def digest_of(code: Code | None) -> str:
    """The digest of the code that made an artifact, or UNKNOWN_CODE."""
    return UNKNOWN_CODE if code is None else code.digest


class OtherCode(RuntimeError):
    """The code that would run is not that with which the experiment was planned; the message says of which stage."""


class Expected(NamedTuple):
    """With what an experiment was planned, of a stage: the digest of its code, its variant, the digest of other code whose
    result counts, and whose files its code is, which a copy of them does not know."""

    code: str
    variant: str
    accepted: str
    state: str = ""


@dataclass(frozen=True)
class Made:
    """What a stage left, told by who ran it. metrics: last values. history: metric -> its value after each epoch.

    used: seconds of this run; saved: of what it found, the artifact or epochs of an interrupted run or a shorter training.
    extended_from: epochs of that training, 0: there was none. code: the digest of what made it, and whose code that was.
    """

    key: str
    metrics: dict[str, float]
    history: dict[str, list[float]]
    used: float
    saved: float
    code: str = ""
    extended_from: int = 0


@dataclass(frozen=True)
class Result:
    """What an experiment gave, by the stages' names."""

    made: dict[str, Made]

    @property
    def stages(self) -> dict[str, str]:
        """The key of every stage."""
        return {name: one.key for name, one in self.made.items()}

    @property
    def metrics(self) -> dict[str, float]:
        """The last value of every metric."""
        return all_metrics(self.made)


def all_metrics(made: Mapping[str, Made]) -> dict[str, float]:
    """The last metrics of stages, and the means of those that exist per downstream set."""
    return with_means({name: value for one in made.values() for name, value in one.metrics.items()})


def resolve(
    experiment: Experiment,
    data: Mapping[str, VideoSet],
    weights: Mapping[str, str] | None = None,
    device: str = "",
    settle: Callable[[Stage], Stage] = lambda stage: stage,
) -> tuple[Stage, ...]:
    """All stages of the experiment's recipe, each once, in an order in which they can run.

    weights: fingerprints of the files with weights at hand, by network. device: what computes, on which some results depend.
    settle: gives a stage, or the variant of it that is meant.
    """
    settings = experiment.settings

    @functools.cache
    def fingerprint(role: str, parts: tuple[str, ...]) -> str:
        return data[role].fingerprint(*parts) if parts else ""

    def stage(kind: Kind, role: str, **inputs: Stage) -> Stage:
        read = _settings_of(kind, inputs, settings)
        if network := kind.starts_from(settings):
            read["weights"] = (weights or {}).get(network)
        if kind.of_device:
            read["device"] = device
        return settle(Stage(kind, role, fingerprint(role, kind.parts), read, experiment.seed if kind.random else 0, inputs))

    stages = {needed.key: needed for end in last_stages(settings, stage) for needed in end.upstream()}
    names = [needed.name for needed in stages.values()]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SettingsError(f"two stages of the experiment are called {twice[0]}: a task from elsewhere needs another name")
    return tuple(stages.values())


def _settings_of(kind: Kind, inputs: Mapping[str, Stage], settings: ExperimentSettings) -> dict[str, Any]:
    """What enters a stage's key, by name: nothing that is off. Which checkpoint of an input it starts from is its own, not the
    input's."""
    values = flat(settings)
    names = [name for name in names_below(values, kind.reads(settings)) if not settings.is_off(name)]
    read = {name: values[name] for name in names if not _is_choice_of_next(name, settings)}
    for role in inputs:
        number = values.get(f"{role}.checkpoint")
        if number is not None and number < values[f"{role}.checkpoints"]:
            read[f"{role}.checkpoint"] = number
    outside = dict(kind.plugged_in)
    if "backbone.family" in read:
        outside |= identity(find_backbone(read["backbone.family"]))
    return read | ({"plugged_in": outside} if outside else {})


def _is_choice_of_next(name: str, settings: ExperimentSettings) -> bool:
    """Whether a setting says which checkpoint of a stage is handed on."""
    group, _, leaf = name.rpartition(".")
    return leaf == "checkpoint" and isinstance(getattr(settings, group, None), Pretraining)


def experiment_id(experiment: Experiment, stages: Iterable[Stage]) -> str:
    """Identity of a trial: its settings, its seed and its stages' keys, which cover the data.

    Of stages that measure the device only the data: on which machine a trial will run is not known before.
    """
    keys = [stage.fingerprint if stage.declared.of_device else stage.key for stage in stages]
    return digest([flat(experiment.settings), experiment.seed, keys])[:10]


def run_experiment(
    experiment: Experiment, runtime: Runtime, report: Report, expected: Mapping[str, Expected] | None = None
) -> Result:
    """Run the stages that the store does not hold, in order, and collect what all of them gave.

    It reports a `stage` when that begins to run, with its `epochs` if it trains; after each stage, found or run, `made`, the
    fields of Made; and in a `note` what a user should know: who is waited for (`waits`), what was damaged. expected: by stage,
    with what code the experiment was planned; without it, whatever the store holds counts. Raises OtherCode, DataError,
    StoreError, NonFiniteLoss, Collapsed, OutOfMemory or LoaderDied; what was finished before stays in the store.
    """
    data = open_data(experiment.settings.data, runtime)
    store = runtime.open_store()
    store.warn = lambda message: report({"note": message})
    made: dict[str, Made] = {}

    def run(stage: Stage, inputs: Mapping[str, Artifact], workplace: Workplace) -> Artifact:
        report({"stage": stage.name, **({"epochs": stage.epochs} if stage.epochs else {})})
        workplace.keeps_state = runtime.keep_states
        return run_stage(stage, work_of(stage, experiment.settings, data[stage.data], inputs, runtime, workplace, report))

    artifacts = _Artifacts(store, run, report, any_code=expected is None)
    settle = functools.partial(_as_expected, expected or {})
    stages = resolve(experiment, data, runtime.weights_fingerprints(), runtime.device_name(), settle)
    for stage in stages:
        stage.declared.check(experiment.settings, dict(runtime.weights), data[stage.data])
    for stage in stages:
        made[stage.name] = artifacts.make(stage)
        report({"stage": stage.name, "made": asdict(made[stage.name])})
    return Result(made)


def _as_expected(expected: Mapping[str, Expected], stage: Stage) -> Stage:
    code, variant, accepted, state = expected.get(stage.name, Expected(stage.code.digest, "", ""))
    if code != stage.code.digest:
        raise OtherCode(
            f"the code of stage {stage.name} is not that with which the sweep was started: edited since, or another copy"
        )
    return replace(stage, variant=variant, accepted=accepted, state=state)


MOST_DAMAGE = 3
"""How often in a row an artifact, or one that it needs, may turn out damaged before its experiment gives up."""


@dataclass
class _Artifacts:
    """Finds or makes the artifacts of an experiment's stages, by key. What is damaged is set aside and made again."""

    store: Store
    run: Callable[[Stage, Mapping[str, Artifact], Workplace], Artifact]
    report: Report
    any_code: bool
    found: dict[str, Artifact] = field(default_factory=dict)

    def make(self, stage: Stage) -> Made:
        """Raises StoreError, DamagedArtifact for what is damaged time after time, and what running the stage raises."""
        damages = 0
        while True:
            try:
                elapsed = self._claimed(stage)
                return _made(stage, self.found[stage.key], elapsed)
            except LeaseLost as lost:
                self.store.warn(str(lost))
            except DamagedArtifact as damage:
                damages += 1
                if damages > MOST_DAMAGE:
                    raise
                self.store.set_aside(Artifact(damage.directory))

    def _claimed(self, stage: Stage) -> float:
        """Seconds that making the artifact took, 0 where it was found."""
        with self.store.claim(stage.kind, stage.key, on_wait=functools.partial(self._waits, stage)) as claimed:
            if isinstance(claimed, Artifact):
                self._check_code(stage, claimed)
                self.found[stage.key] = claimed
                return 0.0
            inputs = {role: self._whole(source) for role, source in stage.inputs.items()}
            claimed.code, claimed.course = stage.code.digest, stage.course
            self.found[stage.key] = self.run(stage, inputs, claimed)
            return claimed.seconds - claimed.before

    def _check_code(self, stage: Stage, artifact: Artifact) -> None:
        """Another process may have made it since the experiment was planned, by other code."""
        if self.any_code:
            return
        if digest_of(code_of_artifact(artifact)) not in (stage.code.digest, stage.accepted):
            raise OtherCode(f"stage {stage.name} was made by other code since the sweep was planned, which is to be done again")

    def _whole(self, stage: Stage) -> Artifact:
        """The artifact of a stage that was made or found, to the bit as it was published."""
        try:
            self.found[stage.key].verify()
        except DamagedArtifact:
            self.store.set_aside(self.found[stage.key])
            self.make(stage)
        return self.found[stage.key]

    def _waits(self, stage: Stage, holder: Holder, seconds: float) -> None:
        note = f"waiting for {stage.name} for {seconds:.0f} s, which {holder} is making"
        self.report({"note": note, "waits": stage.name})


def _made(stage: Stage, artifact: Artifact, elapsed: float) -> Made:
    done = artifact.done
    history = named_metrics(stage, curves(artifact.history()))
    used, code = min(elapsed, done["seconds"]), code_of_artifact(artifact)
    by = "" if code is None else str(code)
    from_epoch = done.get(EXTENDED_FROM, 0)
    return Made(stage.key, named_metrics(stage, done["metrics"]), history, used, done["seconds"] - used, by, from_epoch)


def work_of(
    stage: Stage,
    settings: ExperimentSettings,
    videos: VideoSet,
    inputs: Mapping[str, Artifact],
    runtime: Runtime,
    workplace: Workplace | None = None,
    report: Report | None = None,
) -> Work:
    """What a stage is given: of the settings only what its key and its inputs' keys hold, of the videos only its parts."""
    end = f"{stage.declared.schedule}.epochs" if stage.course else ""
    readable = Readable(stage.readable, f"the stage {stage.kind}", stage.declared.where, end, {end} if end else set())
    told = {} if report is None else {"report": functools.partial(_report_as, stage, report)}
    limited = settings.readable(readable)
    train, validation, test = (videos.part(part) if part in stage.declared.parts else () for part in PARTS)
    seen = replace(videos, train=train, validation=validation, test=test)
    return Work(stage.kind, limited, stage.seed, seen, inputs, runtime, stage.checkpoints, stage.epochs, workplace, **told)


def run_stage(stage: Stage, work: Work) -> Artifact:
    """Do what the stage says and publish what came out at the work's workplace, which it must have.

    Raises OutOfMemory.
    """
    if work.workplace is None:
        raise ValueError(f"{stage.name}: work without a workplace has nowhere to leave its artifact")
    outcome = within_memory(functools.partial(_outcome, stage, work), functools.partial(_remedies, stage, work))
    return work.workplace.publish(
        settings=stage.settings,
        metrics=outcome.metrics,
        history=outcome.history,
        tensors=outcome.tensors,
        files={**outcome.files, CODE_FILE: {"modules": dict(stage.code.modules), "state": stage.code.state}},
    )


def _outcome(stage: Stage, work: Work) -> Outcome:
    of_network = ARITHMETIC[0] in stage.settings
    try:
        with kernels(work.settings.compute, work.device) if of_network else nullcontext():
            said = stage.declared.run(work)
            outcome = _trained(said, work) if isinstance(said, Training) else said
    except Collapsed as collapse:
        raise Collapsed(f"{collapse}; {advice(stage.declared.schedule or stage.kind)}") from None
    for name, value in outcome.metrics.items():
        if not math.isfinite(value):
            raise NonFiniteLoss(f"{stage.name}: {name} is {value}")
    return outcome


def _trained(training: Training, work: Work) -> Outcome:
    outcome = train(training, work)
    samples = {"samples": pictures.training_samples(training.loader.dataset)}
    return replace(outcome, tensors={**outcome.tensors, pictures.FILE: samples})


def _remedies(stage: Stage, work: Work) -> OutOfMemory:
    """Of a stage that ran out of memory: what it computed on what, and what needs less."""
    settings, schedule = stage.settings, stage.declared.schedule
    frames, crop = (settings.get(f"video.{name}") for name in ("clip_frames", "crop"))
    clips = f"clips of {f'{frames} frames of ' if frames else ''}{crop}x{crop} pixels" if crop else "what it reads"
    batch, less, parts = "", [], None
    if schedule:
        samples, divided = settings[f"{schedule}.batch_size"], settings.get("compute.accumulation")
        whole = ", which its loss compares, so that they are not divided" if divided is None else ""
        batch = f"batches of {samples} samples{whole}, "
        if divided is not None and divided < most_parts(samples):
            parts = 2 * divided
            less.append(f"--set compute.accumulation={parts} (the same batch in smaller parts)")
        less.append(f"a smaller {schedule}.batch_size")
    if settings.get("compute.precision") == "float32":
        less.append("--set compute.precision=bfloat16")
    advice = f"; less is needed with {', or '.join(less)}" if less else "; it needs a device with more, or fewer trials at once"
    return OutOfMemory(f"{stage.name}: out of memory on {memory_of(work.device)}, with {batch}{clips}{advice}", parts)


def named_metrics(stage: Stage, metrics: Mapping[str, Value]) -> dict[str, Value]:
    """A stage's metrics as the experiment calls them: with several downstream sets `test/top1/<set>` for `test/top1`."""
    suffix = stage.name.removeprefix(stage.kind)
    return {f"{name}{suffix}": value for name, value in metrics.items()}


def with_means(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics, and for each one that exists per downstream set (`test/top1/<set>`) its mean over the sets (`test/top1`)."""
    by_set: dict[str, list[float]] = {}
    for name, value in metrics.items():
        plain, _, dataset = name.rpartition("/")
        if "/" in plain and dataset:
            by_set.setdefault(plain, []).append(value)
    return dict(metrics) | {name: sum(values) / len(values) for name, values in by_set.items()}


def _report_as(stage: Stage, report: Report, line: dict[str, Any]) -> None:
    if "before" in line:
        line = {**line, "before": named_metrics(stage, line["before"])}
    numbers = {name: value for name, value in line.items() if "/" in name}
    report(
        {**{name: line[name] for name in line.keys() - numbers.keys()}, **named_metrics(stage, numbers), "stage": stage.name}
    )
