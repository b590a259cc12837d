"""Sample ledgers and constructed trial records for the tests of reports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.ledger import Record
from search_spaces.papers import PublishedRow

SAMPLES = Path(__file__).parent / "data"
GOLDEN = Path(__file__).parent / "golden"


def describe(name: str, **changes: Any) -> dict[str, Any]:
    """What a record says of a data set."""
    counts = {"classes": 101, "train": 7600, "validation": 1900, "test": 3700, "missing": 0, "skipped": {}}
    return {"dataset": name, "fingerprint": f"of {name}", **counts, **changes}


@pytest.fixture
def samples() -> Path:
    """Runs directory of sample sweeps; their records are made up for tests."""
    return SAMPLES


@pytest.fixture
def searched() -> Path:
    """Runs directory of a sample sweep with what a search proposes, and failed, pruned and interrupted trials; made up."""
    return SAMPLES.parent / "search"


@pytest.fixture
def golden() -> Path:
    """Written by `python reports/tables.py ID ... --runs-dir tests/reports/data --out tests/reports/golden --format ...`, for
    auxSKD's tables, graph/table2 and graph/compression in every format, for auxskd/figure4-left and graph/table1 in Markdown.
    """
    return GOLDEN


@pytest.fixture
def make_trial() -> Callable[..., Record]:
    """A trial of auxSKD's Table 3, given its temperatures, seed and top-1 in percent (None: it failed).

    `settings` and `downstream` add to what is there, any other field of a record is replaced.
    """

    def make(teacher: float, student: float, seed: int, top1: float | None, **changes: Any) -> Record:
        settings = {
            "recipe": "auxskd_pretext",
            "pretext.task": "vspp",
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
                "pretraining": describe("kinetics100"),
                "downstream": {**describe("ucf101"), **changes.pop("downstream", {})},
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


@pytest.fixture
def make_trial_of_row() -> Callable[..., Record]:
    """A trial of a row of a table, given what its settings hold beside the row's, its seed and its top-1 in percent by set.

    Its data sets are the ones that its settings ask for, except for those in `versions_of` (name: changes of the description).
    """

    def make(row: PublishedRow, seed: int, top1: dict[str, float], versions_of: Any = None, **changes: Any) -> Record:
        versions_of = versions_of or {}
        sets = list(top1)
        settings = {
            "data.pretraining": "kinetics100",
            "data.downstream": "+".join(sets),
            "backbone.family": "r2plus1d",
            "backbone.depth": 18,
            "backbone.width": 64,
            **row.parameters,
            **changes.pop("settings", {}),
        }

        def described(name: str) -> dict[str, Any]:
            return describe(name, **versions_of.get(name, {}))

        roles = ["downstream"] if len(sets) == 1 else [f"downstream/{name}" for name in sets]
        metrics = {"test/top1": sum(top1.values()) / len(sets) / 100}
        if len(sets) > 1:
            metrics |= {f"test/top1/{name}": value / 100 for name, value in top1.items()}
        values: dict[str, Any] = {
            "trial": f"{row.label} {seed} {sorted(top1.items())} {sorted(versions_of.items())}",
            "index": 0,
            "row": None,
            "space": "made up",
            "preset": "paper",
            "parameters": {},
            "settings": settings,
            "data": {
                "pretraining": described(settings["data.pretraining"]),
                **{role: described(name) for role, name in zip(roles, sets, strict=True)},
            },
            "seed": seed,
            "stages": {},
            "metrics": metrics,
            "seconds": {},
            "outcome": "complete",
            "reason": None,
            "versions": {"protocol": "1"},
            "command": "made up for a test",
        }
        return Record.model_validate({**values, **changes})

    return make
