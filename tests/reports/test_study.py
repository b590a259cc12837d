"""A sweep as an Optuna study: read back by Optuna, it is what the ledger says, and no other file is lost for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from typer.testing import CliRunner

from harness.identity import DIRECTION, OBJECTIVE, RANGES, write_identity
from harness.ledger import Ledger, Record
from reports.study import app, distribution

Make = Callable[..., Record]
METRIC = "validation/loss"


def sweep_of(runs: Path, records: list[Record]) -> None:
    directory = runs / "mine"
    ranges = {"finetune.learning_rate": "0.001 to 0.1, log", "pretext.task": "vspp, vcop"}
    write_identity(directory, {OBJECTIVE: METRIC, DIRECTION: "minimize", RANGES: ranges})
    ledger = Ledger(directory)
    for record in records:
        ledger.append(record)


@pytest.fixture
def records(make_trial: Make) -> list[Record]:
    """Configurations of two seeds each: complete; one seed failed; both failed; pruned; one seed still to come; a list."""

    def make(index: int, seed: int, value: float | None, outcome: str = "complete", **parameters: Any) -> Record:
        return make_trial(
            0.01 * (index + 1),
            0.1,
            seed,
            None,
            trial=f"{index}{seed}",
            index=index,
            row="the paper's" if index == 0 else None,
            parameters={"finetune.learning_rate": 0.01 * (index + 1), "pretext.task": "vspp", **parameters},
            metrics={} if value is None else {METRIC: value, "test/top1": 0.9},
            seconds={"finetune": {"used": 60, "saved": 0}},
            outcome=outcome,
            reason=None if outcome == "complete" else "a full disk",
            ended=datetime(2026, 3, 1, 12, index, seed, tzinfo=UTC).isoformat(),
        )

    return [
        *(make(0, seed, value, layers=[1, 2]) for seed, value in enumerate((0.5, 0.25))),
        make(1, 0, 0.125),
        make(1, 1, None, "failed"),
        *(make(2, seed, None, "failed") for seed in (0, 1)),
        *(make(3, seed, 0.01, "pruned") for seed in (0, 1)),
        make(4, 0, 0.01),
        *(make(5, seed, 0.75, layers=None) for seed in (0, 1)),
    ]


def written(runs: Path, out: Path) -> Any:
    return CliRunner().invoke(app, ["mine", "--runs-dir", str(runs), "--out", str(out)])


def load(path: Path) -> optuna.Study:
    return optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(str(path))))


def test_the_study_is_what_the_ledger_says(records: list[Record], tmp_path: Path) -> None:
    sweep_of(tmp_path, records)
    result = written(tmp_path, out := tmp_path / "study.journal")
    assert (result.exit_code, result.output) == (0, f"{out}\n")
    study = load(out)
    assert (study.study_name, study.metric_names) == ("mine", [METRIC])
    assert study.direction == optuna.study.StudyDirection.MINIMIZE
    states = [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED, TrialState.RUNNING]
    assert [trial.state for trial in study.trials] == [*states, TrialState.COMPLETE]
    assert [trial.value for trial in study.trials if trial.state == TrialState.COMPLETE] == [0.375, 0.125, 0.75]
    assert study.best_trial.number == 1, "one that has not ended is not the best, nor is one that was pruned"
    first, second = study.trials[:2]
    assert first.params == {"finetune.learning_rate": 0.01, "pretext.task": "vspp", "layers": "[1, 2]"}
    assert first.user_attrs == {
        "position": 0,
        "row": "the paper's",
        "seeds": {"0": 0.5, "1": 0.25},
        "trials": {"0": "00", "1": "01"},
        "outcomes": {"0": "complete", "1": "complete"},
        "reasons": {},
    }
    assert second.user_attrs["reasons"] == {"1": "a full disk"}
    assert second.params == {"finetune.learning_rate": 0.02, "pretext.task": "vspp"}
    assert first.distributions["finetune.learning_rate"] == FloatDistribution(0.001, 0.1, log=True)
    assert first.duration is not None and first.duration.total_seconds() == pytest.approx(61)
    study.ask(), optuna.importance.get_param_importances(study)  # it can be gone on with


def test_a_journal_is_written_anew_and_no_other_file(records: list[Record], tmp_path: Path) -> None:
    """Of ours all is replaced, nothing appended; a file of another kind, or another's journal, stays to the byte."""
    sweep_of(tmp_path, records[:2])
    out = tmp_path / "study.journal"
    assert written(tmp_path, out).exit_code == 0
    sweep_of(tmp_path, records[2:])
    assert written(tmp_path, out).exit_code == 0
    assert len(load(out).trials) == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "study.journal"]

    other = tmp_path / "other"
    optuna.create_study(study_name="mine", storage=JournalStorage(JournalFileBackend(str(other)))).set_user_attr("a", 1)
    for content in (
        b"notes of mine\n",
        b"",
        b"[1]\n[2]\n",
        b"\xff\xfe\n\n",
        b'{"a": 1}\n{"user_attr": null}\n',
        other.read_bytes(),
    ):
        out.write_bytes(content)
        result = written(tmp_path, out)
        assert result.exit_code == 2 and f"--out {out}: there is a file" in result.output
        assert out.read_bytes() == content


def test_without_trials_and_without_an_identity(records: list[Record], tmp_path: Path) -> None:
    sweep_of(tmp_path, [])
    (tmp_path / "mine" / "ledger.jsonl").touch()
    assert written(tmp_path, tmp_path / "empty").exit_code == 0
    assert load(tmp_path / "empty").trials == []
    sweep_of(tmp_path, records)
    (tmp_path / "mine" / "sweep.json").unlink()
    assert written(tmp_path, tmp_path / "lost").exit_code == 0
    states = {trial.state for trial in load(tmp_path / "lost").trials}
    assert TrialState.COMPLETE not in states, "no trial has what sweeps went by that did not write it down"


def test_wrong_usage(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["temperature", "--runs-dir", str(tmp_path), "--out", str(tmp_path / "x")])
    assert result.exit_code == 2 and "unknown sweep 'temperature'" in result.output


@pytest.mark.parametrize(
    ("values", "words", "expected"),
    [
        ([0.5, 0.1], "0.01 to 0.2, log", FloatDistribution(0.01, 0.5, log=True)),
        ([0, 0.1], "0.01 to 0.2, log", FloatDistribution(0, 0.2)),
        ([3, 9], "2 to 8, in steps of 2", IntDistribution(2, 9)),
        ([3, 9], "", IntDistribution(3, 9)),
        ([5, 10, 5], "5, 10, 20", CategoricalDistribution([5, 10])),
        (["a", None, True], "a, None, True", CategoricalDistribution(["a", None, True])),
        ([1, 0.5], "1", CategoricalDistribution([1, 0.5])),
    ],
)
def test_from_where_a_parameter_is_drawn(values: list[Any], words: str, expected: Any) -> None:
    assert distribution(values, words) == expected
    assert json.loads(json.dumps(values)) == values
