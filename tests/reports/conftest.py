"""Sample ledgers and constructed trial records for the tests of reports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.ledger import Record

SAMPLES = Path(__file__).parent / "data"
GOLDEN = Path(__file__).parent / "golden"


def _data_set(name: str) -> dict[str, Any]:
    counts = {"classes": 101, "train": 7600, "validation": 1900, "test": 3700, "missing": 0, "skipped": {}}
    return {"dataset": name, "fingerprint": f"of {name}", **counts}


@pytest.fixture
def samples() -> Path:
    """Runs directory of three sample sweeps; their records are made up for tests."""
    return SAMPLES


@pytest.fixture
def golden() -> Path:
    """Written by `python reports/tables.py --runs-dir tests/reports/data --out tests/reports/golden --format ...`."""
    return GOLDEN


@pytest.fixture
def make_trial() -> Callable[..., Record]:
    """A trial of auxSKD's Table 3, given its temperatures, seed and top-1 in percent (None: it failed).

    `settings` and `downstream` add to what is there, any other field of a record is replaced.
    """

    def make(teacher: float, student: float, seed: int, top1: float | None, **changes: Any) -> Record:
        settings = {
            "recipe": "auxskd_pretext",
            "data.pretraining": "kinetics100",
            "data.downstream": "ucf101",
            "backbone.family": "r2plus1d",
            "backbone.depth": 18,
            "backbone.width": 64,
            **changes.pop("settings", {}),
            "auxskd.teacher_temperature": teacher,
            "auxskd.student_temperature": student,
        }
        values: dict[str, Any] = {
            "trial": f"{teacher}-{student}-{seed}",
            "index": 0,
            "row": None,
            "space": "temperatures",
            "preset": "paper",
            "parameters": {},
            "settings": settings,
            "data": {
                "pretraining": _data_set("kinetics100"),
                "downstream": {**_data_set("ucf101"), **changes.pop("downstream", {})},
            },
            "seed": seed,
            "stages": {},
            "metrics": {} if top1 is None else {"test/top1": top1 / 100},
            "seconds": {},
            "outcome": "failed" if top1 is None else "complete",
            "reason": "loss is not finite" if top1 is None else None,
            "versions": {"protocol": "1"},
            "command": "made up for a test",
        }
        return Record.model_validate({**values, **changes})

    return make
