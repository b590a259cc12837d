"""A sweep run by Ray in a process of its own: a second session of Ray in one process is not sound."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from harness import executor
from harness.bookkeeper import Bookkeeper
from harness.executor import run_trials
from harness.hindrances import GivenUp
from harness.ledger import Ledger
from harness.trials import Sweep
from harness.watchdog import Limits
from tests.harness.test_bookkeeper import Witness

Trainable = Callable[[dict[str, Any]], None]


def swept(
    sweep: Sweep, trainable: Trainable, at_once: int, address: str | None = None, limits: Limits | None = None
) -> tuple[list[str], str]:
    """The notes, and why it gave up if it did."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_swept, sweep, trainable, at_once, address, limits or Limits()).result()


def _swept(sweep: Sweep, trainable: Trainable, at_once: int, address: str | None, limits: Limits) -> tuple[list[str], str]:
    executor.NO_NODE_SECONDS = 0.0
    sweep.settle_identity()
    progress, gave_up = Witness(), ""
    books = Bookkeeper(sweep, Ledger(sweep.directory), Witness(), progress, False, limits)  # type: ignore[arg-type]
    try:
        run_trials(books, concurrency=at_once, gpus_per_trial=0, address=address, trainable=trainable)
    except GivenUp as error:
        gave_up = str(error)
    return [note for (note,) in progress.of("note")], gave_up
