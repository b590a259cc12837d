"""The modules of the fault suite in their short form find nothing on the program; and they see what they are to see."""

from __future__ import annotations

import importlib
import random
import re
import shutil
from pathlib import Path

import pytest

from benchmarks.faults import appends, damage, io_errors, sweeps
from benchmarks.faults.__main__ import NAMES
from benchmarks.faults.figure import NotHere
from harness.ledger import Ledger
from trainables import checksums
from trainables.store import artifact

ROOT = Path(__file__).resolve().parents[2]
MODULES = {name: importlib.import_module(f"benchmarks.faults.{name}") for name in NAMES}
SEED = 7


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, module in MODULES.items() if module.SHORT is not None and name != "fuzz"])
def test_nothing_comes_of_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """fuzz has a file of its own."""
    module = MODULES[name]
    monkeypatch.setattr(appends, "REFUSED_SECONDS", 10.0)  # how fast a machine is, is no property
    try:
        figures = module.run(module.SHORT, SEED)
    except NotHere as reason:
        pytest.skip(str(reason))
    assert figures
    assert [figure for figure in figures if figure.met is False] == []


def test_every_module_is_on_the_page_with_a_promise_and_a_command() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    typed = set(re.findall(r"python -m benchmarks\.faults (\w+) --rounds \d+ --seed \d+", page))
    assert typed == set(NAMES)


def test_lost_records_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two writers each writes three records, of which one leaves out its second."""
    monkeypatch.setattr(appends, "WRITERS", 2)
    append = Ledger.append
    monkeypatch.setattr(Ledger, "append", lambda self, record: record.trial == "1-1" or append(self, record))
    assert appends.lost_records(tmp_path, 3) == 1


def test_differences_are_seen() -> None:
    expected, found = {"a": b"1", "b": b"2", "c": b"3"}, {"b": b"2", "c": b"4", "d": b"5"}
    assert sweeps.differences(expected, found) == ["a: missing", "d: not in the other", "c: differs"]


@pytest.mark.slow
def test_damage_that_is_used_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a program that compares no contents of what is stored, of which a bit of the weights is flipped."""
    sweeps.prepare()
    at = damage.moments(tmp_path)
    monkeypatch.setattr(damage, "PLACES", {"store": ("complete", lambda runs, chance: _weights(runs))})
    monkeypatch.setattr(damage, "HARMS", {"flipped": damage.flip})
    assert damage.attempt(at["complete"], "store", tmp_path / "1", random.Random(1))[0] == "healed"
    monkeypatch.setattr(checksums, "check_content", lambda path, entry: None)
    monkeypatch.setattr(artifact, "check_content", lambda path, entry: None)
    fate, what = damage.attempt(at["complete"], "store", tmp_path / "2", random.Random(1))
    assert fate == "used"
    assert "weights.safetensors flipped: [" in what


def _weights(runs: Path) -> Path:
    """Those of a pretraining that everything after it is still to start from."""
    shutil.rmtree(runs / sweeps.NAME)
    for path in runs.glob("store/*"):
        if path.name not in ("auxskd", "pretext"):
            shutil.rmtree(path)
    return next(runs.glob("store/pretext/*/weights.safetensors"))


def test_calls_below_a_place_fail_and_no_others(tmp_path: Path) -> None:
    failure = io_errors.Failure(tmp_path / "store", 5, 1, False, tmp_path)
    concerned = [tmp_path / "store", tmp_path / "store" / "a" / "b", tmp_path / ".store.x1.new"]
    assert [failure.concerns(path) for path in concerned] == [True] * 3
    assert not any(failure.concerns(path) for path in (tmp_path / "stored", tmp_path, 3, tmp_path / "cache"))
