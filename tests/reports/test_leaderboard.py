"""The leaderboard of a sweep: which configuration is best is that of the search, worked out by hand."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from harness.identity import write_identity
from harness.ledger import FILE_NAME, Ledger, Record, line_of
from reports.leaderboard import Leaderboard, Objective, leaderboard
from reports.leaderboard_sheet import leaderboard_sheet
from reports.sheet import Grid
from reports.sweep import app
from reports.videos import Told

ROOT = Path(__file__).resolve().parents[2]
Make = Callable[..., Record]
METRIC = "validation/top1"


@pytest.fixture
def make() -> Make:
    """A trial of a configuration at a position: its validation accuracy, 0.1 more on test; None: it failed."""

    def trial(index: int, seed: int, reached: float | None, **changes: Any) -> Record:
        values: dict[str, Any] = {
            "trial": f"trial{index}{seed}",
            "index": index,
            "row": None,
            "space": "mine",
            "preset": "demo",
            "parameters": {"finetune.epochs": index + 1},
            "settings": {},
            "data": {"downstream": {"fingerprint": "a", "classes": 8}},
            "seed": seed,
            "stages": {},
            "metrics": {} if reached is None else {METRIC: reached, "test/top1": reached + 0.1},
            "seconds": {"finetune": {"used": 30, "saved": 10}},
            "outcome": "failed" if reached is None else "complete",
            "reason": "finetune: the loss is not finite" if reached is None else None,
            "versions": {"protocol": "1"},
            "command": "made up for a test",
        }
        return Record.model_validate({**values, **changes})

    return trial


@pytest.fixture
def records(make: Make) -> list[Record]:
    """Of three seeds each: 0.5, 0.6, 0.7; a steady 0.2 that has a row; a lucky 0.9 beside two that run; one that failed."""
    reached = {0: (0.5, 0.6, 0.7), 1: (0.2, 0.2, 0.2), 3: (None, None, None)}
    found = [make(index, seed, value) for index, values in reached.items() for seed, value in enumerate(values)]
    found = [record.model_copy(update={"row": "Z = 4"}) if record.index == 1 else record for record in found]
    return [*found, make(2, 0, 0.9), make(2, 1, 0.9, outcome="interrupted", reason="the sweep was interrupted")]


def order(board: Leaderboard) -> list[int]:
    return [one.position for one in board.ranked]


def test_the_best_is_that_of_the_search_and_no_lucky_seed(records: list[Record]) -> None:
    board = leaderboard("mine", records, Objective(METRIC))
    assert order(board) == [0, 1, 2, 3]
    assert board.best is not None and board.best.position == 0
    assert board.best.objective is not None and board.best.objective.mean == pytest.approx(60)
    assert [one.stands for one in board.ranked] == [True, True, False, False]
    assert [(one.complete, one.asked) for one in board.ranked] == [(3, 3), (3, 3), (1, 3), (0, 3)]
    assert order(leaderboard("mine", records, Objective(METRIC, "minimize"))) == [1, 0, 2, 3]


def test_what_is_behind_is_paired_by_seed(records: list[Record]) -> None:
    """Differences of -30, -40, -50 points: mean -40, t = -40 / (10 / sqrt 3) = -6.93, p = 0.0202."""
    board = leaderboard("mine", records, Objective(METRIC))
    first, second, third, last = board.ranked
    assert second.behind is not None and second.behind.mean == pytest.approx(-40)
    assert second.p == pytest.approx(0.0202, abs=1e-4)
    assert second.is_behind
    assert third.behind is not None and third.behind.mean == pytest.approx(40), "over the one seed that both have"
    assert third.p is None and not third.is_behind
    assert first.behind is None and last.behind is None
    assert [one.position for one in board.not_told_apart] == [2]


def test_several_are_compared_with_the_best(make: Make, records: list[Record]) -> None:
    """By Holm: p of the one furthest from chance counts as often as there are comparisons, that of the next once less."""
    near = [make(4, seed, value) for seed, value in enumerate((0.49, 0.55, 0.66))]
    by_position = {one.position: one for one in leaderboard("mine", [*records, *near], Objective(METRIC)).ranked}
    alone = stats.ttest_1samp([-1.0, -5.0, -4.0], 0).pvalue
    assert by_position[1].p == pytest.approx(2 * 0.0202, abs=2e-4) and by_position[1].is_behind
    assert by_position[4].p == pytest.approx(alone) and not by_position[4].is_behind


def test_the_choice_of_videos_counts_where_it_is_known(make: Make) -> None:
    """Every seed is 25 points behind on the same one of four videos: by seeds alone that is certain, by videos it is chance."""
    said = {0: [1, 1, 0, 1], 1: [1, 0, 0, 1]}
    trials = [make(index, seed, sum(right) / 4) for index, right in said.items() for seed in range(6)]

    def told(record: Record, metric: str) -> Told:
        assert metric == METRIC
        return Told(("a", "b", "c", "d"), np.array(said[record.index], dtype=float))

    alone, with_videos = (leaderboard("mine", trials, Objective(METRIC), *how).ranked[1] for how in ((), (told,)))
    assert alone.p == pytest.approx(2**-5) and alone.is_behind
    assert with_videos.p == pytest.approx(0.391, abs=1e-3) and not with_videos.is_behind, "t = 1 with 3 degrees of freedom"
    assert with_videos.behind is not None and with_videos.behind.interval is not None
    assert with_videos.behind.interval[1] == pytest.approx(-25 + stats.t.ppf(0.975, 3) * 25, abs=0.01)


def test_as_a_sheet(records: list[Record]) -> None:
    board = leaderboard("mine", records, Objective(METRIC))
    sheet = leaderboard_sheet(board)
    (section,) = sheet.sections
    assert section.heading == "Best: epochs = 1"
    assert sheet.subtitle == "4 configurations: 7 of 11 trials complete, 3 failed, 1 interrupted"
    assert section.notes == (
        "objective: validation/top1 in percent, more is better; guessing reaches 12.5",
        "not told apart from the best: 1 configuration of 3",
        "computed in 0:05:30; alone the trials would have taken 0:07:20",
    )
    ranked, unfinished = section.grids
    assert ranked.columns == ("#", "row", "epochs", METRIC, "seeds", "test/top1", "behind", "told apart", "time")
    behind = ("-40.0 [-64.8, -15.2]", "yes, p = 0.020")
    assert ranked.rows == (
        ("0", "", "1", "60.0 [35.2, 84.8]", "3", "70.0 [45.2, 94.8]", "-", "best", "0:01:30 (0:02:00)"),
        ("1", "Z = 4", "2", "20.0 [20.0, 20.0]", "3", "30.0 [30.0, 30.0]", *behind, "0:01:30 (0:02:00)"),
        ("2", "", "3", "90.0", "1/3", "100.0", "+40.0", "one seed", "0:01:00 (0:01:20)"),
        ("3", "", "4", "-", "0/3", "-", "-", "-", "0:01:30 (0:02:00)"),
    )  # fmt: skip
    assert unfinished.rows == (
        ("2", "epochs = 3", "1", "interrupted", "the sweep was interrupted"),
        ("2", "epochs = 3", "2", "not run", ""),
        *(("3", "epochs = 4", str(seed), "failed", "finetune: the loss is not finite") for seed in range(3)),
    )
    (short,) = leaderboard_sheet(board, 2).sections
    assert len(short.grids) == 1 and len(short.grids[0].rows) == 2
    assert short.notes[-1] == "and 2 configurations more: reports/sweep.py shows all"


def test_an_objective_that_is_no_fraction_has_its_own_digits(make: Make) -> None:
    trials = [
        make(index, 0, None, outcome="complete", metrics={"prediction/val_error": 0.01234 * (index + 1)}) for index in (0, 1)
    ]
    board = leaderboard("mine", trials, Objective("prediction/val_error", "minimize"))
    (grid,) = leaderboard_sheet(board).sections[0].grids
    assert [row[2] for row in grid.rows] == ["0.0123", "0.0247"]
    assert [row[4:6] for row in grid.rows] == [("-", "best"), ("+0.0123", "one seed")]
    assert "test" not in " ".join(grid.columns)


def test_chance_is_what_a_stage_told_of_an_accuracy(make: Make) -> None:
    metrics = {"pretext/val_speed_accuracy": 0.5, "pretext/val_speed_chance": 0.25}
    board = leaderboard(
        "mine", [make(0, 0, None, outcome="complete", metrics=metrics)], Objective("pretext/val_speed_accuracy")
    )
    assert board.ranked[0].chance == 25


def test_configurations_judged_on_other_videos_are_named(make: Make) -> None:
    other = make(1, 0, 0.5, data={"downstream": {"fingerprint": "b", "classes": 8}})
    notes = leaderboard_sheet(leaderboard("mine", [make(0, 0, 0.5), other], Objective(METRIC))).sections[0].notes
    assert "configurations are judged on 2 different data sets or parts, so by different videos" in notes
    assert "one seed each: what differs may be chance alone; --seeds 3 tells more" in notes


@pytest.mark.parametrize("outcome", [None, "failed"])
def test_nothing_to_rank_says_so(make: Make, outcome: str | None) -> None:
    board = leaderboard("mine", [make(0, 0, None)] if outcome else [], Objective(METRIC))
    (section,) = leaderboard_sheet(board).sections
    assert board.best is None
    assert section.heading == "No configuration has a number yet"
    assert ("no complete trial has validation/top1" in section.notes) == (outcome is not None)


# the command


@pytest.fixture
def runs(tmp_path: Path, records: list[Record]) -> Path:
    ledger = Ledger(tmp_path / "runs" / "mine")
    write_identity(tmp_path / "runs" / "mine", {"objective": METRIC, "direction": "maximize"})
    for record in records:
        ledger.append(record)
    return tmp_path / "runs"


def sweep(*arguments: Any) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    return result.exit_code, result.stdout, result.stderr


def test_the_script_prints_the_leaderboard_of_the_only_sweep(runs: Path) -> None:
    command = [sys.executable, str(ROOT / "reports" / "sweep.py"), "--runs-dir", str(runs)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=runs, check=True)
    assert done.stdout.startswith("# What sweep mine found\n")
    assert sweep("mine", "--runs-dir", runs) == (0, done.stdout, "")
    assert [path.name for path in runs.iterdir()] == ["mine"], "nothing is written"


def test_lines_hold_configurations_and_trials(runs: Path, tmp_path: Path) -> None:
    assert sweep("mine", "--runs-dir", runs, "--out", tmp_path / "out.csv")[0] == 0
    lines = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    assert [line["line"] for line in lines].count("trial") == 11
    first, *trials = lines[:4]
    assert (first["rank"], first["finetune.epochs"], first["mean"], first["told_apart"]) == ("1", "1", "60.0000", "best")
    assert (first["seconds"], first["seconds_alone"], first["seeds"], first["test_mean"]) == ("90.0", "120.0", "3", "70.0000")
    assert [line["mean"] for line in trials] == ["50.0000", "60.0000", "70.0000"]
    assert [line["trial"] for line in trials] == ["trial00", "trial01", "trial02"]
    (content,) = json.loads(sweep("mine", "--runs-dir", runs, "--format", "json")[1])
    assert [line["line"] for line in content["lines"]] == [line["line"] for line in lines]


def test_the_direction_is_the_sweep_s(runs: Path) -> None:
    write_identity(runs / "mine", {"objective": "test/top1", "direction": "minimize"})
    assert "## Best: Z = 4 (epochs = 2)" in sweep("mine", "--runs-dir", runs)[1]


def test_wrong_usage_exits_2(runs: Path, tmp_path: Path) -> None:
    code, _, message = sweep("mime", "--runs-dir", runs)
    assert code == 2 and "did you mean 'mine'?" in message
    code, _, message = sweep("mine", "--runs-dir", runs, "--out", tmp_path / "a.pdf")
    assert code == 2 and "one of md, tex, csv, html, json" in message
    (runs / "other").mkdir()
    (runs / "other" / FILE_NAME).touch()
    code, _, message = sweep("--runs-dir", runs)
    assert code == 2 and "mine, other" in message
    (runs / "other" / FILE_NAME).write_text("nonsense\n")
    assert sweep("other", "--runs-dir", runs)[0] == 1
    assert sweep("mine", "--runs-dir", runs)[0] == 0, "another sweep's damage is not its own"


def test_names_from_elsewhere_are_escaped(make: Make, tmp_path: Path) -> None:
    """In every format: HTML, LaTeX and Markdown; and a file for spreadsheets keeps them as text."""
    nasty = "<b>&|*_=1+1"
    path = tmp_path / "runs" / "mine" / FILE_NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(line_of(make(0, 0, 0.5, row=nasty)))
    for name, escaped in {"html": "&lt;b&gt;&amp;|*_=1+1", "tex": r"\textless{}b\textgreater{}\&", "md": r"\<b\>&\|\*"}.items():
        assert escaped in sweep("mine", "--runs-dir", tmp_path / "runs", "--format", name)[1]
    path.write_bytes(line_of(make(0, 0, 0.5, row="=1+1", parameters={"a": "@x", "b": -1.5, "c": "-"})))
    lines = list(csv.DictReader(io.StringIO(sweep("mine", "--runs-dir", tmp_path / "runs", "--format", "csv")[1])))
    assert [(line["row"], line["a"], line["b"], line["c"]) for line in lines] == [("'=1+1", "'@x", "-1.5", "'-")] * 2


def test_a_thousand_trials_are_ranked(make: Make) -> None:
    trials = [make(index, seed, index / 1000) for index in range(334) for seed in range(3)]
    board = leaderboard("mine", trials, Objective(METRIC))
    assert order(board) == list(range(333, -1, -1))
    grid: Grid = leaderboard_sheet(board).sections[0].grids[0]
    assert len(grid.rows) == 334


@pytest.mark.parametrize("file_format", ["md", "csv", "html", "json", "tex"])
def test_sample_ledger_gives_the_golden_file(searched: Path, golden: Path, file_format: str) -> None:
    """Written by `python reports/sweep.py sample-search --runs-dir tests/reports/search --out FILE`."""
    result = CliRunner().invoke(app, ["sample-search", "--runs-dir", str(searched), "--format", file_format])
    assert result.exit_code == 0, result.output
    assert result.output == (golden / f"sample-search.{file_format}").read_text(encoding="utf-8")
