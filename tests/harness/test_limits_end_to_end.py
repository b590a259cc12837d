"""A sweep in real Ray workers that hang, die and complete: each trial has its outcome, and keeps no other from its own."""

from __future__ import annotations

import platform
from collections.abc import Callable

import pytest

from harness.ledger import Ledger
from harness.trials import Sweep
from harness.watchdog import Limits
from tests.harness.stuck import COMPLETES, DIES, NATIVE, PYTHON, TALKS, WAYS, stuck_trial
from tests.harness.swept import swept

pytestmark = pytest.mark.slow


def test_what_hangs_is_stopped_what_dies_is_counted_and_the_others_complete(make_sweep: Callable[..., Sweep]) -> None:
    sweep = make_sweep(trials=len(WAYS))
    notes, _ = swept(sweep, stuck_trial, 3, limits=Limits(stage=6.0, stall=2.0))
    records = {record.index: record for record in Ledger(sweep.directory).records()}
    assert {index: record.outcome for index, record in records.items()} == {
        index: "complete" if index == COMPLETES else "failed" for index in WAYS
    }
    reasons = {index: record.reason or "" for index, record in records.items()}
    for index in (PYTHON, NATIVE):
        assert reasons[index] == "finetune (at epoch 1 of 3) made no progress for 2 s (--stall-timeout)"
    assert reasons[TALKS] == "finetune (at batch 1 of 2) was stopped after 6 s (--stage-timeout)"
    assert reasons[DIES].startswith("its worker died 5 times, at last killed (SIGKILL; ")
    assert f"on {platform.node()}, log /" in reasons[DIES]
    stacks = {
        index: (sweep.directory / "errors" / f"{records[index].trial}.txt").read_text() for index in (PYTHON, NATIVE, TALKS)
    }
    assert "in wait_for_ever" in stacks[PYTHON]
    assert "in hold_the_lock_of_python" in stacks[NATIVE]
    assert "in talk_for_ever" in stacks[TALKS]
    assert {path.suffix for path in (sweep.directory / "errors").iterdir()} == {".txt"}
    assert len([note for note in notes if "goes on once more from its last saved state" in note]) == 2
    assert len([note for note in notes if "its worker died" in note]) == 4
