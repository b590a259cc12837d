"""Batches that are read ahead, or by processes, are the same in the same order, and errors come in their place."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings
from trainables.stages.work import Training, Work
from trainables.video.ahead import brought, read_ahead
from trainables.video.dataset import Batch

CPU = torch.device("cpu")


def batch(number: int) -> Batch:
    return {"index": torch.tensor([number]), "wrapped": torch.tensor([0])}


def numbers(batches: Iterator[Batch]) -> Iterator[int]:
    return (int(one["index"]) for one in batches)


def test_one_batch_is_read_while_another_is_used() -> None:
    """By another thread, and never two: what is read is noted before the batch is handed over."""
    read: list[tuple[int, bool]] = []
    second = threading.Event()

    def batches() -> Iterator[Batch]:
        for number in range(4):
            read.append((number, threading.current_thread() is threading.main_thread()))
            if number == 1:
                second.set()
            yield batch(number)

    coming = numbers(read_ahead(batches()))
    assert next(coming) == 0
    assert second.wait(10), "the second is read though nobody asks for it"
    assert len(read) == 2
    assert list(coming) == [1, 2, 3]
    assert read == [(number, False) for number in range(4)]


def test_an_error_comes_where_its_batch_would() -> None:
    def batches() -> Iterator[Batch]:
        yield batch(0)
        raise OSError("gone")

    coming = numbers(read_ahead(batches()))
    assert next(coming) == 0
    with pytest.raises(OSError, match="gone"):
        next(coming)


def test_whoever_stops_leaves_no_thread() -> None:
    before = threading.active_count()
    coming = read_ahead(iter([batch(number) for number in range(9)]))
    next(coming)
    coming.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_what_is_decided_on_the_host_stays_there() -> None:
    moved = next(brought(iter([batch(3)]), torch.device("meta")))
    assert {name: value.device.type for name, value in moved.items()} == {"index": "meta", "wrapped": "cpu"}


@pytest.mark.parametrize("changes", [{"spare_core": True}, {"workers": 2}])
def test_a_stage_gets_the_same_batches_whoever_reads_them(
    tiny: ExperimentSettings,
    runtime: Callable[..., Runtime],
    work_of: Callable[[str, ExperimentSettings, Runtime], Work],
    changes: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In training, and in validation, whose loaders have as many processes."""
    scratch = tiny.model_copy(update={"recipe": "scratch"})
    found = []
    for place in (runtime(), runtime(**changes)):
        work = work_of("finetune", scratch, place)
        training = _training(work)
        assert training.validation is not None
        assert (training.loader.workers, training.validation.workers) == (place.workers, place.workers)
        found.append([*work.batches(training.loader, 1), *work.batches(training.validation)])
    first, second = found
    assert len(first) == len(second) > 2
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


def _training(work: Work) -> Training:
    from trainables.stages.finetune import KIND

    training = KIND.run(work)
    assert isinstance(training, Training)
    return training


def test_a_trial_asks_for_the_cores_that_it_keeps_busy(tmp_path: Path) -> None:
    cores = [
        Runtime(tmp_path, tmp_path, workers=workers, spare_core=spare).cores_of_a_trial
        for workers, spare in ((0, False), (0, True), (3, False), (3, True))
    ]
    assert cores == [1, 2, 4, 4]
