"""What the status command says of a sweep, against what was done to it: run, suspended, killed, ended, damaged, of before."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness import condition, status
from harness.condition import Observer
from harness.driver import LOCK_FILE, only_driver
from harness.identity import IDENTITY_FILE
from harness.ledger import FILE_NAME, Ledger, Outcome, Record
from harness.progress import Progress
from harness.signs import SIGN_FILE, RunningTrial, Sign, Signs, SignsOfJoined
from trainables.checksums import sealed

REPOSITORY = Path(__file__).resolve().parents[2]
COMMAND = "python harness/sweep.py --space temperatures"
DRIVER = """
import sys, time
from pathlib import Path
from harness.driver import only_driver
from harness.progress import Progress
from harness.signs import Signs
where = Path(sys.argv[1])
progress = Progress("tiny", 2, "validation/top1", "here")
progress.trial_started("abc123", "#0", {"auxskd.teacher_temperature": 0.02}, 0)
progress.runs_on("abc123", "node7")
progress.reached("abc123", {"stage": "pretext", "epoch": 3, "epochs": 10, "pretext/loss": 1.0})
progress.reached("abc123", {"stage": "pretext", "batch": 1, "batches": 4})
with only_driver(where), Signs(where, "python harness/sweep.py --space temperatures", progress.sign):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    (tmp_path / "runs" / "tiny").mkdir(parents=True)
    return tmp_path / "runs" / "tiny"


@pytest.fixture
def driver(sweep: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that runs a sweep of two trials, one of which is in the fourth of ten epochs."""
    (sweep / IDENTITY_FILE).write_text("{}")
    process = subprocess.Popen([sys.executable, "-c", DRIVER, str(sweep)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Any]:
    """Calls the command; gives exit code, output and errors. That it changes no file is checked each time."""
    monkeypatch.setattr(status, "console", Console(width=200, emoji=False))

    def run(*arguments: str) -> tuple[int, str, str]:
        before = files(tmp_path)
        with pytest.raises(SystemExit) as ended:
            status.app([*arguments, "--runs-dir", str(tmp_path / "runs")])
        assert files(tmp_path) == before
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, output.err

    return run


def files(where: Path) -> dict[Path, tuple[bytes, int]]:
    """But for the signs that a process gives meanwhile."""
    found = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in where.rglob("*") if path.is_file()}
    return {path: content for path, content in found.items() if SIGN_FILE not in path.name}


def record(trial: str = "abc123", outcome: Outcome = "complete", ended: datetime | None = None, **changes: Any) -> Record:
    fields: dict[str, Any] = {
        "trial": trial,
        "index": 0,
        "row": None,
        "space": "temperatures",
        "preset": "demo",
        "parameters": {"a": trial},
        "settings": {},
        "data": {},
        "seed": 0,
        "stages": {},
        "metrics": {},
        "seconds": {},
        "outcome": outcome,
        "reason": None,
        "versions": {},
        "command": COMMAND,
        "ended": ended.isoformat() if ended else None,
    }
    return Record(**(fields | changes))


def sign(sweep: Path, **changes: Any) -> Sign:
    fields: dict[str, Any] = {
        "at": datetime.now(UTC),
        "host": "elsewhere",
        "pid": 7,
        "command": COMMAND,
        "directory": "/home/me/my project",
        "total": 2,
        "ended": {"first": "complete"},
        "reused": 0,
        "seconds_left": 100.0,
        "running": [RunningTrial(trial="abc123", label="teacher=0.02 seed=0", seconds=5, quiet=1, stage="finetune")],
    }
    said = Sign(**(fields | changes))
    (sweep / SIGN_FILE).write_text(sealed(said.model_dump(mode="json")))
    return said


def look(sweep: Path) -> condition.Condition:
    return Observer().look(sweep)


def test_of_a_running_sweep_it_tells_stage_epoch_machine_and_process(
    sweep: Path, driver: subprocess.Popen[str], call: Callable[..., Any]
) -> None:
    code, output, _ = call()
    assert code == 0
    first = output.splitlines()[1].split()
    assert first[:3] == ["tiny", "running", "0/2"]
    assert str(driver.pid) in first
    (line,) = (line for line in output.splitlines() if line.startswith("abc123"))
    assert "temperature=0.02 seed=0" in line
    assert "pretext" in line
    assert "3/10 +25%" in line
    assert line.endswith("node7")
    (told,) = json.loads(call("tiny", "--json")[1])
    assert (told["state"], told["total"], told["done"], told["pid"]) == ("running", 2, 0, driver.pid)
    (trial,) = told["running"]
    assert {name: trial[name] for name in ("stage", "epoch", "epochs", "batch", "batches")} == {
        "stage": "pretext",
        "epoch": 3,
        "epochs": 10,
        "batch": 1,
        "batches": 4,
    }
    assert told["continued_by"] is None


def test_one_that_is_suspended_is_silent_and_one_that_is_killed_is_dead(
    sweep: Path, driver: subprocess.Popen[str], call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(condition, "SILENT_SECONDS", 0.2)
    os.kill(driver.pid, signal.SIGSTOP)
    time.sleep(0.4)
    code, output, _ = call("tiny")
    assert (code, output.splitlines()[1].split()[1]) == (0, "silent")
    assert f"process {driver.pid} on " in output
    assert "suspended, or its machine is gone" in output
    assert "continue:" not in output, "that process still holds the sweep"
    driver.kill()
    driver.wait()
    code, output, _ = call("tiny")
    assert (code, output.splitlines()[1].split()[1]) == (0, "dead")
    assert "ended without a word" in output
    assert f"continue: cd {REPOSITORY} && {COMMAND}" in output
    assert "running when it last gave a sign" in output


def test_one_that_ended_in_order_is_finished_or_says_why_not(sweep: Path, call: Callable[..., Any]) -> None:
    progress = Progress("tiny", 2, "validation/top1", "here", Console(quiet=True))
    with only_driver(sweep), Signs(sweep, COMMAND, progress.sign) as signs:
        progress.trial_ended(record("a"), 0.5)
        signs.over = "interrupted"
    assert (look(sweep).state, look(sweep).continued_by) == ("stopped", f"cd {Path.cwd()} && {COMMAND}")
    assert "ended with trials left: interrupted" in call("tiny")[1]
    with only_driver(sweep), Signs(sweep, COMMAND, progress.sign) as signs:
        progress.trial_ended(record("b", "failed"), None)
        signs.over = "nothing is left to run"
    seen = look(sweep)
    assert (seen.state, seen.done, seen.ended, seen.continued_by) == ("finished", 2, {"complete": 1, "failed": 1}, None)


def test_an_error_in_the_driver_is_an_end_too(sweep: Path) -> None:
    progress = Progress("tiny", 2, "validation/top1", "here", Console(quiet=True))
    with pytest.raises(ZeroDivisionError), only_driver(sweep), Signs(sweep, COMMAND, progress.sign):
        _ = 1 / 0
    assert look(sweep).state == "stopped"
    assert "by an error" in str(status._in_words(look(sweep)))


def test_what_the_ledger_says_since_the_last_sign_counts(sweep: Path) -> None:
    """Killed between a record and the next sign: the last trial is not among the running ones, and nothing is left."""
    said = sign(sweep, host=os.uname().nodename)
    assert (look(sweep).state, look(sweep).done, len(look(sweep).running)) == ("dead", 1, 1)
    ledger = Ledger(sweep)
    ledger.append(record("first", ended=said.at + timedelta(seconds=1)))
    assert look(sweep).done == 1, "it is among those that the sign counts, whatever the clock says"
    ledger.append(record("gone", ended=said.at - timedelta(seconds=9)))
    assert look(sweep).done == 1, "a row that is gone"
    ledger.append(record(outcome="failed", ended=said.at - timedelta(seconds=9)))
    assert (look(sweep).done, len(look(sweep).running)) == (1, 1), "it was begun again after that"
    ledger.append(record(ended=said.at - timedelta(seconds=1)))
    assert (look(sweep).state, look(sweep).done, look(sweep).running) == ("finished", 2, ())


def test_a_sign_from_another_machine_counts_where_its_lock_is_not_seen(sweep: Path) -> None:
    sign(sweep)
    assert look(sweep).state == "running"
    assert look(sweep).seconds_left == pytest.approx(100, abs=5)
    sign(sweep, at=datetime.now(UTC) - timedelta(seconds=condition.SILENT_SECONDS + 1))
    assert (look(sweep).state, look(sweep).seconds_left) == ("dead", None)
    assert look(sweep).continued_by == f"cd '/home/me/my project' && {COMMAND}"
    with only_driver(sweep):  # continued here, and not yet further than that
        assert (look(sweep).state, look(sweep).running) == ("running", ())
        assert look(sweep).driver is not None and look(sweep).driver.pid == os.getpid()  # type: ignore[union-attr]


def test_a_process_that_has_joined_is_named_with_its_trials(sweep: Path, call: Callable[..., Any]) -> None:
    """While it works; one that was killed is not, after a minute."""
    progress = Progress("tiny", 3, "validation/top1", "here", Console(quiet=True))
    progress.trial_started("joined1", "#2", {"a.b": 1}, 0)
    progress.runs_on("joined1", "node9")
    sign(sweep)
    with SignsOfJoined(sweep, COMMAND, progress.sign):
        seen = look(sweep)
        assert [trial.trial for trial in seen.running] == ["abc123", "joined1"]
        assert [one.pid for one in seen.joined] == [os.getpid()]
        output = call("tiny")[1]
        assert f"joined by process {os.getpid()} on " in output
        assert "b=1 seed=0" in output
        left = next(sweep.glob("status-*.json")).read_bytes()
    assert [trial.trial for trial in look(sweep).running] == ["abc123"]
    assert look(sweep).joined == ()
    stale = json.loads(left) | {"at": "2020-01-01T00:00:00Z"}
    (sweep / "status-node9-1.json").write_text(sealed({name: value for name, value in stale.items() if name != "digest"}))
    assert look(sweep).joined == ()
    with only_driver(sweep), Signs(sweep, COMMAND, progress.sign):
        assert not list(sweep.glob("status-*.json")), "the next driver removes what is left"


def test_sweeps_of_before_there_were_signs(sweep: Path) -> None:
    assert look(sweep).state == "stopped"
    ledger = Ledger(sweep)
    ledger.append(record("a"))
    assert (look(sweep).state, look(sweep).done, look(sweep).total) == ("finished", 1, None)
    with only_driver(sweep):
        assert look(sweep).state == "running"
    ledger.append(record("b", "interrupted"))
    assert (look(sweep).state, look(sweep).continued_by) == ("stopped", COMMAND)
    (sweep / LOCK_FILE).write_text(json.dumps({"host": "there", "pid": 5, "since": "then"}))
    assert (look(sweep).state, str(look(sweep).driver)) == ("dead", "process 5 on there, since then")


def test_times_that_were_written_by_hand(sweep: Path) -> None:
    sign(sweep)
    for number, ended in enumerate(("yesterday", "2020-01-01 12:00", None)):
        Ledger(sweep).append(record(f"t{number}").model_copy(update={"ended": ended}))
    assert (look(sweep).state, look(sweep).done) == ("running", 1)


@pytest.mark.parametrize("torn", ["", "{", '{"at": "2026-01-01", "digest": "0"}', "[]", "null", sealed({"at": 3}), "\0" * 500])
def test_signs_that_make_no_sense_are_none(sweep: Path, torn: str) -> None:
    Ledger(sweep).append(record("a"))
    (sweep / SIGN_FILE).write_text(torn)
    (sweep / LOCK_FILE).write_text("")
    assert (look(sweep).state, look(sweep).sign, look(sweep).problem) == ("finished", None, None)


def test_a_damaged_ledger_is_said_and_hides_no_other_sweep(sweep: Path, call: Callable[..., Any]) -> None:
    Ledger(sweep).append(record("a"))
    other = sweep.with_name("another")
    other.mkdir()
    (other / FILE_NAME).write_text("{}\n")
    for none in ("store", "cache"):
        (sweep.parent / none).mkdir()
    code, output, _ = call()
    assert code == 1
    assert [line.split()[:2] for line in output.splitlines()[1:3]] == [["another", "stopped"], ["tiny", "finished"]]
    assert f"cannot be read: {other / FILE_NAME}, line 1" in output
    code, output, _ = call("--json")
    assert (code, [one["name"] for one in json.loads(output)]) == (1, ["another", "tiny"])


def test_wrong_usage_says_what_is_valid(sweep: Path, call: Callable[..., Any]) -> None:
    Ledger(sweep).append(record("a"))
    (sweep.parent / "store").mkdir()
    code, _, errors = call("tinny")
    assert code == 2
    assert "valid sweeps: tiny" in errors
    assert "did you mean" in errors
    assert call("store")[0] == 2
    assert call("--watch", "--json")[0] == 2


def test_what_names_hold_is_not_obeyed_by_the_terminal(sweep: Path, call: Callable[..., Any]) -> None:
    trial = RunningTrial(trial="t", label="\x1b[2J[red]", seconds=1, quiet=1)
    sign(sweep, running=[trial], note="\x1b]0;x\x07")
    Ledger(sweep).append(record("b", "failed", reason="\x1b[31m", row="[bold]"))
    output = call("tiny")[1]
    assert "\x1b" not in output
    assert "[red]" in output
    assert "[bold]" in output


def test_it_needs_neither_torch_nor_ray_and_watches_until_it_is_interrupted(sweep: Path) -> None:
    Ledger(sweep).append(record("a"))
    code = (
        "import sys, signal, threading, os\n"
        "from harness import status\n"
        "assert not {'torch', 'ray', 'optuna', 'wandb'} & set(sys.modules), 'heavy'\n"
        "status.REFRESH_SECONDS = 0.05\n"
        "threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
        f"status.app(['--watch', '--runs-dir', {str(sweep.parent)!r}])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 130, done.stderr
    assert "tiny" in done.stdout
