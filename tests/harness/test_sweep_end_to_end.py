"""Whole sweeps as users run them: the command in a process of its own, Ray included, on tiny experiments.

What one uninterrupted sweep recorded is the reference for those that are killed, interrupted, repeated and extended.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.condition import Condition, Observer
from harness.driver import only_driver

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
TEMPERATURES = ("--space", "temperatures")
LONGER = {"auxskd.epochs": 4, "pretext.epochs": 6, "finetune.epochs": 6, "evaluation.measures": "[finetune, retrieval]"}


@dataclass
class Runner:
    """Starts sweep commands of the same settings; whatever is left of them ends with the test."""

    values: dict[str, Any]
    clips: Path
    home: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)

    def start(self, runs: Path, *options: str, what: Sequence[str] = TEMPERATURES) -> subprocess.Popen[str]:
        runs.mkdir(parents=True, exist_ok=True)
        if not (runs / "cache").exists():
            (runs / "cache").symlink_to(self.clips)
        command = [sys.executable, "harness/sweep.py", *what, "--name", "tiny", "--runs-dir", str(runs)]
        command += [part for name, value in self.values.items() for part in ("--set", f"{name}={value}")]
        if "--wandb" not in options:
            command += ["--wandb", "disabled"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "RAY_"))}
        environment |= {"OMP_NUM_THREADS": "1", "HOME": str(self.home), "COLUMNS": "200"}
        process = subprocess.Popen(
            [*command, "--concurrency", "2", *options],
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def run(self, runs: Path, *options: str, what: Sequence[str] = TEMPERATURES) -> tuple[int, str]:
        process = self.start(runs, *options, what=what)
        output, _ = process.communicate(timeout=180)
        return process.returncode, output

    def until(self, process: subprocess.Popen[str], happened: Callable[[], Any]) -> Any:
        """What `happened` gives as soon as it gives something, while the command runs."""
        for _ in range(6000):
            self.seen |= {int(pid) for pid, _ in descendants(process.pid)}
            if result := happened():
                return result
            assert process.poll() is None, f"ended too early:\n{process.communicate()[0]}"
            time.sleep(0.02)
        raise AssertionError("it did not happen")

    def close(self) -> None:
        for process in self.started:
            if process.poll() is None:
                self.seen |= {process.pid, *(pid for pid, _ in descendants(process.pid))}
        for pid in self.seen:
            if "ray" in command_line(pid) or "sweep.py" in command_line(pid):
                os.kill(pid, signal.SIGKILL)


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def descendants(ancestor: int) -> list[tuple[int, str]]:
    """(process id, command line) of everything that a process has started, directly or not."""
    parents = {}
    for path in Path("/proc").iterdir():
        try:
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
    found, generation = [], {ancestor}
    while generation:
        generation = {pid for pid, parent in parents.items() if parent in generation}
        found += [(pid, command_line(pid)) for pid in generation]
    return found


@pytest.fixture(scope="module")
def runner(tiny_values: dict[str, Any], clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    runner = Runner(tiny_values | LONGER, clips, tmp_path_factory.mktemp("home"))
    yield runner
    runner.close()


def records(runs: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (runs / "tiny" / "ledger.jsonl").read_text().splitlines()]


def final(runs: Path) -> list[dict[str, Any]]:
    """The last record of each trial without times and the command, and the seal over them, in order."""
    last = {record["trial"]: record for record in records(runs)}
    for record in last.values():
        del record["seconds"], record["command"], record["ended"], record["seal"]
    return sorted(last.values(), key=lambda record: (record["index"], record["seed"]))


def seen(runs: Path) -> Condition:
    return Observer().look(runs / "tiny")


def in_training(runs: Path) -> list[Path]:
    return list(runs.glob("store/*/.*.work/*/state.json"))


@pytest.fixture(scope="module")
def reference(runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted sweep of the first two rows, with W&B offline."""
    runs = tmp_path_factory.mktemp("reference") / "runs"
    code, output = runner.run(runs, "--trials", "2", "--wandb", "offline")
    assert code == 0, output
    (runs / "output.txt").write_text(output)
    return runs


def test_a_sweep_leaves_what_it_promises(reference: Path) -> None:
    found = records(reference)
    assert sorted(record["row"] for record in found) == ["0.01 / 0.01", "0.02 / 0.02"]
    for record in found:
        assert record["outcome"] == "complete"
        assert list(record["stages"].values()) == [
            path.name for kind in record["stages"] for path in (reference / "store" / kind).glob(record["stages"][kind])
        ]
        assert {"auxskd/loss", "pretext/val_loss", "finetune/val_top1", "validation/top1", "test/top1"} <= record[
            "metrics"
        ].keys()
        assert record["seconds"].keys() == record["stages"].keys()
        assert all(spent["used"] > 0 for spent in record["seconds"].values())
        assert "--wandb offline" in record["command"]
    output = (reference / "output.txt").read_text()
    best = max(found, key=lambda record: record["metrics"]["validation/top1"])["metrics"]["validation/top1"]
    assert "Best: " in output
    assert f"validation/top1 {100 * best:.1f}%" in output
    assert "76.3" in output, "the paper's best cell of Table 3 stands beside ours"
    assert len(list((reference / "tiny").rglob("*.wandb"))) == 2 + 1, "an offline run per trial, and one of the sweep"
    assert not in_training(reference)


def test_the_same_command_again_trains_nothing(runner: Runner, reference: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(reference, runs, symlinks=True)
    ledger = (runs / "tiny" / "ledger.jsonl").read_bytes()
    stored = {path: path.stat().st_mtime_ns for path in (runs / "store").rglob("done.json")}
    code, output = runner.run(runs, "--trials", "2")
    assert code == 0, output
    assert (runs / "tiny" / "ledger.jsonl").read_bytes() == ledger
    assert {path: path.stat().st_mtime_ns for path in (runs / "store").rglob("done.json")} == stored
    assert "Best: " in output


def test_more_trials_and_seeds_extend_a_sweep(runner: Runner, reference: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(reference, runs, symlinks=True)
    before = (runs / "tiny" / "ledger.jsonl").read_bytes()
    code, output = runner.run(runs, "--trials", "3", "--seeds", "2")
    assert code == 0, output
    after = (runs / "tiny" / "ledger.jsonl").read_bytes()
    assert after.startswith(before)
    assert [(record["index"], record["seed"]) for record in final(runs)] == [(i, s) for i in range(3) for s in (0, 1)]
    assert after.count(b"\n") == 6


def test_failing_trials_are_recorded_and_retried_when_asked(runner: Runner, tmp_path: Path) -> None:
    runs, nan = tmp_path / "runs", ("--trials", "1", "--set", "pretext.learning_rate=1e20")
    code, output = runner.run(runs, *nan)
    assert code == 1, output
    (record,) = records(runs)
    assert record["outcome"] == "failed"
    assert record["reason"].startswith("pretext: ")
    assert "in epoch 1" in record["reason"]
    assert list(record["stages"]) == ["auxskd"]
    assert record["reason"] in " ".join(output.split())
    code, output = runner.run(runs, *nan, "--retry-failed")
    assert code == 1, output
    assert [record["outcome"] for record in records(runs)] == ["failed", "failed"]


def test_kill_9_of_the_command_and_again(runner: Runner, reference: Path, tmp_path: Path) -> None:
    """Once while stages train, once when a trial has just been recorded; the third run ends what is left."""
    runs = tmp_path / "runs"
    moments: list[Callable[[], Any]] = [
        lambda: in_training(runs),
        lambda: (runs / "tiny" / "ledger.jsonl").exists(),
    ]
    left = set()
    for moment in moments:
        process = runner.start(runs, "--trials", "2")
        runner.until(process, moment)
        left |= {pid for pid, _ in descendants(process.pid)}
        assert seen(runs).state == "running"
        process.kill()
        process.communicate()
        assert seen(runs).state == ("finished" if seen(runs).done == 2 else "dead")
    code, output = runner.run(runs, "--trials", "2")
    assert code == 0, output
    assert (seen(runs).state, seen(runs).done, seen(runs).total) == ("finished", 2, 2)
    assert final(runs) == final(reference)
    assert len(records(runs)) == 2, "none is lost or doubled"
    assert [line for pid in left if (line := command_line(pid)).startswith("ray::ImplicitFunc")] == [], "workers have ended"


def test_kill_9_of_a_worker(runner: Runner, reference: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    process = runner.start(runs, "--trials", "2")

    def working() -> list[int]:
        trials = [pid for pid, line in descendants(process.pid) if line.startswith("ray::ImplicitFunc")]
        return trials if in_training(runs) else []

    workers = runner.until(process, working)
    os.kill(workers[0], signal.SIGKILL)
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 0, output
    assert final(runs) == final(reference)
    assert len(records(runs)) == 2


def test_the_loss_of_the_cluster_ends_the_command_with_records_and_the_next_one_continues(
    runner: Runner, reference: Path, tmp_path: Path
) -> None:
    """Ray itself would end the process from inside after a minute, without a word or a record."""
    runs = tmp_path / "runs"
    process = runner.start(runs, "--trials", "2")

    def head() -> list[int]:
        found = [pid for pid, line in descendants(process.pid) if line.partition(" ")[0].endswith("gcs_server")]
        return found if in_training(runs) else []

    os.kill(runner.until(process, head)[0], signal.SIGKILL)
    children = [pid for pid, _ in descendants(process.pid)]
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 3, output
    assert "the Ray cluster is lost: its head" in output
    outcomes = {record["outcome"] for record in records(runs)}
    assert outcomes and outcomes <= {"interrupted", "complete"}, "trials may end before the loss is noticed"
    assert [line for pid in children if "ray" in (line := command_line(pid))] == [], "children have ended"
    code, output = runner.run(runs, "--trials", "2")
    assert code == 0, output
    assert final(runs) == final(reference)


def test_a_second_command_of_a_sweep_is_refused(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "runs" / "tiny").mkdir(parents=True)
    with only_driver(tmp_path / "runs" / "tiny"):
        code, output = runner.run(tmp_path / "runs", "--trials", "2")
    assert (code, f"is being run by process {os.getpid()} on" in output) == (2, True), output
    assert not (tmp_path / "runs" / "tiny" / "ledger.jsonl").exists()


def test_a_process_that_joins_computes_and_the_driver_alone_records(runner: Runner, reference: Path, tmp_path: Path) -> None:
    """While the driver is stopped: what the other has left in the store it then records, as it would have its own."""
    runs, options = tmp_path / "runs", ("--trials", "2")
    driver = runner.start(runs, *options)
    runner.until(driver, lambda: (lock := runs / "tiny" / "driver.lock").exists() and lock.read_text())
    driver.send_signal(signal.SIGSTOP)
    code, said = runner.run(runs, *options, "--join")
    assert code == 0, said
    assert f"joined: computes for process {driver.pid} on " in said
    assert "2/2 done" in said and "nothing is left to compute" in said
    assert not (runs / "tiny" / "ledger.jsonl").exists()
    driver.send_signal(signal.SIGCONT)
    output, _ = driver.communicate(timeout=180)
    assert driver.returncode == 0, output
    assert len(records(runs)) == 2
    assert final(runs) == final(reference)
    assert {spent["used"] for record in records(runs) for spent in record["seconds"].values()} == {0}
    assert (seen(runs).state, seen(runs).joined, list((runs / "tiny").glob("status-*"))) == ("finished", (), [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_and_again(runner: Runner, reference: Path, tmp_path: Path, number: signal.Signals) -> None:
    """Or what Slurm, Kubernetes and a terminal that closes send."""
    runs = tmp_path / "runs"
    process = runner.start(runs, "--trials", "2")
    runner.until(process, lambda: in_training(runs))
    children = [pid for pid, _ in descendants(process.pid)]
    if number == signal.SIGINT:  # as a terminal sends it
        os.killpg(process.pid, number)
    else:
        os.kill(process.pid, number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "the same command continues" in output
    assert {record["outcome"] for record in records(runs)} <= {"interrupted", "complete"}
    assert any(record["outcome"] == "interrupted" for record in records(runs))
    assert [line for pid in children if "ray" in (line := command_line(pid))] == [], "children have ended"
    code, output = runner.run(runs, "--trials", "2")
    assert code == 0, output
    assert final(runs) == final(reference)


FIGURE = ("--table", "auxskd/figure4-left")
FIGURE_VALUES = {
    "auxskd.epochs": 1,
    "pretext.epochs": 4,
    "pretext.checkpoints": 4,
    "finetune.epochs": 1,
    "evaluation.measures": "[finetune]",
}


def test_figure_4_from_an_empty_store(runner: Runner, tmp_path: Path) -> None:
    """Eight cells from two pretrainings, the table that is printed, and both figures; the same command again runs nothing, and
    under another name neither, as all cells are complete in another sweep."""
    runs = tmp_path / "runs"
    options = [part for name, value in FIGURE_VALUES.items() for part in ("--set", f"{name}={value}")]
    code, output = runner.run(runs, *options, what=FIGURE)
    assert code == 0, output
    stored = {path: path.stat().st_mtime_ns for path in (runs / "store").glob("*/*/done.json")}
    kinds = [path.parent.parent.name for path in stored]
    assert {kind: kinds.count(kind) for kind in kinds} == {"auxskd": 1, "pretext": 2, "finetune": 8, "evaluate": 8}
    found = records(runs)
    assert len(found) == 8
    for record in found:
        assert record["outcome"] == "complete"
        assert record["data"]["pretraining"]["dataset"] == "embedded"
        assert record["settings"]["data.pretraining"] == "kinetics100"
        history = json.loads((runs / "tiny" / "histories" / f"{record['trial']}.json").read_text())
        assert len(history["pretext/val_speed_loss"]) == len(history["pretext/speed_loss"]) == 4
        assert record["departures"]["auxskd.epochs"] == 1
    assert "embedded clips in place of kinetics100" in output
    printed = [[cell.strip() for cell in line.strip("|").split("|")] for line in output.splitlines() if line.startswith("|")]
    cells = [
        [str(10 * number), aux_skd, "-", f"{100 * record['metrics']['test/top1']:.1f} (n=1)"]
        for number in (1, 2, 3, 4)
        for aux_skd, recipe in (("no", "pretext"), ("yes", "auxskd_pretext"))
        for record in found
        if record["parameters"] == {"pretext.checkpoint": number, "recipe": recipe}
    ]
    assert len(cells) == 8
    assert [cell for cell in cells if cell not in printed] == [], output

    ledger = (runs / "tiny" / "ledger.jsonl").read_bytes()
    for name in ((), ("--name", "again")):
        code, output = runner.run(runs, *options, *name, what=FIGURE)
        assert code == 0, output
        assert {path: path.stat().st_mtime_ns for path in (runs / "store").glob("*/*/done.json")} == stored
        assert (runs / "tiny" / "ledger.jsonl").read_bytes() == ledger
        assert not (runs / "again" / "ledger.jsonl").exists()

    drawn = tmp_path / "figures"
    figures = ["auxskd/figure4-left", "auxskd/figure4-right"]
    command = [sys.executable, "reports/figures.py", *figures, "--runs-dir", str(runs), "--format", "svg", "--out", str(drawn)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in drawn.iterdir()} == {"auxskd_figure4-left.svg", "auxskd_figure4-right.svg"}
    for path in drawn.iterdir():
        assert "no trials" not in path.read_text(encoding="utf-8").lower()
