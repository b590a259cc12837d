"""Whether teachers teach: numbers worked out by hand, verdicts, what is not compared, the command `reports/teachers.py`."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy import stats
from typer.testing import CliRunner

from harness.ledger import Ledger, Record
from reports.seeds import holm
from reports.teachers import app
from reports.teaching import Teacher, Teaching, teaching
from reports.teaching_sheet import teaching_sheet
from reports.writers import FORMATS

Make = Callable[..., Record]
runner = CliRunner()
LAYERS = "teacher_finetune.transferred_layers"


@pytest.fixture
def make(make_trial: Make) -> Make:
    """A complete trial of graph distillation, given its seed and metrics."""

    def make(seed: int, metrics: dict[str, float], **settings: Any) -> Record:
        values = {"recipe": "fusion", LAYERS: None, "teacher_finetune.freeze": False, "graph.logits": "graph", **settings}
        trial = f"{seed} {sorted(settings.items(), key=str)}"
        made = make_trial(
            0.02, 0.02, seed, None, outcome="complete", reason=None, metrics=metrics, trial=trial, settings=values
        )
        return made.model_copy(update={"parameters": {LAYERS: values[LAYERS]}})

    return make


def of_tasks(sorting: float, error: float) -> dict[str, float]:
    levels = {"sorting/val_order_chance": 1 / 3, "sorting/val_order_baseline": 0.5, "prediction/val_error_baseline": 0.02}
    return {"sorting/val_order_accuracy": sorting, "prediction/val_error": error, **levels}


def of_classifiers(sorting: float, prediction: float) -> dict[str, float]:
    return {"test/sorting_top1": sorting, "test/prediction_top1": prediction}


SORTING, ERRORS = (0.60, 0.62, 0.64), (0.018, 0.021, 0.025)
TAUGHT, SCRATCH = ((0.70, 0.50), (0.72, 0.52), (0.71, 0.48)), ((0.60, 0.51), (0.61, 0.50), (0.62, 0.49))


@pytest.fixture
def trials(make: Make) -> list[Record]:
    """Sorting learns its task and its classifier gains; PredNet does not clearly beat copying, nor its classifier scratch."""
    found = []
    for seed in range(3):
        tasks = of_tasks(SORTING[seed], ERRORS[seed])
        found.append(make(seed, {**tasks, **of_classifiers(*TAUGHT[seed])}))
        found.append(make(seed, {**tasks, **of_classifiers(*SCRATCH[seed])}, **{LAYERS: 0}))
    return found


def teachers(found: list[Teaching]) -> list[Teacher]:
    (one,) = found
    return list(one.teachers)


def test_numbers_and_verdicts_worked_out_by_hand(trials: list[Record]) -> None:
    sorting, prediction = teachers(teaching(trials))
    assert (sorting.name, sorting.metric, sorting.lower) == ("sorting", "order_accuracy", False)
    assert (prediction.name, prediction.metric, prediction.lower) == ("prediction", "error", True)
    assert (sorting.chance, sorting.rule) == (pytest.approx(100 / 3), 50.0)
    assert (prediction.chance, prediction.rule) == (None, 0.02)
    assert sorting.ahead == pytest.approx([10, 12, 14])
    assert prediction.ahead == pytest.approx([0.002, -0.001, -0.005]), "a lower error is better"
    assert sorting.gains == pytest.approx([10, 11, 9])
    assert prediction.gains == pytest.approx([-1, 2, -1])
    expected = holm([float(stats.ttest_1samp(values, 0).pvalue) for values in
                     (sorting.ahead, sorting.gains, prediction.ahead, prediction.gains)])  # fmt: skip
    judged = [judgement.p for one in (sorting, prediction) for judgement in (one.task, one.transfer) if judgement]
    assert judged == pytest.approx(expected)
    assert (sorting.verdict, prediction.verdict) == ("teaches", "undecided")


def test_a_task_below_its_rule_does_not_teach(make: Make) -> None:
    found = [make(seed, {**of_tasks(0.3 + 0.01 * seed, 0.02), **of_classifiers(0.7, 0.5)}) for seed in range(4)]
    sorting, _ = teachers(teaching(found))
    assert sorting.task is not None
    assert (sorting.task.verdict, sorting.verdict, sorting.gains) == ("disagrees", "does not", [])


def test_students_make_no_difference_and_settings_of_teachers_do(make: Make) -> None:
    """Trials that differ in the student's loss share the teachers; those whose tasks differ are another group."""
    metrics = {**of_tasks(0.6, 0.02), **of_classifiers(0.7, 0.5)}
    alike = [make(0, metrics), make(1, metrics, recipe="distillation", **{"graph.logits": "none"})]
    assert [list(one.reached) for one in teachers(teaching(alike))] == [[0, 1], [0, 1]]
    others = [*alike, make(0, metrics, **{"sorting.pair": "difference"})]
    assert len(teaching(others)) == 2


def test_part_of_the_layers_and_frozen_ones_are_neither_from_the_task_nor_from_scratch(make: Make) -> None:
    metrics = {**of_tasks(0.6, 0.02), **of_classifiers(0.7, 0.5)}
    part = [make(0, metrics, **{LAYERS: 2}), make(1, metrics, **{LAYERS: 0}), make(2, metrics)]
    sorting, _ = teachers(teaching(part))
    assert (list(sorting.taught), list(sorting.scratch)) == ([2], [1])
    frozen = make(0, metrics, **{LAYERS: 0, "teacher_finetune.freeze": True})
    assert teachers(teaching([frozen]))[0].scratch == {}


def test_trials_of_the_other_paper_and_of_before_the_rules_say_nothing(make: Make, make_trial: Make) -> None:
    before = make(0, {"sorting/val_order_accuracy": 0.6, "test/sorting_top1": 0.5})
    assert teaching([make_trial(0.02, 0.02, 0, 60.0), before]) == []
    assert "No trial with teachers" in FORMATS["md"]([teaching_sheet([])])


def test_the_sheet_says_it_in_words_and_lines(trials: list[Record]) -> None:
    sheet = teaching_sheet(teaching(trials))
    ((tasks, classifiers),) = [section.grids for section in sheet.sections]
    assert tasks.rows[0][:4] == ("sorting", "order accuracy", "33.3", "50.0")
    assert tasks.rows[0][4].startswith("62.0 [")
    assert tasks.rows[0][-1] == "above the rule"
    assert tasks.rows[1][:4] == ("prediction", "error, lower is better", "-", "0.02")
    assert [(row[0], row[-1]) for row in classifiers.rows] == [("sorting", "teaches"), ("prediction", "undecided")]
    lines = list(csv.DictReader(io.StringIO(FORMATS["csv"]([sheet]))))
    assert [line["measure"] for line in lines[:4]] == [
        "order_accuracy",
        "top-1 from its task",
        "top-1 from scratch",
        "difference",
    ]
    assert (lines[3]["mean"], lines[3]["verdict"], lines[0]["rule"]) == ("10.0000", "agrees", "50.0000")


def test_the_command_prints_the_table_and_refuses_what_there_is_not(trials: list[Record], tmp_path: Path) -> None:
    (tmp_path / "teaching-demo").mkdir()
    ledger = Ledger(tmp_path / "teaching-demo")
    for record in trials:
        ledger.append(record)
    shown = runner.invoke(app, ["--runs-dir", str(tmp_path)])
    assert shown.exit_code == 0
    assert "# Whether teachers teach" in shown.output
    assert runner.invoke(app, ["--runs-dir", str(tmp_path), "--sweep", "teaching"]).exit_code == 2
