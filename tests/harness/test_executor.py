"""The thin layer between Ray Tune and the bookkeeper: what Tune is told, and what it tells."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ray.tune.search import Searcher

from harness import executor
from harness.attention import Stop
from harness.executor import Listener, StudySearcher, clear_scratch, how_it_failed, new_scratch, run_trial
from harness.patience import Pulse
from harness.proposals import Exhausted
from trainables.pipeline import OtherCode
from trainables.presets import preset
from trainables.runtime import Runtime
from trainables.stages.guard import Collapsed
from trainables.stages.kind import StartError
from trainables.stages.training import NonFiniteLoss
from trainables.store import StoreError
from trainables.video.handed_on import OPEN_SETS
from trainables.video.videos import DataError


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


def test_tune_gets_trials_is_asked_to_wait_and_gets_the_end(tmp_path: Path) -> None:
    """A trial comes with the video sets that are handed on to its worker."""
    search = StudySearcher(Books({"trial": "a"}, None, {"trial": "b"}), Stop(), tmp_path, None)  # type: ignore[arg-type]
    handed_on = {"open_sets": OPEN_SETS.hand_on(tmp_path), "preflight": None}
    one, other = ({"trial": name, **handed_on} for name in "ab")
    assert [search.suggest(str(number)) for number in range(4)] == [one, None, other, Searcher.FINISHED]


def test_tune_tells_how_trials_ended(tmp_path: Path) -> None:
    """With the last report, or with nothing reported; an error is known to the listener only, which is told of it, too."""
    books = Books()
    search = StudySearcher(books, Stop(), tmp_path, None)  # type: ignore[arg-type]
    search.on_trial_complete("1", {"validation/top1": 0.4})
    search.on_trial_complete("2", None)
    search.on_trial_complete("3", {"validation/top1": 0.4}, error=True)
    assert books.told == [("ended", "1", {"validation/top1": 0.4}), ("ended", "2", {})]


def test_what_trials_say_is_passed_on_outcomes_are_not_and_a_scheduler_s_stop_is_told() -> None:
    """Tune marks a report as `done` when it stops the trial after it, and never shows callbacks the end of one that returns."""
    books = Books()
    listener = Listener(books, Stop(), Pulse("", print), {})  # type: ignore[arg-type]
    trial = SimpleNamespace(trial_id="7")
    epoch = {"stage": "auxskd", "epoch": 1, "done": False}
    listener.on_trial_start(0, [], trial)
    listener.on_trial_result(0, [], trial, epoch)
    listener.on_trial_result(0, [], trial, {"outcome": "complete", "done": False})
    listener.on_trial_result(0, [], trial, epoch | {"done": True})
    stopped = epoch | {"done": True}
    assert books.told == [("started", "7"), ("reported", "7", epoch), ("reported", "7", stopped), ("stopped", "7")]


def error_of(raised: Exception) -> Exception:
    try:
        raise raised
    except Exception as error:
        return error


@pytest.mark.parametrize(
    ("error", "begun", "outcome"),
    [
        (StoreError("cannot write to the store at /data: No space left on device"), True, "hindered"),
        (OSError(errno.EIO, "Input/output error"), True, "hindered"),
        (DataError("/data/UCF-101: no such directory"), False, "hindered"),
        (StartError("student.initialisation = imagenet: give the weights of AlexNet"), False, "failed"),
        (DataError("sorting: none of 3 videos has three frames"), True, "failed"),
        (NonFiniteLoss("pretext: the loss became nan in epoch 1"), True, "failed"),
        (Collapsed("pretext collapsed in epoch 1: its features are the same for all clips"), True, "failed"),
        (ZeroDivisionError("division by zero"), True, "failed"),
    ],
)
def test_what_surroundings_explain_is_no_outcome_of_a_trial(error: Exception, begun: bool, outcome: str) -> None:
    last = how_it_failed(error_of(error), begun)
    assert last["outcome"] == outcome
    assert "\n" not in last["reason"]


def test_a_reason_names_the_innermost_line_of_the_project_s_or_the_user_s_code() -> None:
    """Not the line of torch in which it ended."""
    try:
        torch.zeros(2, 3) @ torch.zeros(2, 3)
    except RuntimeError as error:
        last = how_it_failed(error, begun=True)
    assert "test_executor.py:" in last["reason"]
    assert "torch.zeros(2, 3) @" in last["traceback"]


def test_a_node_that_is_not_as_planned_says_so_before_it_looks_at_the_trial(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[dict[str, Any]] = []
    monkeypatch.setattr(executor.tune, "report", said.append)
    monkeypatch.setattr(executor, "this_node", lambda: {"node": "n1", "node_id": "1"})
    run_trial({"preflight": {"versions": {"torch": "0.1"}, "tokens": {}, "videos": {}}})
    last = said[-1]
    assert (last["outcome"], last["node"]) == ("unfit", "n1")
    assert last["reason"].startswith("it has torch ") and last["reason"].endswith(" and the sweep was planned with 0.1")


@pytest.mark.parametrize(
    ("preflight", "outcome"), [(None, "hindered"), ({"versions": {}, "tokens": {}, "videos": {}}, "unfit")]
)
def test_a_node_of_a_cluster_with_other_code_is_unfit_and_here_it_is_waited_for(
    preflight: dict[str, Any] | None,
    outcome: str,
    monkeypatch: pytest.MonkeyPatch,
    runtime: Callable[..., Runtime],
    tmp_path: Path,
) -> None:
    """Here somebody has edited it meanwhile, and may take that back."""

    def run(*arguments: Any) -> None:
        raise OtherCode("the code of stage pretext is not that with which the sweep was started")

    said: list[dict[str, Any]] = []
    monkeypatch.setattr(executor.tune, "report", said.append)
    monkeypatch.setattr(executor, "run_experiment", run)
    monkeypatch.setattr(executor, "this_node", lambda: {"node": "n1", "node_id": "1"})
    trial = {"settings": preset("demo").model_dump(), "seed": 0, "code": {}, "limits": {}, "stack": str(tmp_path / "stack")}
    run_trial({**trial, "runtime": runtime().as_config(), "open_sets": {}, "preflight": preflight})
    assert said[-1]["outcome"] == outcome
    assert said[-1]["reason"].startswith("the code of stage pretext is not")


def test_an_error_of_the_bookkeeper_ends_the_sweep_with_that_error(tmp_path: Path) -> None:
    """Ray would swallow it, and end much later with another."""
    stop = Stop()

    class Broken(Books):
        def ended(self, *arguments: Any) -> None:
            raise ValueError("of the bookkeeper")

    StudySearcher(Broken(), stop, tmp_path, None).on_trial_complete("1", {})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="of the bookkeeper"):
        Listener(Books(), stop, Pulse("", print), {}).on_step_begin(0, [])  # type: ignore[arg-type]


def test_what_a_killed_command_left_in_the_system_s_temporary_directory_goes_with_the_next_one_of_its_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, other = (new_scratch(tmp_path / "runs" / name) for name in ("mine", "other"))
    (left / "token").touch()
    clear_scratch(tmp_path / "runs" / "mine")
    assert list(tmp_path.iterdir()) == [other]
