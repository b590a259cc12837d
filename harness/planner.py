"""What a sweep will run, what is already there, and what it will cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.cost import stage_seconds
from harness.ledger import Ledger
from harness.proposals import Exhausted
from harness.trials import Sweep

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
    experiments: tuple[tuple[str, dict[str, Any], bool], ...]
    notes: tuple[str, ...] = ()


def make_plan(sweep: Sweep, ledger: Ledger, concurrency: int) -> Plan:
    """Which stages the sweep needs and which the store holds. Starts and writes nothing.

    A proposal beyond the fixed rows depends on results; a random draw stands in for it, so its stages count as new. Raises
    SweepError where the sweep would be refused.
    """
    changes = sweep.changes()
    store, device = sweep.runtime.open_store(), sweep.runtime.torch_device()
    proposals = sweep.proposals(ledger, search="random" if sweep.search == "tpe" else None)
    stages: dict[str, float] = {}
    trials = complete = naive = 0
    experiments = []
    while True:
        try:
            configuration = proposals.next()
        except Exhausted:
            break
        proposals.close(configuration.index, None)
        known = configuration.row is not None or configuration.index in proposals.known or sweep.search == "grid"
        jobs = sweep.jobs(configuration)
        experiments.append((configuration.row or f"#{configuration.index}", configuration.parameters, known))
        for job in jobs:
            trials += 1
            record = sweep.record(ledger, job.trial)
            complete += record is not None and record.outcome == "complete"
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
        tuple(experiments),
        (*changes, *sweep.reuse.notes()),
    )
