"""The thin layer between Ray Tune and the bookkeeper: what Tune is told, and what it tells."""

from __future__ import annotations

import socket
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.search import Searcher

from harness.executor import Listener, StudySearcher, connect
from harness.proposals import Exhausted
from harness.trials import SweepError


class Books:
    """In the place of the bookkeeper: gives the configs in turn, None to wait, and notes what it is told."""

    def __init__(self, *configs: dict[str, Any] | None) -> None:
        self.configs = list(configs)
        self.told: list[tuple[Any, ...]] = []

    def next(self, worker: str) -> dict[str, Any] | None:
        if not self.configs:
            raise Exhausted
        return self.configs.pop(0)

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.told.append((name, *arguments))


def test_tune_gets_trials_is_asked_to_wait_and_gets_the_end() -> None:
    search = StudySearcher(Books({"trial": "a"}, None, {"trial": "b"}))  # type: ignore[arg-type]
    assert [search.suggest(str(number)) for number in range(4)] == [{"trial": "a"}, None, {"trial": "b"}, Searcher.FINISHED]


def test_tune_tells_how_trials_ended() -> None:
    """With the last report, with nothing reported, and without a result when its worker died too often."""
    books = Books()
    search = StudySearcher(books)  # type: ignore[arg-type]
    search.on_trial_complete("1", {"validation/top1": 0.4})
    search.on_trial_complete("2", None)
    search.on_trial_complete("3", {"validation/top1": 0.4}, error=True)
    assert books.told == [("ended", "1", {"validation/top1": 0.4}), ("ended", "2", {}), ("ended", "3", None)]


def test_epochs_are_passed_on_outcomes_are_not_and_a_scheduler_s_stop_is_told() -> None:
    """Tune marks a report as `done` when it stops the trial after it, and never shows callbacks the end of one that returns."""
    books = Books()
    listener = Listener(books, threading.Event())  # type: ignore[arg-type]
    trial = SimpleNamespace(trial_id="7")
    epoch = {"stage": "auxskd", "epoch": 1, "done": False}
    listener.on_trial_start(0, [], trial)
    listener.on_trial_result(0, [], trial, epoch)
    listener.on_trial_result(0, [], trial, {"outcome": "complete", "done": False})
    listener.on_trial_result(0, [], trial, epoch | {"done": True})
    stopped = epoch | {"done": True}
    assert books.told == [("started", "7"), ("epoch", "7", epoch), ("epoch", "7", stopped), ("stopped", "7")]


@pytest.mark.parametrize("address", ["nonsense", "", "ray://127.0.0.1:1", "127.0.0.1:99999", "nowhere.invalid:6379", "closed"])
def test_an_address_without_a_cluster_is_refused_at_once(address: str) -> None:
    """Where nothing listens Ray itself would try for minutes."""
    if address == "closed":
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{bound.getsockname()[1]}"
    with pytest.raises(SweepError, match=f"--address {address}: no Ray cluster there: .") as error:
        connect(address, concurrency=1, gpus_per_trial=0)
    assert "\n" not in str(error.value)
