"""A stage's work: how far it is, reported now and then, and loader processes that die."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from trainables.data import open_data
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings
from trainables.stages import work as work_module
from trainables.stages.supervised import training_clips
from trainables.stages.work import Pace, Work
from trainables.video.dataset import LoaderDied
from trainables.video.videos import VideoSet


class Clock:
    """In the place of time.monotonic: moves when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(work_module.time, "monotonic", lambda: self.now)


class Dying:
    """In the place of a ClipLoader: five batches; it dies before the batch `at`, so many times."""

    def __init__(self, at: int = 0, times: int = 0) -> None:
        self.at, self.times = at, times
        self.asked: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return 5

    def epoch(self, epoch: int, start: int = 0) -> Iterator[dict[str, Tensor]]:
        self.asked.append((epoch, start))
        for number in range(start, 5):
            if number >= self.at and self.times > 0:
                self.times -= 1
                raise LoaderDied("evaluate: DataLoader worker (pid 7) is killed by signal: Killed.")
            yield {"number": torch.tensor(number)}


@pytest.fixture
def work(tmp_path: Path) -> Callable[..., Work]:
    """Makes the work of a stage whose reports go to a list."""

    def make(lines: list[dict[str, Any]]) -> Work:
        videos, runtime = VideoSet("none", (), (), (), ()), Runtime(tmp_path, tmp_path, device="cpu")
        return Work("evaluate", ExperimentSettings(), 0, videos, {}, runtime, report=lines.append)

    return make


def test_a_trial_touches_its_own_device_alone(
    tiny: ExperimentSettings, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine with a GPU a trial on the CPU neither pins memory for it nor asks for its random numbers."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    asked: list[list[torch.device]] = []
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices=None: asked.append(devices) or contextlib.nullcontext())
    for device, forked in (("cpu", []), ("cuda:1", [torch.device("cuda:1")])):
        place = Runtime(tmp_path, clips, device=device)
        videos = open_data(tiny.data, place)["pretraining"]
        work = Work("finetune", tiny, 0, videos, {}, place)
        for training in (True, False):
            loader = work.loader(training_clips(work, "train"), 4, training=training)
            assert loader.pinned == loader.loader.pin_memory == (device != "cpu")
        with work.seeded("purpose"):
            assert asked == [forked]
        asked.clear()


def test_a_pace_is_due_once_in_so_many_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    pace, due = Pace(25), []
    for _ in range(12):
        clock.now += 10
        due.append(pace.is_due())
    assert [number for number, is_due in enumerate(due) if is_due] == [2, 5, 8, 11]


def test_how_far_a_stage_is_is_reported_every_ten_seconds_at_most(
    work: Callable[..., Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four seconds a batch, over several epochs of five: after the third batch in each case, which is the last but two, then
    the first of the next epoch, ...; without metrics and without `epoch`, which would be taken for an epoch's end."""
    clock, lines = Clock(monkeypatch), []
    made = work(lines)
    for epoch in range(3):
        for _ in made.batches(Dying(), epoch):  # type: ignore[arg-type]
            clock.now += 4
    assert [line["batch"] for line in lines] == [3, 1, 4, 2, 5]
    assert all(line == {"stage": "evaluate", "batch": line["batch"], "batches": 5} for line in lines)


def test_a_loader_whose_processes_died_goes_on_with_the_same_batch(work: Callable[..., Work]) -> None:
    """Three times in a row; the count begins anew with every batch that was read."""
    loader = Dying(at=2, times=3)
    made = work([])
    assert [int(batch["number"]) for batch in made.batches(loader, 4, 1)] == [1, 2, 3, 4]  # type: ignore[arg-type]
    assert loader.asked == [(4, 1), (4, 2), (4, 2), (4, 2)]


def test_a_loader_that_dies_time_after_time_names_stage_and_batch(work: Callable[..., Work]) -> None:
    says = r"^evaluate: the processes that load clips died 4 times in a row at batch 3 of 5, last .*killed by signal.*--workers"
    with pytest.raises(LoaderDied, match=says):
        list(work([]).batches(Dying(at=2, times=4)))  # type: ignore[arg-type]
