"""What a sweep will run, what is already there, and what it will cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from harness.cost import Estimate, Expected
from harness.disk import Needed, needed
from harness.ledger import Ledger
from harness.proposals import Configuration, Exhausted
from harness.trials import Job, Sweep
from trainables.pipeline import Stage
from trainables.stages.kind import StartError
from trainables.store import Store
from trainables.video.videos import DataError

APART = ("experiments", "expected", "pending", "confirming")


@dataclass(frozen=True)
class Plan:
    """Counts of a sweep before it runs. hours: on this machine, with `concurrency` trials at once; low: of the networks alone,
    where no stage like it is on record.

    stages_measured: of those to run, how many will take what stages like them took. expected: the stages to run, and what each
    will take; None where that is not known. pending: names of the trials to run, in order, and the seconds that those of their
    stages will take that none before them needs. confirming: how many trials are to confirm what they find, and the seconds of
    each by kind of stage, as far as they are known. extended: which of the stages to run go on from shorter trainings, in
    words, and how many do. notes: which configurations the space has gained or lost, and what of the
    store is by other code, in words.
    """

    trials: int
    trials_complete: int
    stages_to_run: int
    stages_done: int
    stages_naive: int
    stages_measured: int
    hours_low: float
    hours_expected: float
    disk: Needed
    experiments: tuple[tuple[str, dict[str, Any], bool], ...]
    expected: tuple[tuple[Stage, Expected | None], ...]
    pending: tuple[tuple[str, float], ...]
    confirming: tuple[int, dict[str, float]]
    extended: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def seconds(self) -> dict[tuple[str, str], float] | None:
        """What each stage to run is expected to take, by kind and key; None where that is not known of all."""
        known = {(stage.kind, stage.key): one.seconds for stage, one in self.expected if one}
        if len(known) < len(self.expected):
            return None
        trials, each = self.confirming
        return known | {(kind, str(number)): seconds for number in range(trials) for kind, seconds in each.items()}

    @property
    def seconds_confirming(self) -> float:
        """What all trials that confirm take, one after the other."""
        return self.confirming[0] * sum(self.confirming[1].values())

    def as_json(self) -> dict[str, Any]:
        """Plain data, without what is said of single trials and stages."""
        plain = asdict(replace(self, experiments=(), expected=(), pending=()))
        counts = {name: value for name, value in plain.items() if name not in APART}
        return counts | {"trials_confirming": self.confirming[0]}


def make_plan(sweep: Sweep, ledger: Ledger, concurrency: int, cache_bytes: int) -> Plan:
    """What the sweep would run, with notes. Starts and writes nothing. Raises SweepError where it would be refused, DataError
    where a stage of a configuration that it would run has no video long enough, and OutOfMemory."""
    changes = sweep.changes()
    found = outlook(sweep, ledger, concurrency, cache_bytes, check=True)
    return replace(found, notes=(*changes, *sweep.reuse.notes(), *found.notes))


def outlook(
    sweep: Sweep, ledger: Ledger, concurrency: int, cache_bytes: int, measure: bool = True, check: bool = False
) -> Plan:
    """Which stages the sweep needs and which the store holds. Starts and writes nothing.

    cache_bytes: how large the cache of decoded frames may get. measure: whether the networks of stages that are not on record
    may be measured, on the device that computes. check: whether stages are asked if they have videos that they can use, and
    what they start from, of which notes are made.

    A proposal beyond the fixed rows depends on results; a random draw stands in for it, so its stages count as new. Raises
    OutOfMemory, and DataError with `check`.
    """
    store = sweep.runtime.open_store()
    estimate = Estimate(sweep.directory.parent, sweep.runtime, measure)
    to_run: dict[str, tuple[Stage, Expected | None]] = {}
    found: set[str] = set()
    done: set[str] = set()
    trials = complete = naive = 0
    experiments, missing, pending = [], [], []
    longest: list[tuple[float, float]] = [(0.0, 0.0)]
    without_start: dict[str, None] = {}
    extended: Counter[str] = Counter()
    courses: dict[str, set[int]] = {}
    for configuration, known in _configurations(sweep, ledger):
        experiments.append((configuration.row or f"#{configuration.index}", configuration.parameters, known))
        for job in sweep.jobs(configuration):
            trials += 1
            naive += len(job.stages)
            if _has_ended(sweep, ledger, job):
                complete += 1
                done |= {stage.key for stage in job.stages}
                continue
            missing.append(job)
            before = set(to_run)
            steps = _steps(sweep, job)
            for stage, share in steps:
                if stage.key in to_run or stage.key in found:
                    continue
                if store.find(stage.kind, stage.key) is not None:
                    found.add(stage.key)
                else:
                    if check and known:
                        _check_videos(stage, job)
                        without_start |= dict.fromkeys(_without_start(stage, job, sweep))
                    whole, left = estimate.of(stage, job.experiment.settings, job.data[stage.data]), 1.0
                    planned = courses if sweep.runtime.keep_states else {}
                    if stage.epochs and (there := _epochs_before(stage, store, planned)):
                        extended[f"{stage.name} from {there} to {stage.epochs} epochs"] += 1
                        left = 1 - there / stage.epochs
                    to_run[stage.key] = stage, whole.of_the_rest(left * share) if whole else None
            own = [of for key, (_, of) in to_run.items() if key not in before]
            pending.append((job.name, sum(one.seconds for one in own if one)))
            its = [one for stage, _ in steps if stage.key in to_run and (one := to_run[stage.key][1])]
            longest.append((sum(one.networks for one in its), sum(one.seconds for one in its)))
    known_seconds = [one for _, one in to_run.values() if one]
    to_confirm = sweep.to_confirm(ledger)
    low = max(sum(one.networks for one in known_seconds) / concurrency, max(longest)[0])
    likely = max(sum(one.seconds for one in known_seconds) / concurrency, max(seconds for _, seconds in longest))
    return Plan(
        trials=trials,
        trials_complete=complete,
        stages_to_run=len(to_run),
        stages_done=len((done | found) - to_run.keys()),
        stages_naive=naive,
        stages_measured=sum(one.measured for one in known_seconds),
        hours_low=low / 3600,
        hours_expected=likely / 3600,
        disk=needed(missing, store, cache_bytes, concurrency, sweep.runtime.keep_states),
        experiments=tuple(experiments),
        expected=tuple(to_run.values()),
        pending=tuple(pending),
        confirming=(to_confirm, _of_a_trial(sweep, ledger, estimate) if to_confirm else {}),
        extended=dict(extended),
        notes=tuple(without_start),
    )


def _epochs_before(stage: Stage, store: Store, courses: dict[str, set[int]]) -> int:
    """Of a stage to run, the epochs of the longest training that it goes on from, of the store or the plan so far; 0: of none.

    courses: of the trainings planned so far their epochs, to which its own are added.
    """
    if (course := stage.course) is None:
        return 0
    planned = courses.setdefault(course.name, set())
    longest = max((stage.goes_on_from(store), *filter(course.goes_on_from, planned)))
    planned.add(course.epochs)
    return longest


def _of_a_trial(sweep: Sweep, ledger: Ledger, estimate: Estimate) -> dict[str, float]:
    """By kind of stage, the seconds of one seed more of the first configuration; nothing where they are not known."""
    configuration, _ = next(_configurations(sweep, ledger))
    (job,) = sweep.jobs(configuration, [sweep.seeds])
    found: dict[str, float] = {}
    for stage in job.stages:
        one = estimate.of(stage, job.experiment.settings, job.data[stage.data])
        if one is None:
            return {}
        found[stage.kind] = found.get(stage.kind, 0.0) + one.seconds
    return found


def _without_start(stage: Stage, job: Job, sweep: Sweep) -> list[str]:
    """A note where the trial cannot run, as what it is to start from is not given, or does not fit."""
    try:
        stage.declared.check(job.experiment.settings, dict(sweep.runtime.weights), job.data[stage.data])
    except StartError as error:
        return [f"{job.configuration.row or f'#{job.configuration.index}'} will fail: {error}"]
    return []


def _check_videos(stage: Stage, job: Job) -> None:
    """Raises DataError, which names stage and configuration."""
    try:
        stage.declared.check_videos(job.experiment.settings, job.data[stage.data])
    except DataError as error:
        of = f" of {job.configuration.row}" if job.configuration.row else ""
        raise DataError(f"stage {stage.name}{of}: {error}") from None


def _has_ended(sweep: Sweep, ledger: Ledger, job: Job) -> bool:
    """Whether a trial is complete, or was pruned by halving."""
    record = sweep.record(ledger, job.trial)
    return record is not None and (record.outcome == "complete" or (sweep.rungs is not None and record.outcome == "pruned"))


def _steps(sweep: Sweep, job: Job) -> list[tuple[Stage, float]]:
    """The stages of a trial, of each rung where it climbs, and in how many of such trials each of them will run."""
    if sweep.rungs is None:
        return [(stage, 1.0) for stage in job.stages]
    shares = sweep.rungs.shares() if job.configuration.row is None else [1.0] * len(sweep.rungs.epochs)
    return [(stage, share) for rung, share in enumerate(shares) for stage in sweep.at_rung(job, rung).stages]


def _configurations(sweep: Sweep, ledger: Ledger) -> Iterator[tuple[Configuration, bool]]:
    """All that the sweep would run, and whether it will run just that: a random draw stands in for what depends on results."""
    proposals = sweep.proposals(ledger, search=None if sweep.search == "grid" else "random")
    while True:
        try:
            configuration = proposals.next()
        except Exhausted:
            return
        proposals.close(configuration.index, None)
        yield configuration, configuration.row is not None or configuration.index in proposals.known or sweep.search == "grid"
