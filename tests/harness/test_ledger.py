"""The ledger: what is appended is read back, whatever a crash left of the last line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness.ledger import (
    FILE_NAME,
    SCHEMA,
    SET_ASIDE,
    Ledger,
    LedgerError,
    Record,
    line_of,
    read_records,
    repair,
    standing,
    superseded,
)


def record(trial: str = "a", **changes: Any) -> Record:
    values: dict[str, Any] = {
        "schema_version": SCHEMA,
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


def written(trial: str = "a", **changes: Any) -> str:
    """The line of a record, without its line break."""
    return line_of(record(trial, **changes)).decode().rstrip()


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
    """The names in a record need not be ASCII, so the tear may go through a character. Only a lost line break is no tear."""
    Ledger(tmp_path).append(record("a"))
    path = tmp_path / FILE_NAME
    first = path.read_bytes()
    Ledger(tmp_path).append(record("b", reason="größer"))
    whole = path.read_bytes()
    places = {
        len(first) + 1,
        len(whole) - 2,
        len(whole) // 2,
        *(i for i in range(len(first), len(whole)) if whole[i] > 127),
    }
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
    good = written()
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


def test_a_last_record_without_its_line_break_counts_and_is_completed(tmp_path: Path) -> None:
    """Editors leave it so."""
    Ledger(tmp_path).append(record("a"))
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    assert [one.trial for one in read_records(path)] == ["a"]
    Ledger(tmp_path).append(record("b"))
    assert [one.trial for one in read_records(path)] == ["a", "b"]


WRITER = """
import sys
from pathlib import Path
from harness.ledger import Ledger, Record
record = Record.model_validate_json(sys.stdin.read())
ledger = Ledger(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    ledger.append(record.model_copy(update={"trial": f"{sys.argv[2]}-{number}"}))
"""


def test_no_record_is_lost_to_other_writers(tmp_path: Path) -> None:
    writers, each = 6, 60
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    root = Path(__file__).resolve().parents[2]
    started = [
        subprocess.Popen([*command, str(writer), str(each)], stdin=subprocess.PIPE, cwd=root) for writer in range(writers)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write(record().model_dump_json().encode())
        process.stdin.close()
    assert [process.wait() for process in started] == [0] * writers
    trials = [one.trial for one in read_records(tmp_path / FILE_NAME)]
    assert sorted(trials) == sorted(f"{writer}-{number}" for writer in range(writers) for number in range(each))


def test_repair_sets_lines_aside_that_are_no_records(tmp_path: Path) -> None:
    """And nothing else: neither other records nor those of a newer version, which alone can read them."""
    good = written("a")
    newer = json.dumps(record("n").model_dump() | {"schema_version": SCHEMA + 1, "unheard_of": 1})
    path = tmp_path / FILE_NAME
    path.write_text(f"{good}\n{good[:40]}\n{newer}\n{{}}\n{good}\n", encoding="utf-8")
    said = repair(path)
    assert [line.split(" is not")[0] for line in said] == [f"{path}, line 2", f"{path}, line 4"]
    assert path.read_text(encoding="utf-8") == f"{good}\n{newer}\n{good}\n"
    assert (tmp_path / SET_ASIDE).read_text() == f"{good[:40]}\n{{}}\n"
    assert repair(path) == []


def test_a_record_of_a_newer_version_says_so(tmp_path: Path) -> None:
    newer = record().model_dump() | {"schema_version": SCHEMA + 1, "unheard_of": 1}
    (tmp_path / FILE_NAME).write_text(json.dumps(newer) + "\n")
    with pytest.raises(LedgerError, match="line 1 was written by a newer version of auxgraph"):
        Ledger(tmp_path)


def test_histories_lie_beside_the_ledger(tmp_path: Path) -> None:
    """Lines stay short; records of before, which hold their own, are read as they are."""
    history = {"pretext/loss": [3.0, 2.0, 1.0]}
    Ledger(tmp_path).append(record("a", history=history))
    path = tmp_path / FILE_NAME
    assert "history" not in json.loads(path.read_text())
    old = record("b", schema_version=2, history={"pretext/loss": [5.0]})
    with path.open("a") as file:
        file.write(old.model_dump_json() + "\n")
    assert [one.history for one in read_records(path, histories=True)] == [history, old.history]
    kept = tmp_path / "histories" / "a.json"
    kept.write_text(json.dumps(history))
    assert read_records(path, histories=True)[0].history == history, "as versions wrote it that sealed nothing"
    for damaged in ("{", json.dumps(history | {"seal": "0" * 16}) + "\n", '{"a": ["b"]}', "[]"):
        kept.write_text(damaged)
        with pytest.warns(match="a.json is damaged"):
            assert [one.history for one in read_records(path, histories=True)] == [{}, old.history]


def test_no_flipped_bit_of_a_line_goes_unnoticed(tmp_path: Path) -> None:
    """Each bit of a line that another follows; in a history likewise, but that what it holds is then nothing."""
    Ledger(tmp_path).append(record("a", metrics={"test/top1": 0.5}, history={"pretext/loss": [3.0, 2.25]}))
    path, kept = tmp_path / FILE_NAME, tmp_path / "histories" / "a.json"
    line, history = path.read_bytes(), kept.read_bytes()
    for bit in range(0, 8 * len(line), 3):
        path.write_bytes(flipped(line, bit) + line)
        with pytest.raises(LedgerError, match="line 1 "):
            read_records(path)
    path.write_bytes(line)
    for bit in range(8 * len(history)):
        kept.write_bytes(flipped(history, bit))
        with pytest.warns(match="damaged"):
            assert read_records(path, histories=True)[0].history == {}


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_a_record_without_a_seal_is_one_of_an_earlier_version_only(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.write_text(record(schema_version=2).model_dump_json() + "\n")
    assert [one.trial for one in read_records(path)] == ["a"]
    path.write_text(record().model_dump_json() + "\n")
    with pytest.raises(LedgerError, match="line 1 has lost its seal; --repair sets it aside"):
        read_records(path)


READER = """
import sys, time
from pathlib import Path
import resource
from harness.ledger import read_records
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
records = read_records(Path(sys.argv[1]))
print(len(records), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def test_thousands_of_records_take_little_memory(tmp_path: Path) -> None:
    """Less than twice their size on disk: what they have in common is kept once."""
    settings = {f"group.setting_{number}": [number, 0.5 * number] for number in range(250)}
    lines = [written(f"{n}", settings=settings | {"group.setting_1": n / 7}) for n in range(2000)]
    path = tmp_path / FILE_NAME
    path.write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-c", READER, str(path)]
    read = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).resolve().parents[2])
    number, memory = map(int, read.stdout.split())
    assert number == 2000
    assert memory < 2 * path.stat().st_size


@pytest.mark.parametrize("odd", ['a "settings": {"b": 1} c', "}{", "{}", {"a": {"b": 1}}, [{}], {}])
def test_settings_are_read_whatever_they_hold(tmp_path: Path, odd: Any) -> None:
    ledger = Ledger(tmp_path)
    kept = [record(f"{seed}", seed=seed, settings={"a": odd, "z": 1}, reason='"settings": {"a": 0}') for seed in range(3)]
    kept.append(record("3", settings={"a": odd, "z": 2}, parameters={"z": 2}))
    for one in kept:
        ledger.append(one)
    assert read_records(ledger.path) == kept


def test_of_the_same_question_only_the_last_answer_stands() -> None:
    """Run again by other code, or with a later version of a stage: another trial of the same settings, seed and data."""
    old = record("a", ended="2026-01-01T00:00:00+00:00")
    new = record("b", ended="2026-01-02T00:00:00+00:00")
    others = [record("c", seed=1), record("d", settings={"recipe": "scratch"}), record("e", preset="small")]
    others += [record("f", data={"downstream": {"fingerprint": "2"}}), record("g", versions={"protocol": "2"})]
    failed = record("h", outcome="failed", reason="x", ended="2026-01-03T00:00:00+00:00")
    ancient = record("i", ended=None)
    assert superseded([new, old, *others, failed, ancient]) == [old, ancient]
    assert superseded([ancient, record("j", ended=None)]) == [ancient], "of those without a time the one written last stands"
    assert superseded([old, *others, failed]) == []
    interrupted = record("k", outcome="interrupted", reason="x", ended="2026-01-01T00:00:00+00:00")
    assert superseded([interrupted, new]) == [interrupted], "what was asked is answered"
    more = record("l", settings={"recipe": "auxskd_pretext", "compute.accumulation": 1}, ended="2026-01-04T00:00:00+00:00")
    assert superseded([new, more]) == [new], "by a later version of the program, which has more settings"


def test_an_experiment_that_two_sweeps_recorded_stands_by_the_record_that_ended_last() -> None:
    """The same trial in another sweep, after an edit in between was undone: the records stand or fall, not the trial's name."""
    first, edited, last = (record(name, ended=f"2026-01-0{day}") for day, name in enumerate(("a", "b", "a"), start=1))
    assert superseded([first, edited, last]) == [first, edited]
    assert standing([first, edited, last]) == [last]
