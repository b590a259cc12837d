"""The state of a sweep while it runs: which trials wait, which run, how they ended. Imports no Ray.

A worker asks for its `next` trial; what becomes of the trial is told to `started`, `reported`, `stopped` and `ended`, and
turned into a ledger record, a W&B run and lines on the console. A worker goes by any name that no other running trial's worker
has.

A record holds what the worker told: the stages that it made or found, with keys, metrics and histories. The store is not asked,
as what it shows here may lag behind what a worker on another node has written.
"""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, Literal

from harness.budget import BudgetSpent, Spending, some_of
from harness.deaths import WORKER_LIVES, Worker, death_of
from harness.halving import Decision, Halving
from harness.hindrances import NO_ROOM, Hindrances
from harness.ledger import Ledger, Outcome, Record, Seconds, superseded, value_of
from harness.progress import Progress
from harness.proposals import Configuration, Exhausted, Waiting
from harness.redaction import without_secrets
from harness.tracking import Tracker
from harness.trials import ACCUMULATION, Job, Sweep, SweepError
from harness.watchdog import Limits, Struck, struck
from search_spaces.space import Space
from trainables.data import describe
from trainables.files import write_atomically
from trainables.pipeline import PROTOCOL, Made, Stage, all_metrics
from trainables.presets import departures
from trainables.settings import flat
from trainables.store import Store
from trainables.suggestions import did_you_mean
from trainables.video.decoding import decoder_versions
from trainables.video.videos import PARTS

COMPUTING = ("torch", "numpy")
PACKAGES = ("ray", "optuna", "wandb")
COMPUTED_BY = "computed_by/"
"""Prefix of a trial's last report under which it says what computed it."""
MOST_LOOKED_AT = 20
"""Waiting trials of which it is looked up whether another sweep computes a stage of theirs."""
ERRORS = "errors"
"""Directory of a sweep in which there is a file with the traceback of each trial that failed."""
STALLS = 2
"""How often a trial may stop making progress before that counts as its own failure."""
RETRY_SECONDS = 5.0
"""Between two attempts to write a record to a full disk."""

Ending = Literal["returned", "stopped", "interrupted"]
"""What ended a trial: itself or the death of its workers, a scheduler, or the end of the sweep."""


def verdict(ending: Ending, last: Mapping[str, Any]) -> tuple[Outcome, str | None]:
    """What a trial counts as, and why unless it is complete. last: what it reported last; its own outcome in there decides."""
    if ending == "interrupted":
        return "interrupted", "the sweep was interrupted"
    if "outcome" in last:
        return last["outcome"], None if last["outcome"] == "complete" else last.get("reason") or "it gave no reason"
    when = f"after epoch {last['epoch']} of stage {last['stage']}" if {"epoch", "stage"} <= last.keys() else "before any epoch"
    if ending == "stopped":
        return "pruned", f"the scheduler stopped it {when}"
    return "failed", f"it ended without an outcome {when}"


class ObjectiveMissing(SweepError):
    """A space is judged by a metric that its trials do not have: a search would learn nothing."""

    def __init__(self, space: Space, objective: str, metrics: Collection[str]) -> None:
        valid = sorted(name for name in metrics if not name.startswith("test/"))
        near = did_you_mean(objective, valid)
        super().__init__(f"{space.name}: its trials have no metric '{objective}'{near}; they have: {', '.join(valid)}")


@dataclass
class Assigned:
    """The trial that a worker was given."""

    job: Job
    stack: Path
    worker: Worker | None = None
    started: bool = False
    stopped: bool = False
    made: dict[str, Made] = field(default_factory=dict)
    last: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Bookkeeper:
    """Hands out the trials of a sweep that still have to run, and records what becomes of them.

    oom_halvings: how often a trial that runs out of memory is tried again with its batches in twice as many parts.
    spending: what trials take, and how much they may. confirming: says of a sweep that confirms how many seeds its
    configurations are to have, by position.
    left_out: nodes that cannot run trials, by Ray's id, and why in words.
    """

    is_driver: ClassVar[bool] = True
    """Whether it alone hands out the trials of its sweep."""

    sweep: Sweep
    ledger: Ledger
    tracker: Tracker
    progress: Progress
    retry_failed: bool
    limits: Limits = field(default_factory=Limits)
    oom_halvings: int = 0
    spending: Spending = field(default_factory=Spending)
    confirming: Callable[[Sweep], Mapping[int, int]] | None = None

    def __post_init__(self) -> None:
        self.proposals = self.sweep.proposals(self.ledger)
        self.exhausted = False
        self.spent = False
        self.at_end = False
        self.is_confirming = False
        self.is_confirmed = self.sweep.confirm is None
        self.trimmed: list[Job] = []
        self.queue: list[Job] = []
        self.assigned: dict[str, Assigned] = {}
        self.going_on: dict[str, Assigned] = {}
        self.open: set[str] = set()
        self.seeds: dict[int, list[Job]] = {}
        self.unsettled: set[int] = set()
        self.halving = Halving(self.sweep.rungs, self.sweep.space.direction) if self.sweep.rungs else None
        self.climbing: dict[int, int] = {}
        self.pruned: dict[int, dict[int, float]] = {}
        self.versions = _versions()
        self.old = {record.trial for record in superseded(self.ledger.records())}
        self.hindrances = Hindrances(self.sweep.runtime.store, self.progress.note)
        self.left_out: dict[str, str] = {}
        self.lost: Counter[tuple[str, str]] = Counter()
        self.errors = self.sweep.directory.absolute() / ERRORS
        if self.limits != Limits():
            self.errors.mkdir(exist_ok=True)
            self.clear_stacks()

    def clear_stacks(self) -> None:
        """Remove what an earlier process left of its workers' stacks."""
        for left in self.errors.glob(".*.stack"):
            left.unlink()

    def is_complete(self) -> bool:
        """Whether nothing runs and nothing is left to run, or nothing more may."""
        if not self.spent:
            self._fill_queue()
        return (self.spent or (self.exhausted and self.is_confirmed and not self.queue)) and not self.assigned

    def next(self, worker: str) -> dict[str, Any] | None:
        """What the worker's next trial consists of, as plain data, or None when it has to wait. Raises Exhausted."""
        if self.is_complete():  # what runs may be hindered, and then waits here again
            raise Exhausted
        if self.spent or self.hindrances.waiting():
            return None
        job = self.choose(self.queue, [assigned.job for assigned in self.assigned.values()])
        if job is None:
            return None
        expected = self._expected(job)
        if not self.spending.holds(expected, self._to_confirm(job)):
            if not self.assigned:  # else what runs may take less than expected
                self._trim()
            return None
        self.queue.remove(job)
        self.spending.begin(worker, expected)
        stack = self.errors / f".{job.trial}.{worker}.stack"
        self.assigned[worker] = Assigned(job, stack)
        return {
            "trial": job.trial,
            "index": job.configuration.index,
            "seed": job.experiment.seed,
            "settings": job.experiment.settings.model_dump(),
            "runtime": self.sweep.runtime.as_config(),
            "code": {stage.name: [stage.code.digest, stage.variant, stage.accepted, stage.code.state] for stage in job.stages},
            "limits": asdict(self.limits),
            "stack": str(stack),
            "left_out": sorted(self.left_out),
        }

    def _expected(self, job: Job) -> float:
        """Seconds that a trial will take, which matters where there is a budget; 0 where that is not known."""
        if self.spending.budget is None:
            return 0.0
        store = self.sweep.reuse.store
        return self.progress.expected(
            [(stage.kind, stage.key) for stage in job.stages if store.find(stage.kind, stage.key) is None]
        )

    def _to_confirm(self, job: Job) -> float:
        """Seconds of the trials that are to confirm what the search finds, while it goes on, if they are such as this one."""
        if self.spending.budget is None or self.sweep.confirm is None or self.is_confirming:
            return 0.0
        each = self.progress.expected([(stage.kind, stage.key) for stage in job.stages])
        return self.sweep.to_confirm(self.ledger) * each

    def _trim(self) -> None:
        """Nothing runs, and nothing of what waits may: a search that is to be confirmed goes on from there."""
        if self.sweep.confirm is None or self.is_confirming:
            self.spent = True
            return
        self.progress.note("the budget holds no more of the search, and what it has found is confirmed")
        self.exhausted = self.spending.search_over = True
        self.trimmed = [job for jobs in self.seeds.values() for job in jobs if job.trial in self.open]
        self.queue = []
        self.open.clear()
        self.climbing.clear()
        self._close_settled()

    def check_budget(self) -> None:
        """Raises BudgetSpent."""
        if self.spending.left <= 0:
            raise BudgetSpent(str(self.spending))

    def not_run(self) -> str:
        """In words, what has not ended and what was not proposed."""
        left = {job.trial: job.name for jobs in self.seeds.values() for job in jobs if job.trial in self.open}
        left |= {job.trial: job.name for job in self.trimmed}
        unnamed = (self.proposals.size - len(self.proposals.asked)) * self.sweep.seeds if not self.at_end else 0
        return some_of(left.values(), unnamed + (0 if self.is_confirming else self.sweep.confirming))

    def choose(self, queue: Sequence[Job], running: Collection[Job]) -> Job | None:
        """The first trial of the queue that would not wait for a stage that a running trial, or another sweep, computes, and of
        which no stage would go on from one that a running trial computes.

        Where all that are left would wait for other sweeps, one of them does.
        """
        store = self.sweep.reuse.store  # one for all questions: it remembers how long the leases of other hosts were silent
        computing = [stage for job in running for stage in job.stages if _is_missing(store, stage)]
        keys, courses = {stage.key for stage in computing}, _courses(computing if self.sweep.runtime.keep_states else ())
        own = [
            job
            for job in queue
            if not any(
                stage.key in keys or (_would_go_on(stage, courses, store) and _is_missing(store, stage)) for stage in job.stages
            )
        ]
        for job in own[:MOST_LOOKED_AT]:
            if not self.is_held(job):
                return job
        return own[0] if own else None

    def is_held(self, job: Job) -> bool:
        """Whether another process computes a stage of a trial."""
        store = self.sweep.reuse.store
        return any(store.holder(stage.kind, stage.key) and _is_missing(store, stage) for stage in job.stages)

    def started(self, worker: str) -> None:
        """The worker begins its trial, or begins it again after an earlier worker died."""
        assigned = self.assigned[worker]
        assigned.started = True
        job = assigned.job
        self.going_on.pop(job.trial, None)
        configuration, seed = job.configuration, job.experiment.seed
        self.progress.trial_started(job.trial, f"#{configuration.index}", configuration.parameters, seed, configuration.row)
        tags, compared = [self.sweep.space.name, self.sweep.preset], [*configuration.parameters, "row", "seed"]
        self.tracker.start(job.trial, job.name, self._told_of(self.sweep.whole(job)), tags, compared)

    def _told_of(self, job: Job) -> dict[str, Any]:
        """What a trial is, for whoever watches it: what it reads, and where that comes from."""
        return {
            **job.configuration.parameters,  # a row may have some that no stage of it reads
            **job.reads,
            "seed": job.experiment.seed,
            "trial": job.trial,
            "row": job.configuration.row,
            "position": job.configuration.index,
            "space": self.sweep.space.name,
            "preset": self.sweep.preset,
            "fingerprint": {role: videos.fingerprint(*PARTS) for role, videos in job.data.items()},
            "code": {stage.name: str(stage.code) for stage in job.stages},
        }

    def reported(self, worker: str, line: Mapping[str, Any]) -> None:
        """What a running trial says: which `worker` runs it; of its `stage` that it begins, what the epochs `before` gave where
        it goes on, and what it `made`; that it is waiting (`note`); an `epoch`, with `epochs` and metrics prefixed by their
        stage; or how far it is within one (`batch` of `batches`)."""
        assigned = self.assigned[worker]
        if "worker" in line:
            assigned.worker = Worker(**line["worker"])
            self.progress.runs_on(assigned.job.trial, assigned.worker.node)
        elif "made" in line:
            made = Made(**line["made"])
            if made.used > 0:  # else it was found
                self.hindrances.over()
            assigned.made.setdefault(line["stage"], made)
            self.progress.stage_made(assigned.job.trial, line["stage"], made.key, made.used)
            self.tracker.replay(assigned.job.trial, line["stage"], made.history)
        elif "before" in line:
            self.tracker.replay(assigned.job.trial, line["stage"], line["before"])
            if "extended_from" in line:
                begun = {name: line[name] for name in ("stage", "extended_from")}
                self.progress.reached(assigned.job.trial, begun)
        elif "note" in line:
            self.progress.note(f"{assigned.job.name}: {line['note']}")
        else:
            self.progress.reached(assigned.job.trial, line)
            if "epoch" in line:
                assigned.last = line
                self._tell_epoch(assigned.job, line)

    def _tell_epoch(self, job: Job, line: Mapping[str, Any]) -> None:
        stage = next(stage for stage in job.stages if stage.name == line["stage"])
        if stage.declared.schedule is not None:  # else they are rounds, of which no history is kept
            numbers = {name: value for name, value in line.items() if "/" in name}
            self.tracker.epoch(job.trial, stage.name, line["epoch"], numbers)

    def stopped(self, worker: str) -> None:
        """A scheduler lets the worker's trial end after what it reported last."""
        self.assigned[worker].stopped = True

    def ended(self, worker: str, last: Mapping[str, Any]) -> None:
        """The worker's trial has ended, with what it reported last.

        A trial that was hindered waits in the queue again. Raises GivenUp when that happens too often in a row.
        """
        assigned = self.assigned.pop(worker)
        self.spending.end(worker)
        if last.get("outcome") == "unfit":
            self._leave_out(last["node"], last["node_id"], last["reason"])
            self._back(assigned.job, 0)
            return
        if last.get("parts") and self._divide(assigned.job, last["parts"]):
            return
        assigned.last = last or assigned.last
        hindrance = _hindrance(assigned, last)
        if hindrance is None:
            self._record(assigned, "stopped" if assigned.stopped else "returned")
            self._close_settled()
            return
        self._back(assigned.job, len(self.queue))
        self.hindrances.met(assigned.job.trial, *hindrance)

    def died(self, worker: str, message: str, alive: Collection[str]) -> None:
        """The process of the worker has ended. message: what Ray says of it; alive: the nodes that are, by Ray's id.

        The trial goes on with another worker, unless it was over a limit or its workers died too often.
        """
        assigned = self.assigned.pop(worker)
        self.spending.end(worker)
        trial, name = assigned.job.trial, assigned.job.name
        if (stopped := struck(assigned.stack)) is not None:
            self._over_limit(assigned, stopped)
            return
        death = death_of(message, assigned.worker, alive)
        if not death.begun:
            self._back(assigned.job, len(self.queue))
            self.hindrances.met(trial, death.how, None)
            return
        whose = "node" if death.of_node else "own"
        self.lost[trial, whose] += 1
        times = self.lost[trial, whose]
        if whose == "own" and times >= WORKER_LIVES:
            self._fail(assigned, f"its worker died {times} times, at last {death.how}", death.log)
            return
        said = f"{death.how} (time {times}, which is not counted against it)"
        if whose == "own":
            said = f"its worker died ({times} of at most {WORKER_LIVES} times), {death.how}"
        self.progress.note(f"{name}: {said}; goes on with another worker")
        self._go_on(assigned)

    def _over_limit(self, assigned: Assigned, stopped: Struck) -> None:
        job, reason = assigned.job, stopped.reason
        if stopped.limit == "stall":
            self.lost[job.trial, "stall"] += 1
            if self.lost[job.trial, "stall"] < STALLS:
                path = self._keep_traceback(job, reason, {}, stopped.stack)
                self.progress.note(f"{job.name}: {reason}; goes on once more from its last saved state, stack in {path}")
                self._go_on(assigned)
                return
        self._fail(assigned, reason, stopped.stack)

    def _fail(self, assigned: Assigned, reason: str, traceback: str) -> None:
        assigned.last = {"outcome": "failed", "reason": reason, **({"traceback": traceback} if traceback else {})}
        if assigned.worker:
            assigned.last = {**assigned.last, f"{COMPUTED_BY}node": assigned.worker.node}
        self._record(assigned, "returned")
        self._close_settled()

    def _divide(self, job: Job, parts: int) -> bool:
        """Whether a trial that ran out of memory is tried again with its batches in more parts."""
        self.lost[job.trial, "memory"] += 1
        if self.lost[job.trial, "memory"] > self.oom_halvings or ACCUMULATION in job.configuration.parameters:
            return False
        self.progress.note(
            f"{job.name}: out of memory; tried again with {ACCUMULATION}={parts}, the same batch in smaller parts"
        )
        divided = self.sweep.divided(job, parts)
        if self.halving is not None:  # at further rungs, too
            jobs, whole = self.seeds[job.configuration.index], self.sweep.whole(divided)
            jobs[:] = [whole if one.trial == job.trial else one for one in jobs]
        self._back(divided, 0)
        return True

    def _go_on(self, assigned: Assigned) -> None:
        """The trial that was running goes on before others are begun."""
        self.going_on[assigned.job.trial] = assigned
        self._back(assigned.job, 0)

    def _back(self, job: Job, place: int) -> None:
        self.queue.insert(place, job)
        self.progress.trial_left(job.trial)

    def _leave_out(self, node: str, node_id: str, reason: str) -> None:
        if node_id not in self.left_out:
            self.left_out[node_id] = f"node {node} cannot run trials ({reason})"
            self.progress.note(f"{self.left_out[node_id]}: it is left out")

    def interrupt(self) -> None:
        """The sweep ends now: record what was running, or was to go on."""
        begun = [*self.assigned.values(), *self.going_on.values()]
        running = sorted((one for one in begun if one.started), key=lambda one: one.job.trial)
        for worker in self.assigned:
            self.spending.end(worker)
        self.assigned.clear()
        self.going_on.clear()
        for assigned in running:
            self._record(assigned, "interrupted")

    def settled(self, index: int) -> tuple[bool, float | None]:
        """Whether all seeds of a configuration have ended, and the mean objective over those that completed: where more confirm
        it, over these."""
        if index in self.climbing:
            return False, None
        if index in self.pruned:
            return True, None
        jobs = self.seeds[index]
        if any(job.trial in self.open for job in jobs):
            return False, None
        jobs = jobs[self.sweep.seeds :] or jobs
        reached = self._reached(jobs)
        return True, reached[0] if reached else None

    def _reached(self, jobs: Sequence[Job]) -> list[float] | None:
        """Each objective, the mean over those trials that completed with all of them; None where none did."""
        records = [self.sweep.record(self.ledger, job.trial) for job in jobs]
        found = []
        for record in records:
            if record is not None and record.outcome == "complete":
                values = [value_of(record, objective) for objective, _ in self.sweep.space.objectives]
                if None not in values:
                    found.append([value for value in values if value is not None])
        return [sum(each) / len(each) for each in zip(*found, strict=True)] if found else None

    def _fill_queue(self) -> None:
        """Queue the trials of every configuration that can be proposed by now."""
        while not self.exhausted:
            try:
                configuration = self.proposals.next()
            except Waiting:
                return
            except Exhausted:
                self.exhausted = self.at_end = True
                self.progress.total_changed(len(self.seeds) * self.sweep.seeds + self.sweep.confirming)
                break
            self.seeds[configuration.index] = []
            self._queue_seeds(configuration, self.sweep.jobs(configuration))
            self._close_settled()
        while not self.is_confirmed and not self.open and not self.unsettled:
            self._confirm()

    def _confirm(self) -> None:
        """Queue further seeds of what the search has found, once all that were asked for have ended. Raises SweepError."""
        assert self.confirming is not None
        wanted = {index: seeds for index, seeds in self.confirming(self.sweep).items() if index in self.seeds}
        more = {index: range(len(self.seeds[index]), seeds) for index, seeds in wanted.items()}
        if not any(more.values()):
            self.is_confirmed = True
            return
        if not self.is_confirming:
            self.progress.judged_anew()
        self.is_confirming = True
        positions = [index for index, seeds in more.items() if seeds]
        named = ", ".join(self.seeds[index][0].place for index in positions)
        self.progress.note(f"confirming {named}, with up to {max(wanted.values())} seeds")
        for index in positions:
            configuration = self.seeds[index][0].configuration
            self._queue_seeds(configuration, self.sweep.jobs(configuration, more[index]))
        self.progress.total_changed(sum(map(len, self.seeds.values())))
        self._close_settled()

    def _queue_seeds(self, configuration: Configuration, jobs: list[Job]) -> None:
        """Queue the seeds of a configuration that still have to run, and show those that have ended before."""
        self.seeds[configuration.index] += jobs
        for note in self.sweep.reuse.notes():
            self.progress.note(note)
        self.unsettled.add(configuration.index)
        for job in jobs:
            record = self.sweep.record(self.ledger, job.trial)
            if record is not None and self._stands(job, record):
                if record.trial in self.old:  # its code is the present one again
                    self.ledger.append(record.model_copy(update={"ended": _now()}))
                as_named = record.model_copy(update={"parameters": configuration.parameters})  # a ledger sorts them
                self.progress.trial_ended(as_named, value_of(record, self.sweep.space.objective))
                if record.outcome != "complete":
                    self._drop_stages(job)
            elif job.trial not in self.open:  # else another configuration that is the same experiment runs it already
                self.open.add(job.trial)
                if self.halving is None or self.is_confirming:
                    self.queue.append(job)
        if self.halving is not None and not self.is_confirming:
            self.halving.add(configuration.index, spared=configuration.row is not None)
            self._climb_to(configuration.index, 0)
            self._climb()

    def _stands(self, job: Job, record: Record) -> bool:
        """Whether the trial need not run again. Early versions recorded trials as complete of which they had not all stages."""
        if record.outcome == "complete":
            return all(stage.name in record.stages for stage in job.stages)
        if record.outcome == "pruned":
            return self.halving is None
        return record.outcome == "failed" and not self.retry_failed

    def _climb_to(self, index: int, rung: int) -> None:
        """Have a configuration reach a rung; where it is decided by seeds that are there already, say what they reached."""
        assert self.halving is not None
        self.climbing[index] = rung
        busy = {job.trial for job in (*self.queue, *(assigned.job for assigned in self.assigned.values()))}
        for number, job in enumerate(self._to_reach(index, rung)):
            self.open.add(job.trial)
            if job.trial not in busy:
                self.queue.insert(number if rung else len(self.queue), self.sweep.at_rung(job, rung))
        self._tell_rung(index)

    def _to_reach(self, index: int, rung: int) -> list[Job]:
        """Seeds of a configuration that have neither reached a rung nor ended before it."""
        assert self.halving is not None
        epochs, found = self.halving.rungs.epochs[rung], []
        for job in self.seeds[index]:
            record = self.ledger.get(job.trial)
            ended = record is not None and record.outcome == "failed" and (job.trial not in self.open)
            if not ended and (record is None or epochs not in record.rungs):
                found.append(job)
        return found

    def _tell_rung(self, index: int) -> None:
        """What a configuration has reached at its rung, once all its seeds have."""
        assert self.halving is not None
        rung = self.climbing[index]
        if self._to_reach(index, rung):
            return
        if rung == self.halving.rungs.top:
            del self.climbing[index]
            return
        self.halving.reached(index, rung, self._by_rungs(index).get(self.halving.rungs.epochs[rung]))

    def _by_rungs(self, index: int) -> dict[int, float]:
        """By epochs the objective of a configuration, the mean of the seeds that have reached them."""
        assert self.halving is not None
        records = [record for job in self.seeds[index] if (record := self.ledger.get(job.trial)) is not None]
        found = {epochs: [one.rungs[epochs] for one in records if epochs in one.rungs] for epochs in self.halving.rungs.epochs}
        return {epochs: sum(values) / len(values) for epochs, values in found.items() if values}

    def _climb(self) -> None:
        """Have those go on, or end, of which that can be decided by now."""
        if self.halving is None or self.is_confirming:
            return
        for index in sorted(self.climbing):
            self._tell_rung(index)
        while decisions := self.halving.decisions():
            for one in decisions:
                if one.fate == "promoted":
                    self._climb_to(one.index, one.rung + 1)
                    continue
                del self.climbing[one.index]
                if one.fate == "pruned":
                    self._prune(one)

    def _prune(self, decision: Decision) -> None:
        assert self.halving is not None
        index, rungs = decision.index, self.halving.rungs
        self.pruned[index] = {
            epochs: value for epochs, value in self._by_rungs(index).items() if epochs <= rungs.epochs[decision.rung]
        }
        reason = (
            f"{rungs.name(decision.rung)}: {decision.better} of the {decision.compared} before it there are as good or better"
        )
        for job in self.seeds[index]:
            record = self.ledger.get(job.trial)
            if record is None or record.outcome in ("failed", "complete"):
                continue
            if (record.outcome, record.reason) != ("pruned", reason):
                record = record.model_copy(update={"outcome": "pruned", "reason": reason, "ended": _now(), "history": {}})
                self._append(record, patient=True)
            self.open.discard(job.trial)
            for rung in range(decision.rung + 1, len(rungs.epochs)):
                self._drop_stages(self.sweep.at_rung(job, rung))
            self.tracker.finish(job.trial, "pruned", record.metrics, {"code": record.code}, {})
            self.progress.trial_ended(record, None)

    def _close_settled(self) -> None:
        self._climb()
        for index in sorted(self.unsettled):
            settled, value = self.settled(index)
            if settled:
                self.unsettled.remove(index)
                if not self.is_confirming:
                    of_rungs = self.pruned.get(index)
                    self.proposals.close(index, None if of_rungs else self._reached(self.seeds[index]), of_rungs)
                if value is not None:
                    configuration = self.seeds[index][0].configuration
                    self.progress.configuration_settled(configuration.parameters, configuration.row, value)

    def _record(self, assigned: Assigned, ending: Ending) -> None:
        job, last = self.sweep.whole(assigned.job), {} if ending == "interrupted" else assigned.last
        outcome, reason = verdict(ending, last)
        reason = without_secrets(reason) if reason else reason
        made = {stage.name: assigned.made[stage.name] for stage in job.stages if stage.name in assigned.made}
        record = Record(
            trial=job.trial,
            index=job.configuration.index,
            row=job.configuration.row,
            space=self.sweep.space.name,
            preset=self.sweep.preset,
            parameters=job.configuration.parameters,
            settings=flat(job.experiment.settings),
            departures=departures(job.experiment.settings, self.sweep.preset),
            data={role: describe(videos) for role, videos in job.data.items()},
            seed=job.experiment.seed,
            stages={name: one.key for name, one in made.items()},
            metrics=all_metrics(made),
            history={name: values for one in made.values() for name, values in one.history.items()},
            seconds={name: Seconds(used=one.used, saved=one.saved) for name, one in made.items()},
            extended={name: one.extended_from for name, one in made.items() if one.extended_from},
            outcome=outcome,
            reason=reason,
            code={name: one.code for name, one in made.items() if one.code},
            ended=_now(),
            versions=self.versions | _computed_by(last),
            command=self.sweep.command,
        )
        if "traceback" in last:
            self._keep_traceback(job, reason or "", record.versions, last["traceback"])
        if self.halving is not None:
            record = self._with_rungs(record, assigned.job.rung)
        self._append(record, patient=ending != "interrupted")
        if outcome == "complete" and assigned.job.rung not in (None, self._top):
            self.progress.trial_left(job.trial)
            return
        self.open.discard(job.trial)
        if outcome in ("failed", "pruned"):
            self._drop_stages(job)
        if outcome == "complete":
            for objective, _ in self.sweep.space.objectives:
                if value_of(record, objective) is None:
                    raise ObjectiveMissing(self.sweep.space, objective, record.metrics)
        store = self.sweep.runtime.store
        artifacts = {stage.name: store / stage.kind / made[stage.name].key for stage in job.stages if outcome == "complete"}
        self.tracker.finish(job.trial, outcome, record.metrics, {"code": record.code}, artifacts)
        self.progress.trial_ended(record, value_of(record, self.sweep.space.objective))

    @property
    def _top(self) -> int | None:
        return self.halving.rungs.top if self.halving else None

    def _with_rungs(self, record: Record, rung: int | None) -> Record:
        """What a trial has given once it has reached a rung, or could not, and at the rungs before. Raises ObjectiveMissing."""
        assert self.halving is not None
        before, rungs = self.ledger.get(record.trial), self.halving.rungs
        if before is not None:
            record = record.model_copy(update={"rungs": before.rungs, "seconds": _together(before, record)})
        if record.outcome != "complete" or rung is None:
            return record
        objective = self.sweep.space.objective
        if (value := value_of(record, objective)) is None:
            raise ObjectiveMissing(self.sweep.space, objective, record.metrics)
        reached = dict(sorted({**record.rungs, rungs.epochs[rung]: value}.items()))
        if rung == rungs.top:
            return record.model_copy(update={"rungs": reached})
        if before is not None and before.outcome == "complete":
            return before.model_copy(update={"rungs": reached})
        reason = f"{rungs.name(rung)}: whether it goes on is not decided"
        return record.model_copy(update={"rungs": reached, "outcome": "interrupted", "reason": reason})

    def _drop_stages(self, job: Job) -> None:
        """What only a trial that will not run needs is not waited for."""
        others = (*self.queue, *(assigned.job for assigned in self.assigned.values()))
        needed = {stage.key for other in others for stage in other.stages}
        self.progress.stages_dropped([(stage.kind, stage.key) for stage in job.stages if stage.key not in needed])

    def _append(self, record: Record, patient: bool) -> None:
        """Write the record; patient: while the disk is full, wait for room, as what the trial gave would be lost."""
        while True:
            try:
                self.ledger.append(record)
                return
            except OSError as error:
                if not patient:
                    self.progress.note(f"{self.ledger.path}: {error.strerror}; {record.trial} is not on record as interrupted")
                    return
                if error.errno not in NO_ROOM:
                    raise
                self.progress.note(f"paused: {self.ledger.path}: {error.strerror}; the record is written once there is room")
                time.sleep(RETRY_SECONDS)

    def _keep_traceback(self, job: Job, reason: str, versions: Mapping[str, str], traceback: str) -> Path:
        path = self.sweep.directory / ERRORS / f"{job.trial}.txt"
        head = f"{reason}\n\ntrial {job.trial}, seed {job.experiment.seed}, {_now()}\n{job.configuration.parameters}\n"
        try:
            path.parent.mkdir(exist_ok=True)
            write_atomically(path, without_secrets(f"{head}{dict(versions)}\n\n{traceback}"))
        except OSError as error:
            self.progress.note(f"{path} cannot be written: {error.strerror}")
        return path


def _together(before: Record, record: Record) -> dict[str, Seconds]:
    """By stage, what a trial has spent at its rungs so far; of what its last training took, that which others had spent."""
    if not before.rungs:
        return record.seconds
    found = dict(before.seconds)
    for name, now in record.seconds.items():
        used = now.used + (before.seconds[name].used if name in before.seconds else 0.0)
        found[name] = Seconds(used=used, saved=max(now.used + now.saved - used, 0.0))
    return found


def _courses(stages: Collection[Stage]) -> dict[str, set[int]]:
    """By course the epochs of trainings."""
    found: dict[str, set[int]] = {}
    for stage in stages:
        if stage.course is not None:
            found.setdefault(stage.course.name, set()).add(stage.course.epochs)
    return found


def _would_go_on(stage: Stage, courses: Mapping[str, set[int]], store: Store) -> bool:
    """Whether a stage would go on from one of these trainings, which has more epochs than those that are there."""
    course = stage.course if courses else None
    useful = [] if course is None else list(filter(course.goes_on_from, courses.get(course.name, ())))
    return bool(useful) and max(useful) > stage.goes_on_from(store)


def _is_missing(store: Store, stage: Stage) -> bool:
    """Whether other seeds do not share a stage and the store does not hold it."""
    return stage.declared.random and store.find(stage.kind, stage.key) is None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _computed_by(last: Mapping[str, Any]) -> dict[str, str]:
    return {name.removeprefix(COMPUTED_BY): value for name, value in last.items() if name.startswith(COMPUTED_BY)}


def _hindrance(assigned: Assigned, last: Mapping[str, Any]) -> tuple[str, int | None] | None:
    """What kept a trial from running, with its errno where it has one; None for a trial that came to an end of its own."""
    if last.get("outcome") == "hindered":
        return last["reason"], last.get("errno")
    if last.get("outcome") != "complete":
        return None
    for stage in assigned.job.stages:
        made = assigned.made.get(stage.name)
        if made is None or (made.key != stage.key and not stage.declared.of_device):
            node = _computed_by(last).get("node", "its node")
            differs = "did not tell of" if made is None else "made another"
            return f"{node} {differs} stage {stage.name}: its code or its data are not those of this sweep", None
    return None


def worker_versions() -> dict[str, str]:
    """What computes a trial's numbers."""
    packages = {package: metadata.version(package) for package in COMPUTING}
    return {"python": platform.python_version(), **packages, **decoder_versions()}


def _versions() -> dict[str, str]:
    """What schedules and records, and, unless a worker says otherwise, computes."""
    return {"protocol": PROTOCOL, **worker_versions(), **{package: metadata.version(package) for package in PACKAGES}}
