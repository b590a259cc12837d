"""What a sweep will take of the disk, against what its trial then took."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import disk
from harness.disk import Needed, needed
from harness.ledger import Ledger
from harness.trials import Sweep
from trainables.pipeline import run_experiment
from trainables.store import Store

MakeSweep = Callable[..., Sweep]


def size_of(directory: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in directory.rglob(pattern))


def test_what_is_said_is_near_what_a_trial_takes(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(trials=1)
    (job,) = sweep.jobs(sweep.proposals(Ledger(sweep.directory)).next())
    store, runtime = sweep.runtime.open_store(), sweep.runtime
    said = needed([job], store, runtime.cache_bytes, 1)
    run_experiment(job.experiment, runtime, lambda line: None)
    weights = size_of(runtime.store, "weights*.safetensors")
    states = size_of(runtime.store, "state-*.safetensors")
    assert 0.5 * (weights + states) < said.stages < 2 * (weights + states)
    assert 0.5 * weights < needed([job], Store(sweep.directory), 1000, 1, keeps_states=False).stages < 6 * weights
    taken = size_of(runtime.cache, "*.npy")
    assert 0.9 * taken <= said.frames <= 1.2 * taken
    after = needed([job], store, runtime.cache_bytes, 1)
    assert (after.stages, after.frames) == (0, 0)


def test_the_cache_takes_no_more_than_its_bound(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(trials=1)
    jobs = sweep.jobs(sweep.proposals(Ledger(sweep.directory)).next())
    assert needed(jobs, sweep.runtime.open_store(), 1000, 1).frames == 1000


def test_too_little_room_is_told_from_enough() -> None:
    assert Needed(2_000_000, 1_000_000, 3_000_000).fits
    assert not Needed(2_000_000, 1_000_000, 2_999_999).fits
    assert (
        str(Needed(2_000_000, 1_000, 0)) == "disk: 2.0 MB for stages to run, up to 1.0 kB for decoded frames; 0 bytes are free"
    )


def test_a_network_that_no_memory_holds_is_counted_without_being_made(make_sweep: MakeSweep) -> None:
    """Its trial says that it is too large, with what would need less."""
    sweep = make_sweep({"backbone.width": 1_000_000}, trials=1)
    jobs = sweep.jobs(sweep.proposals(Ledger(sweep.directory)).next())
    assert needed(jobs, sweep.runtime.open_store(), 1000, 1).stages > 10**15


def test_a_network_that_cannot_be_made_counts_as_nothing(make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise KeyError("features")

    monkeypatch.setattr(disk, "make_network", fails)
    disk._network_bytes.cache_clear()
    sweep = make_sweep(trials=1)
    jobs = sweep.jobs(sweep.proposals(Ledger(sweep.directory)).next())
    assert needed(jobs, sweep.runtime.open_store(), 1000, 1).stages == 0
