"""W&B in a process of its own: offline files are complete, and nothing that goes wrong there reaches the sweep."""

from __future__ import annotations

import importlib
import json
import math
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import listener, wandb_runs
from harness.bookkeeper import Bookkeeper
from harness.ledger import FILE_NAME, Ledger, read_records
from harness.tracking import Tracker
from harness.trials import Sweep
from harness.wandb_runs import WandbRuns, run_id
from tests.harness.test_bookkeeper import Witness
from trainables.pipeline import run_experiment
from trainables.store import Artifact

ROOT = Path(wandb_runs.__file__).parents[1]
FAKE_KEY = "0123456789abcdef" * 5 + "012345"
NOTHING_LISTENS = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_") or name == "NETRC"]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)


@dataclass
class Written:
    """What one .wandb file says about a run."""

    id: str = ""
    name: str = ""
    group: str = ""
    project: str = ""
    tags: list[str] = field(default_factory=list)
    axes: dict[str, str] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None


def read_run(path: Path) -> Written:
    """Read a .wandb file: 7 bytes of header, then LevelDB log blocks of 32 KiB that hold protobuf records."""
    records: Any = importlib.import_module("wandb.proto.wandb_internal_pb2")
    content, position, message = path.read_bytes(), 7, b""
    run = Written()
    while position + 7 <= len(content):
        if (left := 32768 - position % 32768) < 7:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, position)
        message += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (2, 3):  # the first or a middle part of a record
            continue
        record = records.Record()
        record.ParseFromString(message)
        message = b""
        if record.HasField("run"):
            run.id, run.name, run.group = record.run.run_id, record.run.display_name, record.run.run_group
            run.project, run.tags = record.run.project, list(record.run.tags)
            run.config = {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif record.HasField("config"):
            run.config |= {_key(item): json.loads(item.value_json) for item in record.config.update}
        elif record.HasField("history"):
            run.history.append({_key(item): json.loads(item.value_json) for item in record.history.item})
        elif record.HasField("metric"):
            run.axes[record.metric.name] = record.metric.step_metric
        elif record.HasField("summary"):
            run.summary |= {_key(item): json.loads(item.value_json) for item in record.summary.update}
        elif record.HasField("exit"):
            run.exit_code = record.exit.exit_code
    return run


def _key(item: Any) -> str:
    return item.key or "/".join(item.nested_key)


def read_runs(directory: Path, pattern: str = "offline-run-*") -> list[Written]:
    return [read_run(path) for path in sorted((directory / "wandb").glob(f"{pattern}/*.wandb"))]


def wait_for(condition: Callable[[], Any], seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.05)


def to_wandb(*arguments: Any) -> tuple[Tracker, WandbRuns]:
    runs = WandbRuns(*arguments)
    return Tracker([runs]), runs


def test_offline_files_hold_everything_that_was_sent(tmp_path: Path) -> None:
    warnings: list[str] = []
    tracker, listens = to_wandb("auto", tmp_path, "temperatures", warnings.append)
    begin = time.monotonic()
    for i in range(20):
        tracker.start(f"t{i}", f"trial {i}", {"auxskd.teacher_temperature": 0.01 * i, "path": tmp_path}, ["demo", "x" * 99])
        for epoch in range(1, 6):
            loss = math.nan if epoch == 3 else 1 / epoch
            tracker.epoch(f"t{i}", "pretext", epoch, {"pretext/loss": loss, "pretext/segment_accuracy": 0.25})
        tracker.finish(f"t{i}", "failed" if i == 3 else "complete", {"test/top1": i / 20, "finetune/loss": math.inf})
    sent = time.monotonic() - begin
    tracker.close(30)
    print(f"20 runs with 5 epochs: sent in {sent:.3f} s, written in {time.monotonic() - begin:.2f} s")

    assert warnings == []
    assert sent < 0.5
    runs = {run.id: run for run in read_runs(tmp_path)}
    assert sorted(runs) == sorted(run_id("temperatures", f"t{i}") for i in range(20))
    for i in range(20):
        run = runs[run_id("temperatures", f"t{i}")]
        assert (run.name, run.group, run.project, run.tags) == (
            f"trial {i}",
            "temperatures",
            "auxgraph",
            ["demo", "x" * 64],
        )
        assert run.config["auxskd.teacher_temperature"] == pytest.approx(0.01 * i)
        assert run.config["path"] == str(tmp_path)
        assert [row["_step"] for row in run.history] == [row["pretext/epoch"] for row in run.history] == [1, 2, 3, 4, 5]
        losses = [float(row["pretext/loss"]) for row in run.history]
        assert losses == pytest.approx([1, 1 / 2, math.nan, 1 / 4, 1 / 5], nan_ok=True)
        assert run.summary["outcome"] == ("failed" if i == 3 else "complete")
        assert run.summary["test/top1"] == pytest.approx(i / 20)
        assert run.exit_code == (1 if i == 3 else 0)
    assert str(tmp_path / "wandb") in listens.description and "wandb sync" in listens.description


def test_a_trial_that_goes_on_with_other_settings_is_one_run_with_those(tmp_path: Path) -> None:
    tracker, _ = to_wandb("offline", tmp_path, "sweep", print)
    for parts in (1, 2):
        tracker.start("a", "first", {"compute.accumulation": parts, "lr": 0.1})
        for epoch in (1, 2):
            tracker.epoch("a", "pretext", epoch, {"pretext/loss": 2.0 / parts})
    tracker.finish("a", "complete", {})
    tracker.close(30)
    (run,) = read_runs(tmp_path)
    assert (run.config["compute.accumulation"], run.config["lr"]) == (2, 0.1)
    rows = [(row["_step"], row["pretext/epoch"], row["pretext/loss"]) for row in run.history]
    assert rows == [(1, 1, 2.0), (2, 2, 2.0), (3, 1, 1.0), (4, 2, 1.0)], "its stages have begun anew"


def test_every_stage_has_an_axis_of_its_own_and_found_ones_are_replayed(tmp_path: Path) -> None:
    """Whether a stage's epochs are told as they come, all at its end, or in part, the run is the same; every metric lies over
    the epochs of its stage."""
    losses = {"pretext/loss": [3.0, 2.0], "pretext/learning_rate": [0.1, 0.01]}
    of_set = {"finetune/loss/ucf101": [1.0, 0.5, 0.25]}
    tracker, _ = to_wandb("offline", tmp_path, "sweep", print)
    for trial, live in (("none", 0), ("some", 1), ("all", 3)):
        tracker.start(trial, trial, {})
        for stage, history in (("pretext", losses), ("finetune/ucf101", of_set)):
            for epoch in range(1, 1 + min(live, len(next(iter(history.values()))))):
                tracker.epoch(trial, stage, epoch, {name: values[epoch - 1] for name, values in history.items()})
            tracker.replay(trial, stage, history)
            tracker.epoch(trial, stage, 1, dict.fromkeys(history, 9.0))  # of a worker that goes on from the state before
        tracker.finish(trial, "complete", {})
    tracker.close(30)
    runs = read_runs(tmp_path)
    assert {run.name for run in runs} == {"none", "some", "all"}
    for run in runs:
        axis = [("pretext/epoch", 1), ("pretext/epoch", 2)] + [("finetune/epoch/ucf101", epoch) for epoch in (1, 2, 3)]
        assert [(name, row[name]) for row in run.history for name in row if "/epoch" in name] == axis
        for name, values in (losses | of_set).items():
            assert [row[name] for row in run.history if name in row] == values
            assert run.axes[name] == name.replace("loss", "epoch").replace("learning_rate", "epoch")


@pytest.mark.slow
def test_runs_are_what_the_ledger_says(make_sweep: Callable[..., Sweep], tmp_path: Path) -> None:
    """Of a sweep that computes its trial and of one that finds all its stages: a run per trial; every metric's values, its last
    one and the summary are the record's, and the config is what its stages read, and of what they are made."""
    histories = []
    for name in ("first", "second"):
        sweep = make_sweep(name=name, directory=tmp_path / name, trials=1)
        sweep.settle_identity()
        tracker, _ = to_wandb("offline", sweep.directory, sweep.name, pytest.fail)
        books = Bookkeeper(sweep, Ledger(sweep.directory), tracker, Witness(), False)  # type: ignore[arg-type]
        assert books.next("worker")
        job = books.assigned["worker"].job
        books.started("worker")
        run_experiment(job.experiment, sweep.runtime, lambda line, books=books: books.reported("worker", line))  # type: ignore[misc]
        books.ended("worker", {"outcome": "complete"})
        tracker.close(30)

        (record,) = read_records(sweep.directory / FILE_NAME, histories=True)
        (run,) = read_runs(sweep.directory)
        assert run.id == run_id(name, record.trial)
        assert {used.used > 0 for used in record.seconds.values()} == {name == "first"}
        seen = {metric: [row[metric] for row in run.history if metric in row] for metric in record.history}
        assert seen == record.history
        assert {metric: run.summary[metric] for metric in record.metrics} == record.metrics
        assert all(values[-1] == record.metrics[metric] for metric, values in seen.items())
        assert {"pretext/learning_rate", "finetune/gradient_norm", "auxskd/loss"} <= seen.keys()
        of_machine = {"pretext/samples_per_second", "finetune/memory_bytes"}
        assert {metric for row in run.history for metric in row if metric in of_machine} == (
            of_machine if name == "first" else set()
        )
        histories.append(seen)
        read = {setting for stage in job.stages for setting in stage.settings}
        assert {setting: run.config[setting] for setting in read} == {setting: record.settings[setting] for setting in read}
        assert not {"rspnet.temperature", "student.epochs"} & run.config.keys(), "no stage reads them"
        assert (run.config["row"], run.config["space"], run.config["recipe"]) == (record.row, record.space, "auxskd_pretext")
        assert run.config["fingerprint"] == {role: entry["fingerprint"] for role, entry in record.data.items()}
        assert run.config["code"] == record.code
        shown = run.history[-1]
        pictures = ("auxskd/samples", "pretext/samples", "finetune/samples", "evaluate/hardest", "retrieval/nearest")
        assert {f"{name}/path" for name in pictures} <= shown.keys()
        (folder,) = (sweep.directory / "wandb").glob("offline-run-*")
        assert (folder / "files" / shown["evaluate/hardest/path"]).read_bytes().startswith(b"\x89PNG")
        table = json.loads((folder / "files" / shown["evaluate/confusion_table/path"]).read_text())
        artifact = Artifact(sweep.runtime.store / "evaluate" / record.stages["evaluate"])
        confusion = artifact.document("confusion.json")
        counts = {(confusion["classes"].index(row), confusion["classes"].index(column)): n for row, column, n in table["data"]}
        said = {(row, column): n for row, of in enumerate(confusion["test"]) for column, n in enumerate(of) if n}
        assert counts == said
    assert histories[0] == histories[1]


def test_a_sweep_has_a_run_of_its_own(tmp_path: Path) -> None:
    """With the tables as they were given."""
    tracker, listens = to_wandb("offline", tmp_path, "sweep", pytest.fail)
    assert not tracker.has_told
    tracker.start("a", "a", {})
    assert tracker.has_told
    tracker.finish("a", "complete", {})
    rows = [[0, "0.02 / 0.02", 0.5], [1, None, None]]
    table = {"columns": ["position", "row", "validation/top1"], "rows": rows}
    drawn = {"columns": ["lr", "validation/top1"], "rows": [[0.1, 0.5]], "chart": "scatter"}
    tracker.conclude("sweep", {"tables": {"leaderboard": table, "response/lr": drawn}, "summary": {"best": "0.02 / 0.02"}})
    tracker.close(30)
    by_id = {run.id: run for run in read_runs(tmp_path)}
    assert by_id.keys() == {run_id("sweep", "a"), run_id("sweep", "")}
    run = by_id[run_id("sweep", "")]
    assert (run.name, run.group, run.tags, run.summary["best"]) == ("sweep", "sweep", ["sweep"], "0.02 / 0.02")
    (folder,) = listens.directory.glob(f"offline-run-*-{run.id}")
    kept = json.loads((folder / "files" / run.history[-1]["leaderboard/path"]).read_text())
    assert (kept["columns"], kept["data"]) == (table["columns"], rows)
    kept = json.loads((folder / "files" / run.history[-1]["response/lr_table/path"]).read_text())
    assert (kept["columns"], kept["data"]) == (drawn["columns"], drawn["rows"])
    assert "wandb/scatter/v0" in str(run.config), "the chart"


DRIVER = """
import os, signal, sys, time
from pathlib import Path
from harness.tracking import Tracker
from harness.wandb_runs import WandbRuns
runs = WandbRuns("offline", Path(sys.argv[1]), "sweep", print)
tracker = Tracker([runs])
tracker.start("a", "first", {"lr": 0.1})
tracker.epoch("a", "pretext", 1, {"pretext/loss": 2.0})
while not runs.lines.empty():
    time.sleep(0.01)
time.sleep(0.1)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_after_a_kill_of_the_sweep_the_same_run_goes_on(tmp_path: Path) -> None:
    driver = subprocess.run([sys.executable, "-c", DRIVER, str(tmp_path)], cwd=ROOT, check=False)
    assert driver.returncode == -signal.SIGKILL
    wait_for(lambda: any(run.exit_code is not None for run in read_runs(tmp_path)))

    warnings: list[str] = []
    tracker, _ = to_wandb("offline", tmp_path, "sweep", warnings.append)
    tracker.start("a", "first", {"lr": 0.1})
    tracker.epoch("a", "pretext", 2, {"pretext/loss": 1.0})
    tracker.finish("a", "complete", {})
    tracker.epoch("a", "pretext", 3, {"pretext/loss": 0.0})  # too late: ignored
    tracker.close(20)

    assert warnings == []
    before, after = read_runs(tmp_path)
    assert before.id == after.id == run_id("sweep", "a")
    assert [row["pretext/epoch"] for row in before.history + after.history] == [1, 2]
    assert (before.summary["outcome"], before.exit_code) == ("interrupted", 0)
    assert (after.summary["outcome"], after.exit_code) == ("complete", 0)


def test_an_unreachable_server_costs_one_warning_and_no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", FAKE_KEY)
    monkeypatch.setenv("WANDB_BASE_URL", NOTHING_LISTENS)
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "1")
    warnings: list[str] = []
    tracker, listens = to_wandb("auto", tmp_path, "s", warnings.append)
    assert listens.mode == "online"
    for trial in "ab":
        begin = time.monotonic()
        tracker.start(trial, trial, {})
        tracker.epoch(trial, "pretext", 1, {"loss": 1.0})
        assert time.monotonic() - begin < 0.1
    assert listens.child
    assert FAKE_KEY not in Path(f"/proc/{listens.child.pid}/cmdline").read_text()
    for trial in "ab":
        tracker.finish(trial, "complete", {})
    tracker.close(25)

    assert len(warnings) == 1 and "offline" in warnings[0] and "connection refused" in warnings[0]
    runs = read_runs(tmp_path)
    assert [(run.id, len(run.history), run.exit_code) for run in runs] == [(run_id("s", t), 1, 0) for t in "ab"]
    assert listens.description.startswith("offline")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == listener.LOG_NAME for path in files)
    assert [path for path in files if FAKE_KEY.encode() in path.read_bytes()] == []


@pytest.mark.parametrize("key", [None, "short"])
def test_online_without_a_valid_key_goes_on_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str | None) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", NOTHING_LISTENS)
    if key:
        monkeypatch.setenv("WANDB_API_KEY", key)
    warnings: list[str] = []
    tracker, _ = to_wandb("online", tmp_path, "s", warnings.append)
    tracker.start("a", "a", {})
    tracker.finish("a", "complete", {})
    tracker.close(20)
    assert len(warnings) == 1 and "API key" in warnings[0]
    assert [run.summary["outcome"] for run in read_runs(tmp_path)] == ["complete"]


def test_a_child_that_is_killed_is_replaced_and_no_run_lacks_anything(tmp_path: Path) -> None:
    """Killed when a run is finished, one is open, and a third is not there yet."""
    warnings: list[str] = []
    tracker, listens = to_wandb("offline", tmp_path, "s", warnings.append)
    for trial in ("a", "b"):
        tracker.start(trial, trial, {})
        tracker.epoch(trial, "pretext", 1, {"loss": 1.0})
    tracker.finish("a", "complete", {})
    wait_for(lambda: any(run.exit_code == 0 for run in read_runs(tmp_path)) and "a" not in listens.told)
    assert listens.child
    os.kill(listens.child.pid, signal.SIGKILL)
    tracker.epoch("b", "pretext", 2, {"loss": 0.5})
    wait_for(lambda: warnings)
    tracker.start("c", "c", {})
    for trial in ("b", "c"):
        tracker.epoch(trial, "pretext", 3, {"loss": 0.25})
        tracker.finish(trial, "complete", {"test/top1": 0.5})
    tracker.close(30)
    assert len(warnings) == 1 and "killed (signal 9)" in warnings[0]
    runs = [run for run in read_runs(tmp_path) if run.summary.get("outcome") == "complete"]
    steps = {run.name: [line["pretext/epoch"] for line in run.history] for run in runs}
    assert steps == {"a": [1], "b": [1, 2, 3], "c": [3]}
    assert {run.id for run in read_runs(tmp_path)} - {""} == {run_id("s", trial) for trial in "abc"}


def test_a_child_that_is_killed_again_and_again_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "MOST_LIVES", 2)
    warnings: list[str] = []
    tracker, listens = to_wandb("offline", tmp_path, "s", warnings.append)
    tracker.start("a", "a", {})
    for life in (1, 2):
        assert listens.child
        os.kill(listens.child.pid, signal.SIGKILL)
        wait_for(lambda life=life: len(warnings) == life)
    for epoch in range(100):
        tracker.epoch("a", "pretext", epoch, {"loss": 1.0})
    tracker.start("b", "b", {})
    tracker.close(5)
    assert len(warnings) == 2 and "exit code -9" in warnings[1]


def test_a_stuck_child_is_left_alone_and_ends_by_itself(tmp_path: Path) -> None:
    warnings: list[str] = []
    tracker, listens = to_wandb("offline", tmp_path, "s", warnings.append)
    tracker.start("a", "a", {})
    assert listens.child
    listens.child.send_signal(signal.SIGSTOP)
    tracker.epoch("a", "pretext", 1, {f"m{i}": 0.0 for i in range(100)})
    begin = time.monotonic()
    tracker.close(0.2)
    assert time.monotonic() - begin < 1
    assert len(warnings) == 1 and "background" in warnings[0]
    listens.child.send_signal(signal.SIGCONT)
    assert listens.child.wait(20) == 0
    (run,) = read_runs(tmp_path)
    assert (len(run.history), run.summary["outcome"]) == (1, "interrupted")


def test_without_wandb_the_sweep_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wandb.py").write_text("raise ImportError('no wandb here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    warnings: list[str] = []
    tracker, _ = to_wandb("offline", tmp_path / "run", "s", warnings.append)
    tracker.start("a", "a", {})
    tracker.close(10)
    assert len(warnings) == 1 and "no wandb here" in warnings[0]


def test_an_unwritable_directory_costs_one_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    warnings: list[str] = []
    tracker, _ = to_wandb("offline", tmp_path / "file", "s", warnings.append)
    for trial in "ab":
        tracker.start(trial, trial, {})
        tracker.epoch(trial, "pretext", 1, {"loss": 1.0})
    tracker.close(5)
    assert len(warnings) == 1 and str(tmp_path / "file") in warnings[0]


def test_disabled_starts_nothing(tmp_path: Path) -> None:
    tracker, listens = to_wandb("disabled", tmp_path / "run", "s", pytest.fail)
    tracker.start("a", "a", {})
    tracker.epoch("a", "pretext", 1, {"loss": 1.0})
    tracker.finish("a", "complete", {})
    tracker.close(1)
    assert listens.child is None and not (tmp_path / "run").exists() and listens.description == "disabled"


class FakeWandb:
    """Stands for the wandb module: online runs never finish their upload."""

    def __init__(self) -> None:
        self.opened: list[tuple[str, str]] = []
        self.Settings = SimpleNamespace

    def init(self, *, id: str, mode: str, **_: Any) -> Any:
        self.opened.append((id, mode))

        def finish(exit_code: int) -> None:
            if mode == "online":
                raise TimeoutError("no end of upload")

        calls = {"log": lambda metrics, step: None, "define_metric": lambda name, step_metric: None, "finish": finish}
        config = SimpleNamespace(update=lambda values, allow_val_change: None)
        return SimpleNamespace(**calls, config=config, summary={}, project_url="the project")

    def teardown(self) -> None:
        raise ConnectionResetError


Child = tuple[wandb_runs._Runs, FakeWandb, list[str]]


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Child:
    wandb, events = FakeWandb(), list[str]()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    runs = wandb_runs._Runs(lambda event, **_: events.append(event), "online", str(tmp_path), "auxgraph", "s")
    return runs, wandb, events


def test_an_upload_that_hangs_sends_every_run_offline(child: Child) -> None:
    runs, wandb, events = child
    for trial in "ab":
        runs.do("start", trial=trial, name=trial, config={}, tags=[], compared=[])
    runs.do("finish", trial="a", outcome="complete", summary={}, config={}, artifacts={})
    runs.do("log", trial="b", step=1, along="epoch", epoch=1, metrics={"loss": 1.0})
    runs.do("finish", trial="b", outcome="complete", summary={}, config={}, artifacts={})
    assert wandb.opened == [(run_id("s", trial), mode) for mode in ("online", "offline") for trial in "ab"]
    assert events == ["online", "online", "offline", "finished", "finished"]


def test_a_full_disk_is_noticed(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(OSError, match="No space left"):
        child[0].do("start", trial="a", name="a", config={}, tags=[], compared=[])
    assert child[2] == []


def test_what_a_user_is_shown_has_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", FAKE_KEY)
    assert wandb_runs._reason(ValueError(f"bad\n key {FAKE_KEY}!")) == "bad key ***!"


@pytest.mark.parametrize(
    ("environment", "files", "mode"),
    [
        ({}, {}, "offline"),
        ({"WANDB_API_KEY": ""}, {}, "offline"),
        ({"WANDB_API_KEY": FAKE_KEY}, {}, "online"),
        ({"WANDB_API_KEY": FAKE_KEY, "WANDB_MODE": "offline"}, {}, "offline"),
        ({"WANDB_API_KEY": FAKE_KEY, "WANDB_MODE": "dryrun"}, {}, "offline"),
        ({"WANDB_MODE": "online"}, {}, "online"),
        ({"WANDB_MODE": "disabled"}, {}, "disabled"),
        ({}, {".netrc": f"machine api.wandb.example login user password {FAKE_KEY}"}, "online"),
        ({}, {".netrc": f"machine other.example login user password {FAKE_KEY}"}, "offline"),
        ({"WANDB_BASE_URL": "http://a.example:80"}, {".netrc": "machine a.example:80 login u password p"}, "online"),
        ({"WANDB_BASE_URL": "http://a.example"}, {".netrc": "machine api.wandb.example login u password p"}, "offline"),
        ({}, {".netrc": "machine"}, "offline"),
        ({}, {".config/wandb/settings": f"[default]\napi_key = {FAKE_KEY}%"}, "online"),
        ({"WANDB_API_KEY": FAKE_KEY}, {"wandb/settings": "[default]\nmode = offline"}, "offline"),
        ({}, {".config/wandb/settings": "not a settings file"}, "offline"),
    ],
)
def test_auto_is_online_where_a_key_is_configured(
    environment: dict[str, str], files: dict[str, str], mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for name, content in files.items():
        path = tmp_path / "home" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    assert WandbRuns("auto", tmp_path, "s", pytest.fail).mode == mode


def test_an_unknown_wandb_mode_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "banana")
    warnings: list[str] = []
    assert WandbRuns("auto", tmp_path, "s", warnings.append).mode == "offline"
    assert len(warnings) == 1 and "banana" in warnings[0]


@given(st.text(), st.text())
def test_run_ids_are_valid_and_stable(sweep: str, trial: str) -> None:
    name = run_id(sweep, trial)
    assert name == run_id(sweep, trial) and len(name) <= 64
    assert name.isascii() and all(c.isalnum() or c in "-_" for c in name)
    assert name != run_id(sweep, trial + "x")
