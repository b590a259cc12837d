"""A trial again from its record: the same to the bit; what differs is named, and what is wrong is refused before it runs."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness import replay
from harness.again import Compared, find_record, first_difference
from harness.bookkeeper import Bookkeeper
from harness.ledger import Ledger, Record
from harness.request import RequestError
from harness.signs import SIGN_FILE, Sign
from harness.trials import Sweep
from search_spaces.space import find_space
from tests.harness.test_bookkeeper import COMPLETE, Witness
from trainables.checksums import sealed
from trainables.pipeline import run_experiment
from trainables.runtime import Runtime
from trainables.stages.training import NonFiniteLoss
from trainables.video.dataset import LoaderDied

COMMAND = "python harness/sweep.py --space temperatures"
Call = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, clips: Path, tiny_values: dict[str, Any]) -> tuple[Path, Record]:
    """A directory of sweeps, and the record of the one trial that was run in it."""
    runs = tmp_path_factory.mktemp("replay") / "runs"
    runs.mkdir()
    (runs / "cache").symlink_to(clips)
    space = find_space("temperatures")
    values = {**space.base, **tiny_values, "recipe": "pretext", "evaluation.measures": ["finetune"]}
    runtime = Runtime(store=runs / "store", cache=runs / "cache", device="cpu")
    one = Sweep("tiny", runs / "tiny", space, "demo", values, "tpe", 1, 1, runtime, COMMAND)
    one = replace(one, space=replace(space, rows=space.rows[:1]))
    one.settle_identity()
    books = Bookkeeper(one, Ledger(one.directory), Witness(), Witness(), False)  # type: ignore[arg-type]
    config = books.next("w")
    assert config is not None
    books.started("w")
    job = books.assigned["w"].job
    run_experiment(job.experiment, one.runtime, lambda line: books.reported("w", line))
    here = {"computed_by/device": "cpu", "computed_by/node": platform.node()}
    books.ended("w", COMPLETE | here)
    (record,) = Ledger(one.directory).records()
    return runs, record


@pytest.fixture
def runs(recorded: tuple[Path, Record], tmp_path: Path) -> Path:
    shutil.copytree(recorded[0], tmp_path / "runs", symlinks=True)
    return tmp_path / "runs"


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], runs: Path) -> Call:
    """Calls the command; gives exit code, and output and errors. What lies below the runs is as before each time."""
    monkeypatch.setattr(replay, "console", Console(width=200, emoji=False))

    def run(*arguments: str) -> tuple[int, str]:
        before = sorted(path for path in runs.rglob("*") if "cache" not in path.parts)
        with pytest.raises(SystemExit) as ended:
            replay.app([*arguments, "--runs-dir", str(runs)])
        assert sorted(path for path in runs.rglob("*") if "cache" not in path.parts) == before
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out + " ".join(output.err.split())

    return run


def changed(runs: Path, record: Record, sweep: str = "tiny", **changes: Any) -> None:
    """Record the trial once more, with other values."""
    (runs / sweep).mkdir(exist_ok=True)
    Ledger(runs / sweep).append(record.model_copy(update={"ended": "2999-01-01T00:00:00+00:00", **changes}))


def off_by(record: Record, difference: float) -> dict[str, float]:
    return record.metrics | {"test/top1": record.metrics["test/top1"] + difference}


def test_everything_is_computed_again_and_is_the_same_to_the_bit(call: Call, recorded: tuple[Path, Record]) -> None:
    record = recorded[1]
    code, output = call(record.trial[:6])
    assert code == 0, output
    assert f"trial {record.trial} of sweep tiny: {record.row}, seed 0" in output
    assert "its 3 stages took 0:" in output and "removed afterwards" in output
    assert "the same, to the bit" in output
    assert "saved" not in output, "no stage was found"
    lines = {line.split()[0]: line.split()[1:] for line in output.splitlines() if line.split()}
    for name, value in record.metrics.items():
        assert lines[name] == [f"{value:.8g}", f"{value:.8g}", "0"]


def test_a_number_that_differs_without_a_reason_is_different(call: Call, runs: Path, recorded: tuple[Path, Record]) -> None:
    record = recorded[1]
    changed(runs, record, metrics=off_by(record, 1e-15), history={"pretext/loss": [1.0, 2.0]})
    code, output = call(record.trial, "--store", str(runs / "store"))
    assert code == 1
    assert "different, though nothing is known to have changed" in output
    assert "first difference: pretext/loss after epoch 1: 1.0 then, " in output


def test_what_has_changed_is_named_and_allows_a_tolerance(call: Call, runs: Path, recorded: tuple[Path, Record]) -> None:
    record = recorded[1]
    code = {stage: f"0123 (commit x){one}" for stage, one in record.code.items()}
    versions = record.versions | {"torch": "1.0", "device": "GPU of a kind", "node": "elsewhere"}
    changed(runs, record, metrics=off_by(record, 0.04), versions=versions, code=code, history={})
    exit_code, output = call(record.trial, "--store", str(runs / "store"))
    assert exit_code == 0, output
    for said in (
        "torch: 1.0 then, ",
        "device: GPU of a kind then, cpu now",
        "machine: elsewhere then",
        "code of stage pretext: 0123",
    ):
        assert said in output
    assert "the same within 0.05 (--tolerance), not to the bit" in output
    exit_code, output = call(record.trial, "--store", str(runs / "store"), "--tolerance", "0.03")
    assert exit_code == 1
    assert "beyond 0.03 are test/top1" in output


def test_other_data_are_refused_with_words(call: Call, runs: Path, recorded: tuple[Path, Record]) -> None:
    record = recorded[1]
    data = {role: {**entry, "fingerprint": "0" * 16, "train": 7} for role, entry in record.data.items()}
    changed(runs, record, data=data)
    code, output = call(record.trial)
    assert code == 2
    assert "downstream: embedded with 7 train, 6 validation, 6 test videos (fingerprint 0000000000000000) then" in output
    assert "12 train" in output and "--data" in output


def test_which_trial_is_meant(call: Call, runs: Path, recorded: tuple[Path, Record]) -> None:
    record = recorded[1]
    code, output = call(record.trial[:-1] + "_")
    assert (code, f"did you mean '{record.trial}'" in output) == (2, True), output
    assert call("")[0] == 2
    for other in ("aaaa1", "aaaa2"):
        changed(runs, record, trial=other)
    code, output = call("aaaa")
    assert (code, "2 trials begin with 'aaaa': aaaa1, aaaa2" in output) == (2, True), output
    changed(runs, record, trial="bbbb", outcome="failed", reason="a loss became NaN")
    code, output = call("bbb")
    assert (code, "is failed: there is nothing to compare with (a loss became NaN)" in output) == (2, True), output
    changed(runs, record, sweep="later", metrics={})
    assert find_record(record.trial, runs)[0].name == "later", "of two sweeps the one that recorded it last"


def test_what_cannot_be_computed_is_neither_the_same_nor_different(
    call: Call, runs: Path, recorded: tuple[Path, Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(error: Exception) -> Callable[..., None]:
        def run(*arguments: Any) -> None:
            raise error

        return run

    monkeypatch.setattr(replay, "_run", fails(LoaderDied("killed")))
    code, output = call(recorded[1].trial)
    assert (code, "it could not be computed: killed" in output) == (3, True), output
    monkeypatch.setattr(replay, "_run", fails(NonFiniteLoss("pretext: the loss became nan")))
    code, output = call(recorded[1].trial)
    assert (code, "different: it was complete, and now fails: pretext: the loss became nan" in output) == (1, True), output
    code, output = call(recorded[1].trial, "--store", "/proc/none")
    assert (code, "it could not be computed: cannot write to the store" in output) == (3, True), output


def test_settings_of_another_version_are_refused(call: Call, runs: Path, recorded: tuple[Path, Record]) -> None:
    changed(runs, recorded[1], settings={**recorded[1].settings, "pretext.gone": 1})
    code, output = call(recorded[1].trial)
    assert (code, "pretext.gone" in output) == (2, True), output


def test_where_the_data_lie_is_read_from_the_command(tmp_path: Path, recorded: tuple[Path, Record]) -> None:
    """Relative to where that was given; what is given now takes its place."""
    (tmp_path / "there" / "videos").mkdir(parents=True)
    command = "python harness/sweep.py --settings --data folder=videos --splits folder=x.csv --stand-in ucf101=folder --set a=b"
    record = recorded[1].model_copy(update={"command": command})
    sign: dict[str, Any] = {"at": "2026-01-01T00:00:00Z", "host": "h", "pid": 1, "command": "", "total": 1, "ended": {}}
    sign |= {"reused": 0, "running": [], "seconds_left": None, "directory": str(tmp_path / "there")}
    (tmp_path / SIGN_FILE).write_text(sealed(Sign(**sign).model_dump(mode="json")))
    before, nothing = Path.cwd(), dict.fromkeys(replay.WHERE_DATA_LIE)
    with replay._as_it_was_started(tmp_path, record, nothing) as where:
        assert Path.cwd() == tmp_path / "there"
        assert where == {"data": ["folder=videos"], "splits": ["folder=x.csv"], "stand_in": ["ucf101=folder"], "weights": []}
    with replay._as_it_was_started(tmp_path, record, nothing | {"data": ["folder=here"]}) as where:
        assert where["data"] == [f"folder={before / 'here'}"]
        assert (where["splits"], where["stand_in"]) == ([], ["ucf101=folder"])
    with pytest.raises(RequestError, match="from the trial's command"), replay._as_it_was_started(tmp_path, record, nothing):
        raise RequestError("there is nothing at videos")
    assert replay._recorded("no 'command") == {}


def test_tolerance_is_of_the_value_where_that_is_large() -> None:
    assert Compared("a", 100.0, 104.0).is_within(0.05)
    assert not Compared("a", 100.0, 106.0).is_within(0.05)
    assert not Compared("a", 0.1, 0.16).is_within(0.05)
    assert not Compared("a", 0.1, None).is_within(9)
    assert Compared("a", None, 0.1, judged=False).is_within(0)


def test_the_first_difference_is_of_the_earliest_stage_and_epoch() -> None:
    then = {"a/x": [1.0, 2.0, 3.0], "b/x": [1.0], "gone/x": [0.0]}
    assert first_difference(then, {"a/x": [1.0, 2.0, 4.0], "b/x": [2.0]}) == "a/x after epoch 3: 3.0 then, 4.0 now"
    assert first_difference(then, then) is None
