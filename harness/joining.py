"""A process that joins a sweep that another one runs: it computes stages of its trials into the store, and records nothing.

The driver, which alone writes the ledger, finds those stages made when it comes to their trials. Leases keep the two from
computing the same, and each may die at any time. What the sweep proposes next is read from the driver's records, never from
results of this process.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from harness.bookkeeper import Assigned, Bookkeeper, Ending
from harness.driver import Driver, driver_of
from harness.ledger import Ledger, Record, value_of
from harness.signs import read_sign
from harness.trials import Job

LOOK_SECONDS = 2.0
"""Between two looks at the driver and its ledger."""


class DriverEnded(RuntimeError):
    """The process that runs the sweep has ended."""


class Reading(Ledger):
    """A ledger that another process writes."""

    def append(self, record: Record) -> None:
        """Nothing: the driver records."""


class Joined(Bookkeeper):
    """Hands out trials of a sweep that its driver has not come to yet. Its ledger is a `Reading` one, its tracker disabled."""

    is_driver = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.looked = -math.inf
        self.size = self._ledger_size()
        self.computed: set[str] = set()

    def clear_stacks(self) -> None:
        """Nothing: they are the driver's."""

    def next(self, worker: str) -> dict[str, Any] | None:
        """As of the Bookkeeper. Raises DriverEnded."""
        self._look()
        return super().next(worker)

    def reported(self, worker: str, line: Mapping[str, Any]) -> None:
        """As of the Bookkeeper. Raises DriverEnded."""
        self._look()
        super().reported(worker, line)

    def choose(self, queue: Sequence[Job], running: Collection[Job]) -> Job | None:
        """The last trial of the queue, as the driver takes the first, that would not wait for a stage being computed."""
        job = super().choose(queue[::-1], running)
        return None if job is None or self.is_held(job) else job

    def interrupt(self) -> None:
        """This process ends; what it computed stays in the store, unfinished stages too."""
        for assigned in self.assigned.values():
            self.progress.trial_left(assigned.job.trial)
        self.assigned.clear()

    def _record(self, assigned: Assigned, ending: Ending) -> None:
        super()._record(assigned, ending)
        self.computed.add(assigned.job.trial)
        if not any(job.trial == assigned.job.trial for job in self.trimmed):
            self.open.add(assigned.job.trial)  # until the driver has recorded it

    def _look(self) -> None:
        """Take note of what the driver has recorded since the last look, and of a search that it has ended. Raises
        DriverEnded."""
        now = time.monotonic()
        if now - self.looked < LOOK_SECONDS:
            return
        self.looked = now
        if (driver := driver_of(self.sweep.directory)) is None:
            raise DriverEnded(f"the process that ran sweep '{self.sweep.name}' has ended")
        if not self.is_confirming and not self.spending.search_over and self._has_ended_search(driver):
            self._trim()
        if (size := self._ledger_size()) == self.size:
            return
        before, self.ledger, self.size = self.ledger, Reading(self.sweep.directory), size
        for record in self.ledger.records():
            if record.trial in self.open and record != before.get(record.trial):
                self.open.remove(record.trial)
                self.queue = [job for job in self.queue if job.trial != record.trial]
                if record.trial not in self.computed:
                    self.progress.trial_ended(record, value_of(record, self.sweep.space.objective))
        self._close_settled()

    def _has_ended_search(self, driver: Driver) -> bool:
        sign = read_sign(self.sweep.directory)
        return sign is not None and sign.search_over and (sign.host, sign.pid) == (driver.host, driver.pid)

    def _ledger_size(self) -> int:
        return self.ledger.path.stat().st_size if self.ledger.path.exists() else 0
