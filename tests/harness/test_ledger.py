"""The ledger: what is appended is read back, whatever a crash left of the last line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness.ledger import FILE_NAME, Ledger, LedgerError, Record, read_records


def record(trial: str = "a", **changes: Any) -> Record:
    values: dict[str, Any] = {
        "trial": trial,
        "index": 0,
        "row": None,
        "space": "temperatures",
        "preset": "demo",
        "parameters": {"auxskd.teacher_temperature": 0.02},
        "settings": {"recipe": "auxskd_pretext"},
        "data": {"downstream": {"dataset": "Fußgänger"}},
        "seed": 0,
        "stages": {"finetune": "k"},
        "metrics": {"validation/top1": 0.5},
        "seconds": {"finetune": {"used": 1.5, "saved": 0.0}},
        "outcome": "complete",
        "reason": None,
        "versions": {"python": "3.11.9"},
        "command": "python harness/sweep.py --space temperatures",
    }
    return Record.model_validate(values | changes)


def test_records_survive_reopening(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    assert ledger.records() == []
    records = [record("a", index=0), record("b", index=1, outcome="failed", reason="pretext: the loss became nan in epoch 2")]
    for one in records:
        ledger.append(one)
    assert Ledger(tmp_path).records() == ledger.records() == records
    assert Ledger(tmp_path).get("b") == records[1]
    assert Ledger(tmp_path).get("c") is None


def test_the_last_record_of_a_trial_counts(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for outcome in ("interrupted", "failed", "complete"):
        ledger.append(record("a", outcome=outcome))
    for opened in (ledger, Ledger(tmp_path)):
        assert [one.outcome for one in opened.records()] == ["complete"]
    assert len(read_records(tmp_path / FILE_NAME)) == 3, "nothing is overwritten"


def test_records_are_in_order_of_configuration_and_seed(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for trial, index, seed in (("d", 10, 1), ("c", 10, 0), ("b", 9, 0), ("a", 2, 3)):
        ledger.append(record(trial, index=index, seed=seed))
    assert [one.trial for one in Ledger(tmp_path).records()] == ["a", "b", "c", "d"]


def test_a_last_line_torn_at_any_byte_is_left_out_and_written_over(tmp_path: Path) -> None:
    """The names in a record need not be ASCII, so the tear may go through a character."""
    Ledger(tmp_path).append(record("a"))
    path = tmp_path / FILE_NAME
    first = path.read_bytes()
    Ledger(tmp_path).append(record("b", reason="größer"))
    whole = path.read_bytes()
    places = {len(first) + 1, len(whole) - 1, len(whole) // 2, *(i for i in range(len(first), len(whole)) if whole[i] > 127)}
    for end in sorted(places):
        path.write_bytes(whole[:end])
        assert [one.trial for one in read_records(path)] == ["a"], f"torn after {whole[:end][-8:]!r}"
        ledger = Ledger(tmp_path)
        ledger.append(record("c"))
        assert [one.trial for one in read_records(path)] == ["a", "c"]


def test_reading_leaves_the_file_alone(tmp_path: Path) -> None:
    """`--plan` and the reports open ledgers of sweeps that may be writing at that moment."""
    Ledger(tmp_path).append(record("a"))
    path = tmp_path / FILE_NAME
    torn = path.read_bytes() + b'{"trial": "b", '
    path.write_bytes(torn)
    assert [one.trial for one in Ledger(tmp_path).records()] == ["a"]
    assert path.read_bytes() == torn


@pytest.mark.parametrize("line", ["{}", "not json", "", json.dumps(record().model_dump() | {"extra": 1})])
def test_a_line_that_is_no_record_is_named(tmp_path: Path, line: str) -> None:
    good = record().model_dump_json()
    (tmp_path / FILE_NAME).write_text(f"{good}\n{line}\n{good}\n", encoding="utf-8")
    with pytest.raises(LedgerError, match=rf"{FILE_NAME}, line 2 is not a trial record"):
        Ledger(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [{"outcome": "done"}, {"index": -1}, {"seed": -1}, {"seconds": {"a": {"used": -1, "saved": 0}}}, {"metrics": {"a": "b"}}],
)
def test_records_are_validated(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        record(**changes)


def test_lines_are_plain_json_without_nan(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    with pytest.raises(ValueError, match="JSON"):
        ledger.append(record("a", metrics={"auxskd/loss": float("nan")}))
    ledger.append(record("b"))
    (line,) = (tmp_path / FILE_NAME).read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["trial"] == "b"


def test_keys_of_the_contract() -> None:
    """DESIGN's list, written down again: other tools rely on these names."""
    names = "trial space preset parameters settings data seed stages metrics seconds outcome reason versions command"
    assert set(names.split()) <= set(Record.model_fields)
