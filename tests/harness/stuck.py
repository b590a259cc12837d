"""A trial for Ray workers whose experiment hangs, dies or completes, by the position of its configuration."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from harness import executor
from trainables.data import open_data
from trainables.pipeline import Expected, Experiment, Made, resolve
from trainables.runtime import Runtime
from trainables.stages.work import Report

PYTHON, NATIVE, TALKS, DIES, COMPLETES = range(5)


def stuck_trial(config: dict[str, Any]) -> None:
    """`run_trial` with another experiment."""

    def experiment(
        experiment: Experiment, runtime: Runtime, report: Report, expected: Mapping[str, Expected] | None = None
    ) -> None:
        report({"stage": "finetune"})
        report({"stage": "finetune", "epoch": 1, "epochs": 3})
        WAYS[config["index"]](report)
        for stage in resolve(experiment, open_data(experiment.settings.data, runtime)):
            report({"stage": stage.name, "made": asdict(Made(stage.key, {"validation/top1": 0.5}, {}, 0.0, 0.0))})

    executor.run_experiment = experiment  # type: ignore[assignment]
    executor.run_trial(config)


def wait_for_ever(report: Report) -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def hold_the_lock_of_python(report: Report) -> None:
    """Native code that never returns and lets no other thread run Python."""
    ctypes.PyDLL(None).sleep(1000)


def talk_for_ever(report: Report) -> None:
    while True:
        report({"stage": "finetune", "batch": 1, "batches": 2})
        time.sleep(0.1)


def die(report: Report) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def go_on(report: Report) -> None:
    """To the end."""


WAYS = {
    PYTHON: wait_for_ever,
    NATIVE: hold_the_lock_of_python,
    TALKS: talk_for_ever,
    DIES: die,
    COMPLETES: go_on,
}
