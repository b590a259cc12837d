"""States that a thread writes, as of a training on a GPU; here of tensors on the CPU, told that they are to be written so. No
GPU was asked."""

from __future__ import annotations

import errno
import functools
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from tests.trainables.stages.test_resuming import content, in_single_steps
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, with_values
from trainables.stages import saving
from trainables.stages.saving import Saving
from trainables.store import Store, StoreError, Workplace

CPU = torch.device("cpu")
SECONDS = 20.0


@pytest.fixture
def aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "is_aside", lambda device: True)


class Disk:
    """In the place of a workplace: takes a state when it is told to go on, or fails."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.taken: list[Mapping[str, Any]] = []
        self.begun, self.go, self.problem = threading.Semaphore(0), threading.Semaphore(0), problem

    def save_state(self, state: Mapping[str, Any]) -> None:
        self.begun.release()
        assert self.go.acquire(timeout=SECONDS)
        if self.problem is not None:
            raise self.problem
        self.taken.append(state)


def at(disk: Disk) -> Saving:
    return Saving(cast("Workplace", disk), CPU)


def test_what_is_written_is_as_it_was_when_it_was_saved(aside: None) -> None:
    """However its tensors and lists change meanwhile; tensors that are one are written as one, laid out as they were."""
    disk, weights = Disk(), torch.arange(24.0).reshape(1, 2, 3, 4).contiguous(memory_format=torch.channels_last)
    history = [{"epoch": 1}]
    with at(disk) as place:
        place.save(
            {"network": {"weights": weights, "tied": weights[:]}, "history": history, "best": None, "moments": (weights[0],)}
        )
        assert disk.begun.acquire(timeout=SECONDS)
        weights.zero_()
        history.append({"epoch": 2})
        disk.go.release()
    (state,) = disk.taken
    expected = torch.arange(24.0).reshape(1, 2, 3, 4)
    assert torch.equal(state["network"]["weights"], expected)
    assert state["network"]["weights"].is_contiguous(memory_format=torch.channels_last)
    assert state["network"]["tied"] is state["network"]["weights"]
    assert torch.equal(state["moments"][0], expected[0])
    assert (state["history"], state["best"]) == ([{"epoch": 1}], None)


def test_one_state_is_written_at_a_time(aside: None) -> None:
    disk = Disk()
    with at(disk) as place:
        place.save({"number": 1})
        second = threading.Thread(target=place.save, args=({"number": 2},))
        second.start()
        assert disk.begun.acquire(timeout=SECONDS)
        second.join(0.2)
        assert second.is_alive() and disk.taken == [], "the second waits for the first"
        disk.go.release(2)
        second.join(SECONDS)
    assert disk.taken == [{"number": 1}, {"number": 2}], "the context waits for the last"


def test_a_failure_is_raised_at_the_next_step_or_at_the_end(aside: None) -> None:
    """As the workplace raised it, once; where something else failed that is raised."""
    full = StoreError("no room", errno.ENOSPC)
    for ending, expected in (("step", full), ("save", full), ("end", full), ("other", ZeroDivisionError())):
        disk = Disk(full)
        disk.go.release(9)
        with pytest.raises(type(expected)) as raised, at(disk) as place:
            place.save({})
            if ending == "step":
                while True:
                    place.check()
            if ending == "save":
                place.save({})
            if ending == "other":
                raise expected
        assert raised.value is expected, ending
        assert place.writing is None


def test_on_a_cpu_a_state_is_on_the_disk_when_it_was_saved(tmp_path: Path) -> None:
    workplace = Workplace(Store(tmp_path), "finetune", "key")
    with Saving(workplace, CPU) as place:
        place.save({"weights": torch.ones(2)})
        state = Workplace(Store(tmp_path), "finetune", "key").load_state()
        assert state is not None and torch.equal(state["weights"], torch.ones(2))
        assert place.thread is None


@pytest.mark.parametrize(
    ("name", "values"),
    [("auxskd", {}), ("pretext", {"recipe": "pretext", "pretext.checkpoints": 2, "pretext.optimiser": "adam"})],
)
def test_a_stage_that_is_interrupted_after_every_step_ends_in_the_same_bytes(
    tiny: ExperimentSettings,
    runtime: Callable[..., Runtime],
    run_stage: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    values: dict[str, Any],
) -> None:
    """As one on the CPU that is not: momentum encoder and bank; kept checkpoints, an optimiser's numbers on the host."""
    settings, place = with_values(tiny, values), runtime(save_every=0)
    whole = run_stage(name, settings, place)
    monkeypatch.setattr(saving, "is_aside", lambda device: True)
    resumed, runs = in_single_steps(monkeypatch, functools.partial(run_stage, name, settings, place, "aside"))
    assert runs > 3
    assert content(resumed) == content(whole)
