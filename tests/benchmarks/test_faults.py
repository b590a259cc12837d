"""The modules of the fault suite in their short form find nothing on the program; and they see what they are to see."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from benchmarks.faults import appends, sweeps
from benchmarks.faults.__main__ import NAMES
from benchmarks.faults.figure import NotHere
from harness.ledger import Ledger

ROOT = Path(__file__).resolve().parents[2]
MODULES = {name: importlib.import_module(f"benchmarks.faults.{name}") for name in NAMES}
SEED = 7


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, module in MODULES.items() if module.SHORT is not None and name != "fuzz"])
def test_nothing_comes_of_it(name: str) -> None:
    """fuzz has a file of its own."""
    module = MODULES[name]
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
