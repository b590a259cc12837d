"""What a sweep will run, what is already there, and what it will cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.cost import stage_seconds
from harness.disk import Needed, needed
from harness.ledger import Ledger
from harness.proposals import Configuration, Exhausted
from harness.trials import Job, Sweep

OVERHEAD = 1.3
"""Expected hours over the bare networks' hours: decoding, checkpoints, start-up."""


@dataclass(frozen=True)
class Plan:
    """Counts of a sweep before it runs. hours: on this machine, with `concurrency` trials at once.

    notes: which configurations the space has gained or lost, and what of the store is by other code, in words.
    """

    trials: int
    trials_complete: int
    stages_to_run: int
    stages_done: int
    stages_naive: int
    hours_low: float
    hours_expected: float
    disk: Needed
    experiments: tuple[tuple[str, dict[str, Any], bool], ...]
    notes: tuple[str, ...] = ()


def make_plan(sweep: Sweep, ledger: Ledger, concurrency: int, cache_bytes: int) -> Plan:
    """Which stages the sweep needs and which the store holds. Starts and writes nothing.

    cache_bytes: how large the cache of decoded frames may get.

    A proposal beyond the fixed rows depends on results; a random draw stands in for it, so its stages count as new. Raises
    SweepError where the sweep would be refused.
    """
    changes = sweep.changes()
    store, device = sweep.runtime.open_store(), sweep.runtime.torch_device()
    stages: dict[str, float] = {}
    trials = complete = naive = 0
    experiments, missing = [], []
    for configuration, known in _configurations(sweep, ledger):
        experiments.append((configuration.row or f"#{configuration.index}", configuration.parameters, known))
        for job in sweep.jobs(configuration):
            trials += 1
            if _is_complete(sweep, ledger, job):
                complete += 1
            else:
                missing.append(job)
            for stage in job.stages:
                naive += 1
                if stage.key not in stages:
                    done = store.find(stage.kind, stage.key) is not None
                    settings = job.experiment.settings
                    stages[stage.key] = 0.0 if done else stage_seconds(stage, settings, job.data[stage.data], device)
    to_run = sum(seconds > 0 for seconds in stages.values())
    low = sum(stages.values()) / 3600 / concurrency
    return Plan(
        trials,
        complete,
        to_run,
        len(stages) - to_run,
        naive,
        low,
        low * OVERHEAD,
        needed(missing, store, cache_bytes, concurrency),
        tuple(experiments),
        (*changes, *sweep.reuse.notes()),
    )


def disk_needed(sweep: Sweep, ledger: Ledger, concurrency: int) -> Needed:
    """What the trials that are not complete will take of the disk."""
    jobs = (job for configuration, _ in _configurations(sweep, ledger) for job in sweep.jobs(configuration))
    missing = (job for job in jobs if not _is_complete(sweep, ledger, job))
    return needed(missing, sweep.runtime.open_store(), sweep.runtime.cache_bytes, concurrency)


def _is_complete(sweep: Sweep, ledger: Ledger, job: Job) -> bool:
    record = sweep.record(ledger, job.trial)
    return record is not None and record.outcome == "complete"


def _configurations(sweep: Sweep, ledger: Ledger) -> Iterator[tuple[Configuration, bool]]:
    """All that the sweep would run, and whether it will run just that: a random draw stands in for what depends on results."""
    proposals = sweep.proposals(ledger, search="random" if sweep.search == "tpe" else None)
    while True:
        try:
            configuration = proposals.next()
        except Exhausted:
            return
        proposals.close(configuration.index, None)
        yield configuration, configuration.row is not None or configuration.index in proposals.known or sweep.search == "grid"
